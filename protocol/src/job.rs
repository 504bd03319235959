//! A job: what is to be trained on which data, and exactly what the gate does.
//!
//! What leaves, when, and at what cost follows from the job alone, before any row
//! is read. Amounts of privacy are in pico-rho: 1e-12 of zCDP's rho.

mod metrics;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use cloister_privacy::{JobCost, Rate, Release, Sensitivity};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use thiserror::Error;

use crate::{
    code::CodeManifest,
    dataset::{DatasetManifest, Population},
    digest::{Digest, Id},
    keys::KeyId,
    limits,
    signed::Kind,
};

pub use metrics::Metrics;

/// A job as its orchestrator signs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Always 1.
    pub version: u32,
    /// Chosen at random by the orchestrator.
    pub job: ByteArray<16>,
    /// What for, in the words that policies list.
    pub purpose: String,
    /// What the enclave does.
    pub role: JobRole,
    /// The code to run.
    pub code: Id<CodeManifest>,
    /// Parameters of the code that differ from their defaults.
    pub parameters: BTreeMap<String, f64>,
    /// The datasets, exactly and in this order. Those of one owner and population are
    /// tables to be joined, and stand next to each other: see [`Job::populations`].
    pub datasets: Vec<JobDataset>,
    /// Training rounds: the number of releases, those of centring and metrics apart.
    pub rounds: u32,
    /// What the gate does in each round.
    pub gate: Gate,
    /// The release before the first round that centres the features, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centring: Option<Centring>,
    /// The release after the last round about the owners' own rows, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// What happens to the released means: post-processing, free of charge.
    pub server: ServerStep,
    /// When releases happen.
    pub schedule: Schedule,
    /// What one call of the code may use.
    pub limits: CallLimits,
    /// What all releases cost each population, in pico-rho, rounded up; at all orders, where
    /// sampling saves nothing. A ledger that is kept at one order charges what it costs there.
    pub cost: u64,
    /// Seed of the code's own random stream. Noise never depends on it.
    pub seed: u64,
    /// Who may read the outputs.
    pub recipients: Recipients,
    /// A public evaluation set, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_set: Option<PublicSet>,
    /// After this time (seconds since 1970) brokers grant nothing for this job.
    pub not_after: u64,
}

impl Kind for Job {
    const KIND: &'static str = "job";
}

/// What the enclave does with the datasets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobRole {
    /// Trains on the datasets and releases their aggregate itself.
    Both,
}

/// One dataset of a job, with what its owner's manifest says in public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobDataset {
    /// The manifest.
    pub manifest: Id<DatasetManifest>,
    /// Its owner.
    pub owner: KeyId,
    /// Whom it is about.
    pub population: Population,
    /// Its declared number of units.
    pub units: u64,
}

/// Clipping, grid and noise of one release.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// What one contribution is.
    pub mode: GateMode,
    /// The L2 norm that a contribution is clipped to.
    pub clip: f64,
    /// Grid steps in that norm.
    pub steps: u64,
    /// Standard deviation of the discrete Gaussian noise, in grid steps.
    pub sigma: u64,
}

/// What one contribution to a sum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateMode {
    /// Each unit's update; sensitivity is the clip.
    Unit,
    /// The update of each of so many groups, to which units are assigned by a secret of the
    /// enclave's; sensitivity is twice the clip, for a unit turns its group's update into
    /// another. Groups without a unit count, too.
    Groups(u32),
    /// The update of each unit that takes part in the round: each does with this probability,
    /// by coins of the enclave's that nobody sees; sensitivity is the clip. The mean is over
    /// the number that takes part on average.
    Sampled(Rate),
}

/// The centring release: a noised mean of (x - typical) / (upper - lower) over units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Centring {
    /// The L2 norm that a unit's mean is clipped to.
    pub clip: f64,
    /// Grid steps in that norm.
    pub steps: u64,
    /// Standard deviation of the noise, in grid steps.
    pub sigma: u64,
}

/// What happens to the mean of each round, in 64-bit floating point:
/// `velocity = momentum * velocity + mean; model = model - rate * velocity`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerStep {
    /// The learning rate.
    pub rate: f64,
    /// The momentum; 0 for none.
    pub momentum: f64,
    /// The final model is the mean of this many last iterates; 1 for the last alone.
    pub average_last: u32,
    /// Features are multiplied by this after centring.
    pub scale: f64,
    /// Features are then clamped to plus and minus this.
    pub clamp: f64,
}

/// When releases happen, counted from the moment all data is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Milliseconds to the first release.
    pub first_ms: u64,
    /// Milliseconds from each release to the next.
    pub interval_ms: u64,
}

/// What one call of the code may use; deterministic, the same for every unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallLimits {
    /// Fuel, roughly one per instruction; kernels charge by size.
    pub fuel: u64,
    /// Bytes of tensors and linear memory together.
    pub memory: u64,
}

/// Who may read the outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipients {
    /// Outputs leave in clear.
    Anyone,
}

/// A public evaluation set: Arrow IPC in clear, with the datasets' columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicSet {
    /// `Digest::of("public-set", [bytes])`.
    pub digest: Digest,
    /// Its length in bytes.
    pub length: u64,
}

/// Why a job was refused for what it says itself.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum JobError {
    /// A version this build does not read.
    #[error("job format version {0}; this build reads version 1")]
    Version(u32),
    /// No dataset, or more than a job can have.
    #[error("{0} datasets; a job has 1 to {max}", max = limits::DATASETS)]
    Datasets(usize),
    /// A dataset is there twice.
    #[error("dataset {0:?} is in the job twice: name it once")]
    DatasetTwice(Id<DatasetManifest>),
    /// Tables about the same people, with others between them.
    #[error(
        "the tables of population {0:?} of one owner stand apart, and the same people would \
         count twice: name them one after the other, and they are joined"
    )]
    PopulationApart(Population),
    /// A number out of its range.
    #[error("{field} is {found}; {rule}")]
    Number {
        /// The field.
        field: &'static str,
        /// The value found.
        found: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// The purpose is not a usable name.
    #[error("the purpose is not a usable name: {0:?}")]
    Purpose(String),
}

impl Job {
    /// Checks every rule that needs nothing but the job.
    pub fn validate(&self) -> Result<(), JobError> {
        if self.version != 1 {
            return Err(JobError::Version(self.version));
        }
        if crate::dataset::check_name(&self.purpose).is_err() {
            return Err(JobError::Purpose(self.purpose.chars().take(40).collect()));
        }
        if self.datasets.is_empty() || self.datasets.len() > limits::DATASETS {
            return Err(JobError::Datasets(self.datasets.len()));
        }
        tables::check(&self.datasets)?;
        for dataset in &self.datasets {
            within("units", dataset.units, 1, limits::UNITS, "a dataset has 1 to 2^32 units")?;
        }
        within("rounds", self.rounds, 1, limits::ROUNDS, "1 to 10000 are allowed")?;
        if let GateMode::Groups(groups) = self.gate.mode {
            let rule = "1 up to the number of units is allowed";
            within("groups", u64::from(groups), 1, self.units(), rule)?;
        }
        positive("clip", self.gate.clip)?;
        within("steps", self.gate.steps, 16, 1 << 24, "16 to 2^24 are allowed")?;
        within("sigma", self.gate.sigma, 1, 1 << 32, "1 to 2^32 steps are allowed")?;
        if let Some(centring) = &self.centring {
            positive("centring.clip", centring.clip)?;
            within("centring.steps", centring.steps, 16, 1 << 24, "16 to 2^24 are allowed")?;
            within("centring.sigma", centring.sigma, 1, 1 << 32, "1 to 2^32 steps are allowed")?;
        }
        self.metrics.iter().try_for_each(Metrics::validate)?;
        let server = &self.server;
        positive("server.rate", server.rate)?;
        positive("server.scale", server.scale)?;
        positive("server.clamp", server.clamp)?;
        if !(0.0..1.0).contains(&server.momentum) {
            let found = server.momentum.to_string();
            let rule = "at least 0 and less than 1 is allowed";
            return Err(JobError::Number { field: "server.momentum", found, rule });
        }
        let rule = "1 up to the number of rounds is allowed";
        within("server.average_last", server.average_last, 1, self.rounds, rule)?;
        let day = 24 * 60 * 60 * 1000;
        let rule = "10 ms to one day is allowed";
        within("schedule.first_ms", self.schedule.first_ms, 10, day, rule)?;
        within("schedule.interval_ms", self.schedule.interval_ms, 10, day, rule)?;
        let rule = "1000 to 10^12 is allowed";
        within("limits.fuel", self.limits.fuel, 1000, 1_000_000_000_000, rule)?;
        let rule = "64 KiB to 1 GiB is allowed";
        within("limits.memory", self.limits.memory, 1 << 16, 1 << 30, rule)?;
        let length = self.public_set.as_ref().map_or(1, |set| set.length);
        within("public_set.length", length, 1, limits::PUBLIC_SET, "64 MiB are allowed")
    }

    /// The public divisor of the mean that a gate of this mode makes: how many contributions
    /// there are.
    #[must_use]
    pub fn divisor(&self, mode: GateMode) -> u64 {
        match mode {
            GateMode::Unit => self.units(),
            GateMode::Groups(groups) => groups.into(),
            GateMode::Sampled(rate) => rate.of(self.units()),
        }
    }

    /// What its releases cost, in their order.
    #[must_use]
    pub fn charges(&self) -> JobCost {
        let centring = self.centring.map(|centring| (1, centring.gate().release()));
        let rounds = (self.rounds, self.gate.release());
        let metrics = self.metrics.map(|metrics| (1, metrics.gate(self.gate.mode).release()));
        JobCost::new(centring.into_iter().chain([rounds]).chain(metrics))
    }

    /// Releases of this job: one per round, and those of centring and metrics, if any.
    #[must_use]
    pub fn releases(&self) -> u32 {
        self.rounds + u32::from(self.centring.is_some()) + u32::from(self.metrics.is_some())
    }
}

impl Gate {
    /// A release through this gate, as it is charged.
    #[must_use]
    pub fn release(&self) -> Release {
        let (sensitivity, sampling) = match self.mode {
            GateMode::Unit => (Sensitivity::Unit, None),
            GateMode::Groups(_) => (Sensitivity::Group, None),
            GateMode::Sampled(rate) => (Sensitivity::Unit, Some(rate)),
        };
        Release { sensitivity, steps: self.steps, sigma_steps: self.sigma, sampling }
    }
}

impl Centring {
    /// What the gate does: by unit, whatever the rounds do.
    #[must_use]
    pub fn gate(&self) -> Gate {
        let Self { clip, steps, sigma } = *self;
        Gate { mode: GateMode::Unit, clip, steps, sigma }
    }
}

fn within<T: PartialOrd + ToString + Copy>(
    field: &'static str,
    found: T,
    least: T,
    most: T,
    rule: &'static str,
) -> Result<(), JobError> {
    if least <= found && found <= most {
        return Ok(());
    }
    Err(JobError::Number { field, found: found.to_string(), rule })
}

fn positive(field: &'static str, found: f64) -> Result<(), JobError> {
    if found.is_finite() && found > 0.0 {
        return Ok(());
    }
    let rule = "a finite number above 0 is needed";
    Err(JobError::Number { field, found: found.to_string(), rule })
}
