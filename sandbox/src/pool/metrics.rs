//! Metrics of every unit, as a round is run: spans, suspects, and one sum.

use cloister_privacy::{Gate, IntegerSum, Metrics};

use super::{Pool, PoolError};
use crate::protocol::push_metrics;

impl Pool {
    /// The sum of every loaded unit's [`Metrics`]: of its update in `round`, which is not one
    /// of the training, beside the clip of `gate`; and of the model's predictions for its rows,
    /// which may take as much fuel as the update.
    ///
    /// A unit that ended two workers has failed, and has the worst score.
    ///
    /// # Errors
    ///
    /// As for [`round`](Self::round).
    pub fn metrics(
        &mut self,
        round: u32,
        model: &[f32],
        gate: &Gate,
        metrics: &Metrics,
    ) -> Result<IntegerSum, PoolError> {
        let mut asked = self.asked(round, model, gate)?;
        push_metrics(&mut asked.frame, metrics);
        asked.gate = *metrics.gate();
        asked.missing = metrics.contribution(gate.clip(), None, None).to_vec();
        asked.calls = 2;
        Ok(self.sum_of(asked, self.units(), None))
    }
}
