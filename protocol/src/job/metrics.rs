//! The last release of a job that asks for it: how well the model does on the owners' own
//! rows, and for how many of them the code has no update.

use cloister_privacy::METRICS_CLIP;
use serde::{Deserialize, Serialize};

use super::{Gate, GateMode, JobError, positive, within};

/// The metrics release: noised means of four numbers of each unit or group, as
/// `cloister_privacy::Metrics` makes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The loss that counts as 1, as every larger one does.
    pub loss: f64,
    /// Grid steps in the clip, which is 1.
    pub steps: u64,
    /// Standard deviation of the noise, in grid steps.
    pub sigma: u64,
}

impl Metrics {
    /// What the gate does, where rounds are in this mode: by unit, or by group if they are.
    /// Where coins decide who takes part in a round, all take part here.
    #[must_use]
    pub fn gate(&self, rounds: GateMode) -> Gate {
        let mode = match rounds {
            GateMode::Unit | GateMode::Sampled(_) => GateMode::Unit,
            GateMode::Groups(groups) => GateMode::Groups(groups),
        };
        Gate { mode, clip: METRICS_CLIP, steps: self.steps, sigma: self.sigma }
    }

    pub(super) fn validate(&self) -> Result<(), JobError> {
        positive("metrics.loss", self.loss)?;
        within("metrics.steps", self.steps, 32, 1 << 24, "32 to 2^24 are allowed")?;
        within("metrics.sigma", self.sigma, 1, 1 << 32, "1 to 2^32 steps are allowed")
    }
}
