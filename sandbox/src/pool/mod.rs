//! Worker processes, and work spread over them.

mod metrics;
mod process;
mod round;

use std::marker::PhantomData;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::fuel;
use crate::limits::{
    Limits, MAX_FRAME_BYTES, MAX_MODEL_ELEMENTS, MAX_PARAMETERS, MAX_UNIT_ELEMENTS,
};
use crate::offer::Compiled;
#[cfg(feature = "examine")]
use crate::protocol::whole;
use crate::protocol::{Kind, Setup, push_frame, push_model, push_setup};
use crate::shared::SharedUnits;
use crate::units::UnitRows;
use process::{Launcher, Process};

/// What a job fixes for all its units.
#[derive(Clone)]
pub struct Settings {
    /// What an instance may use.
    pub limits: Limits,
    /// Every declared parameter, in the declared order.
    pub params: Vec<(String, f64)>,
    /// The job's seed, for the component's `random` only.
    pub seed: [u8; 32],
    /// Features of a row.
    pub features: u32,
    /// Targets of a row.
    pub targets: u32,
}

/// Why a pool could not start or score. Never says anything about a unit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// No workers.
    #[error("a pool needs at least one worker")]
    NoWorkers,
    /// The settings are out of range.
    #[error("{what} is {found}, at most {limit} is allowed")]
    TooMuch {
        /// What is out of range.
        what: &'static str,
        /// Its value.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A worker process did not start.
    #[error(
        "a worker process did not start or did not confine itself ({0}); the kernel must \
             allow seccomp filters and close_range"
    )]
    Start(#[source] std::io::Error),
    /// There is no memory for the units.
    #[error("the units cannot be put into memory that workers share ({0})")]
    Memory(#[source] std::io::Error),
    /// A worker process ended, or did not answer in time.
    #[error("a worker process ended without an answer")]
    Died,
    /// `init` failed.
    #[error("`init` of the component trapped, ran out of fuel, or made a model that is not finite")]
    InitFailed,
    /// `score` failed.
    #[error("`score` of the component trapped, ran out of fuel, or returned a wrong shape")]
    ScoreFailed,
    /// Something has another size than the job says.
    #[error("{what} has {found} elements, expected {expected}")]
    Shape {
        /// What has a wrong size.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The right size.
        expected: usize,
    },
}

/// Workers that run one component with one job's settings.
///
/// A pool stays on the thread that started it: when that thread ends, so do the workers.
pub struct Pool {
    launcher: Launcher,
    workers: Vec<Option<Process>>,
    features: u32,
    targets: u32,
    model_shape: (u32, u32),
    first_model: Arc<[f32]>,
    /// A worker that is silent for this long, and for the time that its units may take, is
    /// replaced.
    patience: Duration,
    /// No unit can take a tenth of it.
    patience_per_unit: Duration,
    /// Units of the last round, by worker.
    shares: Vec<usize>,
    /// The kernel ends a worker together with the thread that started it.
    one_thread: PhantomData<*const ()>,
}

impl Pool {
    /// Starts workers with `command`, whose program must call [`crate::worker::main`], and
    /// asks one for the first model.
    ///
    /// The command's standard streams and environment are replaced.
    pub fn start(
        command: Command,
        workers: usize,
        compiled: &Compiled,
        settings: Settings,
    ) -> Result<Self, PoolError> {
        check(workers, compiled, &settings)?;
        let patience = patience(&settings.limits);
        let patience_per_unit = fuel::worst_case_unit(&settings.limits).saturating_mul(10);
        let (features, targets) = (settings.features, settings.targets);
        let mut setup = Vec::new();
        push_setup(
            &mut setup,
            &Setup {
                component: compiled.bytes().to_vec(),
                limits: settings.limits,
                params: settings.params,
                seed: settings.seed,
                features,
                targets,
            },
        )
        .map_err(PoolError::Start)?;
        let mut launcher = Launcher::new(command, setup);
        let mut processes = Vec::with_capacity(workers);
        for _ in 0..workers {
            processes.push(Some(launcher.launch().map_err(PoolError::Start)?));
        }
        let mut pool = Self {
            launcher,
            workers: processes,
            features,
            targets,
            model_shape: (0, 0),
            first_model: [].into(),
            patience,
            patience_per_unit,
            shares: vec![0; workers],
            one_thread: PhantomData,
        };
        pool.ask_for_first_model()?;
        Ok(pool)
    }

    /// The first model, as the component's `init` made it.
    #[must_use]
    pub fn init_model(&self) -> &[f32] {
        &self.first_model
    }

    /// Rows and columns of the model.
    #[must_use]
    pub fn model_shape(&self) -> (u32, u32) {
        self.model_shape
    }

    /// Bytes that wait to be sent to workers: none once a round is over.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.workers.iter().flatten().map(Process::unsent).sum()
    }

    /// How many units each worker answered for in the last round.
    #[must_use]
    pub fn shares(&self) -> &[usize] {
        &self.shares
    }

    /// Takes over the units that rounds are about, in memory that workers share. Each is
    /// erased where it was. Workers are started anew, for that memory is theirs from the
    /// beginning; those that do not start now are tried again in a round.
    ///
    /// # Errors
    ///
    /// [`PoolError::TooMuch`], and [`PoolError::Memory`] if the system has none.
    pub fn load(&mut self, units: Vec<UnitRows>) -> Result<(), PoolError> {
        let (found, limit) = (units.len(), u32::MAX as usize);
        if found > limit {
            return Err(PoolError::TooMuch { what: "the number of units", found, limit });
        }
        let units =
            SharedUnits::new(units, self.features, self.targets).map_err(PoolError::Memory)?;
        let workers = self.workers.len();
        self.workers.clear();
        self.launcher.share(units);
        self.workers = self.launcher.launch_all(workers);
        Ok(())
    }

    /// How many units are loaded.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.launcher.units()
    }

    /// Everything about one unit's update, for code that is tried on rows of one's own.
    ///
    /// # Errors
    ///
    /// [`PoolError`], never for what the unit does.
    #[cfg(feature = "examine")]
    pub fn examine(
        &mut self,
        round: u32,
        model: &[f32],
        unit: u32,
    ) -> Result<crate::Examined, PoolError> {
        use crate::{Examined, Outcome};
        self.check_model(model)?;
        let (shape, patience) = (self.model_shape, self.patience);
        let worker = self.worker(0)?;
        let out = worker.outgoing();
        push_model(out, round, shape, None, model);
        push_frame(out, Kind::Examine, &[unit], &[]);
        let answer = worker.numbers::<5>(std::time::Instant::now() + patience);
        let answer =
            answer.and_then(|numbers| Ok((numbers, worker.answer(model.len(), patience)?)));
        match answer {
            Ok(([outcome, fuel_low, fuel_high, low, high], update)) => Ok(Examined {
                outcome: Outcome::of_number(outcome).ok_or(PoolError::Died)?,
                update: update.unwrap_or_default(),
                fuel: whole(fuel_low, fuel_high),
                memory: whole(low, high),
            }),
            Err(PoolError::Died) => {
                self.workers[0] = None;
                let (outcome, update) = (Outcome::Died, Vec::new());
                Ok(Examined { outcome, update, fuel: 0, memory: 0 })
            }
            Err(error) => Err(error),
        }
    }

    /// Sets how long a worker may be silent before it is replaced, and how much longer for
    /// each unit that it was sent.
    pub fn set_patience(&mut self, patience: Duration, per_unit: Duration) {
        (self.patience, self.patience_per_unit) = (patience, per_unit);
    }

    /// Process ids of the workers that are running, for supervision.
    #[must_use]
    pub fn worker_ids(&self) -> Vec<u32> {
        self.workers.iter().flatten().map(Process::id).collect()
    }

    /// Predictions of `model` for public rows, `features` row after row: row after row of
    /// targets.
    pub fn score(&mut self, model: &[f32], features: &[f32]) -> Result<Vec<f32>, PoolError> {
        self.check_model(model)?;
        let columns = self.features as usize;
        if !features.len().is_multiple_of(columns) {
            return Err(PoolError::Shape {
                what: "the last public row",
                found: features.len() % columns,
                expected: columns,
            });
        }
        let rows_at_once = (MAX_UNIT_ELEMENTS / (columns + self.targets as usize)).max(1);
        let mut scores = Vec::new();
        for rows in features.chunks(rows_at_once * columns) {
            let result = self.score_piece(model, rows, &mut scores);
            if matches!(result, Err(PoolError::Died)) {
                self.workers[0] = None;
            }
            result?;
        }
        Ok(scores)
    }

    fn score_piece(
        &mut self,
        model: &[f32],
        features: &[f32],
        scores: &mut Vec<f32>,
    ) -> Result<(), PoolError> {
        let rows = u32::try_from(features.len() / self.features as usize).unwrap_or(u32::MAX);
        let expected = rows as usize * self.targets as usize;
        let (shape, patience) = (self.model_shape, self.patience);
        let worker = self.worker(0)?;
        let out = worker.outgoing();
        push_model(out, 0, shape, None, model);
        push_frame(out, Kind::Score, &[rows], &[features]);
        let values = worker.answer(expected, patience)?;
        scores.extend(values.ok_or(PoolError::ScoreFailed)?);
        Ok(())
    }

    fn ask_for_first_model(&mut self) -> Result<(), PoolError> {
        let patience = self.patience;
        let worker = self.worker(0)?;
        push_frame(worker.outgoing(), Kind::Init, &[], &[]);
        let model = worker.first_model(patience)?;
        let model = model.ok_or(PoolError::InitFailed)?;
        self.model_shape = (model.rows, model.columns);
        self.first_model = model.values;
        Ok(())
    }

    /// A running worker, started again if it has died.
    fn worker(&mut self, index: usize) -> Result<&mut Process, PoolError> {
        let slot = &mut self.workers[index];
        match slot {
            Some(worker) => Ok(worker),
            None => Ok(slot.insert(self.launcher.launch().map_err(PoolError::Start)?)),
        }
    }

    fn check_model(&self, model: &[f32]) -> Result<(), PoolError> {
        if model.len() == self.first_model.len() {
            return Ok(());
        }
        Err(PoolError::Shape {
            what: "the model",
            found: model.len(),
            expected: self.first_model.len(),
        })
    }
}

fn check(workers: usize, compiled: &Compiled, settings: &Settings) -> Result<(), PoolError> {
    let width = (settings.features as usize).saturating_add(settings.targets as usize);
    if workers == 0 {
        return Err(PoolError::NoWorkers);
    }
    for (what, found, limit) in [
        ("the number of workers", workers, 1024),
        ("the number of parameters", settings.params.len(), MAX_PARAMETERS),
        ("the number of features and targets", width, MAX_UNIT_ELEMENTS),
        ("the size of the compiled component", compiled.bytes().len(), MAX_FRAME_BYTES / 2),
    ] {
        if found > limit {
            return Err(PoolError::TooMuch { what, found, limit });
        }
    }
    if settings.features == 0 {
        return Err(PoolError::Shape { what: "a row's features", found: 0, expected: 1 });
    }
    const { assert!(4 * MAX_MODEL_ELEMENTS + 1024 < MAX_FRAME_BYTES) };
    Ok(())
}

/// How long a worker may be silent: far above what fuel allows, for the machine may be busy.
fn patience(limits: &Limits) -> Duration {
    let public = Limits { fuel_per_unit: limits.fuel_public, ..limits.clone() };
    let longest = fuel::worst_case_unit(limits).max(fuel::worst_case_unit(&public));
    longest.saturating_mul(10) + Duration::from_secs(30)
}
