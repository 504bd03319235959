//! The product's rounds in this process, with real workers, beside the sums they never release.

use anyhow::{Context, Result, ensure};
use cloister_enclave::{
    admission::call_limits,
    boot,
    rounds::{self, Plan, Pools},
    rows::{Shape, Units},
};
use cloister_protocol::{
    Digest, Id,
    job::{Gate, GateMode, Job, JobDataset},
};
use cloister_sandbox::{Settings, Trial, UnitRows, compile};
use cloister_tests::{Programs, orders};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Grid steps in the clip bound.
pub const STEPS: u64 = 1024;

/// A trainer and a table of so many features.
pub struct World {
    component: Vec<u8>,
    features: u32,
    clip: f64,
}

impl World {
    pub fn new(component: Vec<u8>, features: u32, clip: f64) -> Self {
        Self { component, features, clip }
    }

    /// So many releases of the sum of these units' updates, in clip bounds: no step is taken
    /// that would change the model. The noise has a standard deviation of so many clip bounds.
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
        let mut job = job(vec![orders::nobodys(units.len() as u64)])?;
        job.gate = Gate { mode, clip: self.clip, steps: STEPS, sigma: in_steps(noise) };
        (job.rounds, job.centring) = (rounds, None);
        (job.server.rate, job.server.scale, job.server.clamp) = (1e-30, 1.0, 1e6);
        (job.limits.fuel, job.limits.memory) = (1_000_000, 1 << 22);
        let compiled = compile(&self.component)?;
        let settings = self.settings(&job);
        let workshop = boot::workshop(Programs::find()?.enclave(), Some(1))?;
        let mut pools = Pools::new(&workshop, &compiled, &settings);
        let model = pools.first_model()?;
        let header = orders::header((0..self.features).map(|i| format!("x{i}")));
        let plan = Plan::new(&job, Shape::of(&header), model, None)?;
        let (mut rng, mut outputs) = (ChaCha20Rng::from_seed([seed; 32]), Vec::new());
        let units = Units::from_rows(units);
        let done = rounds::run(&plan, units, &mut pools, &mut rng, &mut outputs);
        ensure!(done.is_continue(), "the rounds were ended");
        let sum = |output: &rounds::Output| {
            let sum = output.tensors[0].whole().context("no sum")?;
            Ok(sum.iter().map(|steps| *steps as f64 / STEPS as f64).collect())
        };
        outputs.iter().map(sum).collect()
    }

    /// The plain sum of the same updates, in clip bounds: not clipped, without noise.
    pub fn plain_sum(&self, units: &[UnitRows]) -> Result<Vec<f64>> {
        let settings = self.settings(&job(Vec::new())?);
        let trial = Trial::new(&compile(&self.component)?, settings)?;
        let mut sum = vec![0.0; trial.dimension()];
        for unit in units {
            let update = trial.examine(&unit.features, &unit.targets).update;
            ensure!(update.len() == sum.len(), "a unit without an update");
            for (sum, x) in sum.iter_mut().zip(update) {
                *sum += f64::from(x) / self.clip;
            }
        }
        Ok(sum)
    }

    fn settings(&self, job: &Job) -> Settings {
        let limits = call_limits(&job.limits, 0);
        Settings { limits, params: Vec::new(), seed: [1; 32], features: self.features, targets: 1 }
    }
}

fn job(datasets: Vec<JobDataset>) -> Result<Job> {
    orders::job_on(Id::new(Digest::of("test", &[])), datasets)
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
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
pub fn in_steps(clips: f64) -> u64 {
    (clips * STEPS as f64).round() as u64
}

pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
