//! The worker processes of one job.

use std::process::Command;

use cloister_privacy::{Gate, IntegerSum, Metrics};
use cloister_sandbox::{Compiled, Pool, PoolError, Score, Settings, UnitRows};

use crate::rows::Units;

/// How workers are started, how many, and the memory that they share with all else.
pub struct Workshop {
    command: Box<dyn Fn() -> Command + Send + Sync>,
    workers: usize,
    memory: u64,
}

impl Workshop {
    /// Workers started with `command`, whose program calls `cloister_sandbox::worker::main`,
    /// on a machine with so many bytes of memory.
    pub fn new(
        workers: usize,
        memory: u64,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        Self { command: Box::new(command), workers, memory }
    }

    /// Bytes of memory of the enclave.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// How many workers a round has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Starts so many workers.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::start`].
    pub fn pool(
        &self,
        workers: usize,
        compiled: &Compiled,
        settings: &Settings,
    ) -> Result<Pool, PoolError> {
        Pool::start((self.command)(), workers, compiled, settings.clone())
    }
}

/// The workers of one job: those that see rows, and one that sees public things only.
///
/// They are started when they are needed, and stay on the thread that did.
pub struct Pools<'a> {
    workshop: &'a Workshop,
    compiled: &'a Compiled,
    settings: &'a Settings,
    units: Option<Pool>,
    contributions: u32,
    public: Option<Pool>,
}

impl<'a> Pools<'a> {
    /// No worker runs yet.
    #[must_use]
    pub fn new(workshop: &'a Workshop, compiled: &'a Compiled, settings: &'a Settings) -> Self {
        Self { workshop, compiled, settings, units: None, contributions: 0, public: None }
    }

    /// The model that the code begins with.
    ///
    /// # Errors
    ///
    /// [`PoolError`]: no worker starts, or `init` makes no model.
    pub fn first_model(&mut self) -> Result<Vec<f32>, PoolError> {
        Ok(self.public()?.init_model().to_vec())
    }

    /// Starts the workers, so that the first round finds them ready. That they do not
    /// start is no error: each round tries again.
    pub fn warm(&mut self, scores: bool) {
        let _ = self.units();
        if scores {
            let _ = self.public();
        }
    }

    /// Hands the units to the workers. That it fails is no error, for code may have run: all
    /// updates are zero then.
    pub(super) fn load(&mut self, units: Units) {
        // Admission refuses more than fit.
        self.contributions = u32::try_from(units.len()).unwrap_or(u32::MAX);
        if let Ok(pool) = self.units() {
            let _ = pool.load(units.into_rows());
        }
    }

    /// How many updates a round has if all take part.
    pub(super) fn contributions(&self) -> u32 {
        self.contributions
    }

    /// The gated sum of every unit's update, or of those in `drawn`. What is missing for
    /// whatever reason is zero.
    pub(super) fn round(
        &mut self,
        round: u32,
        model: &[f32],
        gate: &Gate,
        drawn: Option<&[u32]>,
    ) -> IntegerSum {
        // It fails before any unit runs, and for public reasons only.
        let sum = self.units().and_then(|pool| match drawn {
            None => pool.round(round, model, gate),
            Some(drawn) => pool.round_of(drawn, round, model, gate),
        });
        sum.unwrap_or_else(|_| gate.sum())
    }

    /// The gated sum of the metrics of every unit, each of its update and its score. What is
    /// missing for whatever reason has failed.
    pub(super) fn metrics(
        &mut self,
        round: u32,
        model: &[f32],
        gate: &Gate,
        metrics: &Metrics,
    ) -> IntegerSum {
        let units = self.contributions;
        if let Ok(pool) = self.units()
            // None are, where there was no room for them.
            && pool.units() == units
            && let Ok(sum) = pool.metrics(round, model, gate, metrics)
        {
            return sum;
        }
        let failed = metrics.gate().quantise(&metrics.contribution(gate.clip(), None, None));
        let mut sum = metrics.gate().sum();
        for _ in 0..units {
            let added = sum.add(&failed);
            debug_assert!(added.is_ok());
        }
        sum
    }

    /// How well a released model does on public rows; NaN where the code does not say.
    pub(super) fn score(&mut self, model: &[f32], rows: &UnitRows) -> Score {
        let predictions = self.public().and_then(|pool| pool.score(model, &rows.features));
        match predictions {
            Ok(predictions) => {
                Score::of(&predictions, &rows.targets, self.settings.targets as usize)
            }
            Err(_) => Score::NONE,
        }
    }

    fn units(&mut self) -> Result<&mut Pool, PoolError> {
        let Self { workshop, compiled, settings, units, .. } = self;
        started(units, || workshop.pool(workshop.workers, compiled, settings))
    }

    fn public(&mut self) -> Result<&mut Pool, PoolError> {
        let Self { workshop, compiled, settings, public, .. } = self;
        started(public, || workshop.pool(1, compiled, settings))
    }
}

fn started(
    slot: &mut Option<Pool>,
    start: impl FnOnce() -> Result<Pool, PoolError>,
) -> Result<&mut Pool, PoolError> {
    match slot {
        Some(pool) => Ok(pool),
        None => Ok(slot.insert(start()?)),
    }
}
