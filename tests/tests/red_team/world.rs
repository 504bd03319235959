//! The product's rounds in this process, with real workers, beside the sums they never release.

use anyhow::{Context, Result, ensure};
use cloister_enclave::{
    admission::call_limits,
    boot,
    rounds::{self, Plan, Pools},
    rows::{Range, Shape, Units},
};
use cloister_protocol::{
    Digest, Id,
    job::{Gate, GateMode, Job, JobDataset, Metrics},
    release::Stage,
};
use cloister_sandbox::{Outcome, Settings, Trial, UnitRows, compile};
use cloister_tests::{Programs, orders};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Grid steps in the clip bound.
pub const STEPS: u64 = 1024;

/// A trainer and a table of so many features and targets.
pub struct World {
    component: Vec<u8>,
    features: u32,
    targets: u32,
    clip: f64,
    steps: u64,
    rate: f64,
    params: Vec<(String, f64)>,
}

impl World {
    /// One target, and no step is taken that would change the model.
    pub fn new(component: Vec<u8>, features: u32, clip: f64) -> Self {
        let (targets, steps, rate, params) = (1, STEPS, 1e-30, Vec::new());
        Self { component, features, targets, clip, steps, rate, params }
    }

    pub fn of_classes(self, targets: u32) -> Self {
        Self { targets, ..self }
    }

    pub fn with_parameter(mut self, name: &str, value: f64) -> Self {
        self.params.push((name.to_owned(), value));
        self
    }

    /// A finer grid, as larger models need.
    pub fn with_steps(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// The model goes so far against the mean of each round.
    pub fn with_rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// So many releases of the sum of these units' updates, in clip bounds. The noise has a
    /// standard deviation of so many clip bounds.
    pub fn releases(
        &self,
        units: Vec<UnitRows>,
        rounds: u32,
        noise: f64,
        seed: u8,
    ) -> Result<Vec<Vec<f64>>> {
        self.releases_in(GateMode::Unit, units, rounds, noise, seed)
    }

    /// The same in another mode of the gate.
    pub fn releases_in(
        &self,
        mode: GateMode,
        units: Vec<UnitRows>,
        rounds: u32,
        noise: f64,
        seed: u8,
    ) -> Result<Vec<Vec<f64>>> {
        let outputs = self.jobs(units, 1, seed, |job| {
            let (steps, sigma) = (self.steps, noise_steps(noise, self.steps));
            job.gate = Gate { mode, clip: self.clip, steps, sigma };
            job.rounds = rounds;
        })?;
        outputs.iter().map(|output| sum_of(output, self.steps)).collect()
    }

    /// The metrics of so many jobs on these units, less one half each, in clip bounds: sums with
    /// noise as above.
    pub fn metrics(
        &self,
        units: &[UnitRows],
        jobs: u32,
        noise: f64,
        seed: u8,
    ) -> Result<Vec<Vec<f64>>> {
        let outputs = self.jobs(units.to_vec(), jobs, seed, |job| {
            job.rounds = 1;
            let sigma = noise_steps(noise, STEPS);
            job.metrics = Some(Metrics { loss: 1.0, steps: STEPS, sigma });
        })?;
        let last = outputs.iter().filter(|output| output.stage == Stage::Metrics);
        last.map(|output| sum_of(output, STEPS)).collect()
    }

    /// How many of these units the code has no update for, counted.
    pub fn failures(&self, units: &[UnitRows]) -> Result<usize> {
        let trial = Trial::new(&compile(&self.component)?, self.settings(&job(Vec::new())?))?;
        let fails = |unit: &&UnitRows| {
            trial.examine(&unit.features, &unit.targets).outcome != Outcome::Update
        };
        Ok(units.iter().filter(fails).count())
    }

    /// All releases of so many jobs on these units, one after the other.
    fn jobs(
        &self,
        units: Vec<UnitRows>,
        jobs: u32,
        seed: u8,
        prepare: impl FnOnce(&mut Job),
    ) -> Result<Vec<rounds::Output>> {
        let mut job = job(vec![orders::nobodys(units.len() as u64)])?;
        job.centring = None;
        prepare(&mut job);
        (job.server.rate, job.server.scale, job.server.clamp) = (self.rate, 1.0, 1e6);
        (job.limits.fuel, job.limits.memory) = LIMITS;
        let compiled = compile(&self.component)?;
        let settings = self.settings(&job);
        let workshop = boot::workshop(Programs::find()?.enclave(), Some(1))?;
        let mut pools = Pools::new(&workshop, &compiled, &settings);
        let model = pools.first_model()?;
        let header = orders::header((0..self.features).map(|i| format!("x{i}")));
        let mut shape = Shape::of(&header);
        let label: Range = *shape.targets.first().context("no label")?;
        shape.targets.resize(self.targets as usize, label);
        let plan = Plan::new(&job, shape, model, None)?;
        let (mut rng, mut outputs) = (ChaCha20Rng::from_seed([seed; 32]), Vec::new());
        for _ in 0..jobs {
            let units = Units::from_rows(units.clone());
            let done = rounds::run(&plan, units, &mut pools, &mut rng, &mut outputs);
            ensure!(done.is_continue(), "the rounds were ended");
        }
        Ok(outputs)
    }

    /// The plain sum of the same updates, in clip bounds: not clipped, without noise.
    pub fn plain_sum(&self, units: &[UnitRows]) -> Result<Vec<f64>> {
        self.plain_sums(units, 1)?.pop().context("no round")
    }

    /// The plain sums of so many rounds, in clip bounds; the model goes against each.
    pub fn plain_sums(&self, units: &[UnitRows], rounds: u32) -> Result<Vec<Vec<f64>>> {
        let mut job = job(Vec::new())?;
        (job.limits.fuel, job.limits.memory) = LIMITS;
        let mut trial = Trial::new(&compile(&self.component)?, self.settings(&job))?;
        let mut sums = Vec::new();
        for _ in 0..rounds {
            let mut sum = vec![0.0; trial.dimension()];
            for unit in units {
                let update = trial.examine(&unit.features, &unit.targets).update;
                ensure!(update.len() == sum.len(), "a unit without an update");
                for (sum, x) in sum.iter_mut().zip(update) {
                    *sum += f64::from(x) / self.clip;
                }
            }
            let step = self.rate * self.clip / units.len() as f64;
            trial.step(&singles(sum.iter().map(|x| step * x)));
            sums.push(sum);
        }
        Ok(sums)
    }

    fn settings(&self, job: &Job) -> Settings {
        let Self { features, targets, ref params, .. } = *self;
        let (limits, params) = (call_limits(&job.limits, 0), params.clone());
        Settings { limits, params, seed: [1; 32], features, targets }
    }
}

/// Fuel and bytes of a call: enough for all of these.
const LIMITS: (u64, u64) = (100_000_000, 1 << 24);

/// What a release says of its sum, in clip bounds of so many steps.
fn sum_of(output: &rounds::Output, steps: u64) -> Result<Vec<f64>> {
    let sum = output.tensors[0].whole().context("no sum")?;
    Ok(sum.iter().map(|value| *value as f64 / steps as f64).collect())
}

fn job(datasets: Vec<JobDataset>) -> Result<Job> {
    orders::job_on(Id::new(Digest::of("test", &[])), datasets)
}

#[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
fn singles(values: impl Iterator<Item = f64>) -> Vec<f32> {
    values.map(|value| value as f32).collect()
}

/// Numbers between -1 and 1 that follow from a seed.
pub fn numbers(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
    .skip(8)
}

/// A patient of one row.
pub fn patient(number: u64, features: u32, label: f32) -> UnitRows {
    UnitRows {
        features: numbers(number + 1).take(features as usize).collect(),
        targets: vec![label],
        rows: 1,
        stream: number,
    }
}

/// Clip bounds in grid steps.
pub fn in_steps(clips: f64) -> u64 {
    noise_steps(clips, STEPS)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
fn noise_steps(clips: f64, steps: u64) -> u64 {
    (clips * steps as f64).round() as u64
}

pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
