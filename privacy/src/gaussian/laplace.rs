//! Exact discrete Laplace noise, from which the Gaussian is made.

use rand_core::Rng;

use super::{
    MAX_SIGMA_STEPS,
    bernoulli::{bernoulli_exp, bernoulli_exp_one},
    uniform::uniform_below,
};
use crate::Error;

/// Samples of at least this many scales are redrawn, so that all arithmetic is
/// bounded. A sample is that large with probability exp(-2^24), below
/// 10^-7,000,000; nothing else about the distribution is approximate.
const MAX_SCALES: u64 = 1 << 24;

/// The distribution of P(x) proportional to exp(-|x| / scale) on the integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscreteLaplace {
    scale: u64,
}

impl DiscreteLaplace {
    /// The distribution with this scale, in grid steps.
    ///
    /// # Errors
    ///
    /// [`Error::SigmaOutOfRange`] unless the scale is from 1 to [`MAX_SIGMA_STEPS`].
    pub fn new(scale_steps: u64) -> Result<Self, Error> {
        if (1..=MAX_SIGMA_STEPS).contains(&scale_steps) {
            Ok(Self { scale: scale_steps })
        } else {
            Err(Error::SigmaOutOfRange { found: scale_steps, max: MAX_SIGMA_STEPS })
        }
    }

    /// One sample, within 2^56 of zero.
    #[inline]
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> i64 {
        loop {
            let magnitude = self.magnitude(rng);
            let negative = rng.next_u32() >> 31 == 1;
            // Zero has one sign only, or it would come up twice as often.
            match (negative, magnitude) {
                (true, 0) => {}
                (true, magnitude) => return -magnitude,
                (false, magnitude) => return magnitude,
            }
        }
    }

    /// A sample of P(x) proportional to exp(-x / scale) on 0, 1, 2, ...: the
    /// remainder by the scale, by rejection, and the independent geometric quotient.
    #[inline]
    fn magnitude<R: Rng + ?Sized>(self, rng: &mut R) -> i64 {
        loop {
            let remainder = uniform_below(self.scale, rng);
            if !bernoulli_exp(u128::from(remainder), u128::from(self.scale), rng) {
                continue;
            }
            let mut quotient = 0;
            while quotient < MAX_SCALES && bernoulli_exp_one(rng) {
                quotient += 1;
            }
            if quotient < MAX_SCALES {
                // Below 2^24 * 2^32 = 2^56.
                return (quotient * self.scale + remainder).cast_signed();
            }
        }
    }
}
