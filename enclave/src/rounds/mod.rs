//! The rounds of a job: units in, noised releases out, and nothing else.
//!
//! 1. Centring, if the job has it: the noised mean of each unit's mean features.
//! 2. Features become `clamp(scale * (x - centre))`.
//! 3. Units are put into groups, if the job has them.
//! 4. Each round: one update for each unit, or group, or for each unit that a coin has take
//!    part, from a fresh sandbox, through the gate into an integer sum; noise; the server's
//!    step. Who took part is forgotten, and how many.
//! 5. Metrics, if the job has them: four numbers of each unit, or group, at the final model,
//!    the same way. No coin leaves anybody out of them.
//!
//! [`run`] is the same for the served path, benchmarks and tests; what differs is the
//! [`Outlet`] that releases go to, which also decides when.
//!
//! # After code has seen rows
//!
//! A round has no error. An update that is missing for whatever reason, the failure of all
//! workers included, is the zero update. What happens to releases afterwards (the step,
//! the score) uses released numbers and public rows only, and the score comes from a
//! worker that never sees a row of a dataset, so that no malice towards one shows in it.
//! Metrics are a sum of what units' own calls said, as a round is.
//!
//! # Memory
//!
//! The units are in memory once, shared with the workers, but for the moment in which they
//! are handed over. Besides them a round holds one integer sum (8 bytes for each number of
//! the model), two sums of each worker on their way (4 each), the model (8 + 4), and its last
//! iterates (8 for each of `average_last`); workers hold as much as the job's limits say,
//! their own sum (4) and the model (4).

mod features;
mod metrics;
pub mod plan;
mod pools;
mod timetable;
#[cfg(feature = "visible-sum")]
mod visible;

pub use plan::{Centring, Plan};
pub use pools::{Pools, Workshop};
pub use timetable::Timetable;

use std::ops::ControlFlow;

use cloister_privacy::{DiscreteGaussian, Gate, IntegerSum, NoisySum};
use cloister_protocol::{job, release::Stage};
use cloister_sandbox::Score;
use rand_core::CryptoRng;

use crate::{release::Tensor, rows::Units};

/// Where releases go.
pub trait Outlet {
    /// Takes the next release. It returns when the release has happened, which the outlet
    /// may delay until the release's time; [`ControlFlow::Break`] ends the job early.
    fn release(&mut self, output: Output) -> ControlFlow<()>;
}

/// What one release says.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its number, from 0.
    pub number: u32,
    /// Centring, which round, or metrics.
    pub stage: Stage,
    /// What the gate did.
    pub gate: job::Gate,
    /// How many contributions the mean is over: public.
    pub divisor: u64,
    /// What it cost, in pico-rho.
    pub cost: u64,
    /// The released tensors.
    pub tensors: Vec<Tensor>,
}

impl Output {
    /// The released tensor of this name, if it has doubles.
    #[must_use]
    pub fn doubles(&self, name: &str) -> Option<&[f64]> {
        self.tensors.iter().find(|tensor| tensor.name() == name).and_then(Tensor::doubles)
    }
}

/// An outlet that keeps everything and waits for nothing.
impl Outlet for Vec<Output> {
    fn release(&mut self, output: Output) -> ControlFlow<()> {
        self.push(output);
        ControlFlow::Continue(())
    }
}

/// Runs all rounds of a job and gives each release to `outlet`.
///
/// `rng` makes the noise: in the enclave the system's entropy seeds it, never the job.
/// Returns whether all releases were made, or the outlet ended the job before.
pub fn run<R: CryptoRng>(
    plan: &Plan,
    mut units: Units,
    pools: &mut Pools,
    rng: &mut R,
    outlet: &mut impl Outlet,
) -> ControlFlow<()> {
    let mut number = 0;
    let mut state = plan.start();
    // Public: the code made it from the job's parameters, before any row was there. Whoever
    // replays the rounds begins from it.
    let mut first_model = Some(Tensor::floats("first_model", state.model().to_vec()));
    let mut centre = vec![0.0; plan.shape.features.len()];
    if let Some(centring) = &plan.centring {
        let sum = sum_of_means(&centring.gate, &units);
        let noised = noise(sum, &centring.noise, rng, 0);
        centre = plan::mean(&noised, plan.units);
        let mut tensors = vec![
            Tensor::integers("noised_sum", noised.values().to_vec()),
            Tensor::floats("centre", centre.clone()),
        ];
        tensors.extend(first_model.take());
        let (gate, divisor, cost) = (centring.declared, plan.units, centring.cost);
        outlet.release(Output { number, stage: Stage::Centring, gate, divisor, cost, tensors })?;
        number += 1;
    }
    let standardise = plan.standardise(&centre);
    standardise.apply(&mut units);
    pools.load(plan.contributions(units, rng));
    let public = plan.public.as_ref().map(|public| standardise.applied(public));

    for round in 1..=plan.rounds {
        let model = state.model_f32();
        let drawn = plan.drawn(pools.contributions(), rng);
        let sum = pools.round(round, &model, &plan.gate, drawn.as_deref());
        let noised = noise(sum, &plan.noise, rng, round);
        plan.step(&mut state, &noised);
        let mut tensors = vec![
            Tensor::integers("noised_sum", noised.values().to_vec()),
            Tensor::floats("model", state.model().to_vec()),
        ];
        tensors.extend(first_model.take());
        let mut scored = state.model_f32();
        if round == plan.rounds {
            tensors.push(Tensor::floats("final_model", state.averaged()));
            scored = state.averaged_f32();
        }
        if let Some(public) = &public {
            let Score { accuracy, loss } = pools.score(&scored, public);
            tensors.push(Tensor::floats("accuracy", vec![accuracy]));
            tensors.push(Tensor::floats("loss", vec![loss]));
        }
        let (gate, divisor, cost) = (plan.declared, plan.divisor, plan.round_cost);
        let stage = Stage::Round(round);
        outlet.release(Output { number, stage, gate, divisor, cost, tensors })?;
        number += 1;
    }
    if let Some(measured) = &plan.metrics {
        let round = plan.rounds + 1;
        let model = state.averaged_f32();
        let sum = pools.metrics(round, &model, &plan.gate, &measured.metrics);
        let noised = noise(sum, &measured.noise, rng, round);
        outlet.release(measured.output(number, &noised))?;
    }
    ControlFlow::Continue(())
}

/// The gated sum of each unit's mean features.
fn sum_of_means(gate: &Gate, units: &Units) -> IntegerSum {
    let mut sum = gate.sum();
    let mut quantised = gate.quantise(&[]);
    for unit in units.as_slice() {
        gate.quantise_into(&features::mean(unit, gate.dimension()), &mut quantised);
        add(&mut sum, &quantised);
    }
    sum
}

fn add(sum: &mut IntegerSum, update: &cloister_privacy::Quantised) {
    // Both are of the same gate, and there are fewer units than a sum takes: see admission.
    let added = sum.add(update);
    debug_assert!(added.is_ok());
}

fn noise<R: CryptoRng>(
    sum: IntegerSum,
    noise: &DiscreteGaussian,
    rng: &mut R,
    round: u32,
) -> NoisySum {
    #[cfg(feature = "visible-sum")]
    visible::write(round, &sum);
    #[cfg(not(feature = "visible-sum"))]
    let _ = round;
    sum.noise(noise, rng)
}
