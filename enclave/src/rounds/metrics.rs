//! The last release of a job that asks for it: how the final model does on the owners' own
//! rows, and how often the code has no update for them.
//!
//! It goes the way of a round: a sum from the workers, noise, a charge, and the time of the
//! next release. What is counted in it leaves in no other way.

use cloister_privacy::{DiscreteGaussian, Error, Metrics, NoisySum};
use cloister_protocol::{
    job::{self, Job},
    release::Stage,
};

use super::Output;
use crate::release::Tensor;

/// The metrics release of a job.
pub(super) struct Measured {
    pub(super) metrics: Metrics,
    pub(super) noise: DiscreteGaussian,
    /// How many contributions there are: public.
    pub(super) divisor: u64,
    cost: u64,
    declared: job::Gate,
}

impl Measured {
    /// That of a validated job.
    pub(super) fn new(job: &Job, release: job::Metrics) -> Result<Self, Error> {
        let declared = release.gate(job.gate.mode);
        Ok(Self {
            metrics: Metrics::new(release.loss, declared.steps)?,
            noise: DiscreteGaussian::new(declared.sigma)?,
            divisor: job.divisor(declared.mode),
            cost: declared.release().cost()?.as_pico(),
            declared,
        })
    }

    /// What leaves.
    pub(super) fn output(&self, number: u32, noised: &NoisySum) -> Output {
        let means = self.metrics.means(noised, self.divisor);
        let means = means.expect("the sum is of these metrics, and a validated job has units");
        let tensors = vec![
            Tensor::integers("noised_sum", noised.values().to_vec()),
            Tensor::floats("metrics", means.to_vec()),
        ];
        let Self { divisor, cost, declared: gate, .. } = *self;
        Output { number, stage: Stage::Metrics, gate, divisor, cost, tensors }
    }
}
