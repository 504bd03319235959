//! Exact discrete Gaussian noise on the integers.
//!
//! P(x) is proportional to exp(-x^2 / (2 sigma^2)) for integer x and sigma.
//! The rejection sampler of Canonne, Kamath and Steinke 2020 (arXiv 2004.00010,
//! "sampling"): propose from a discrete [Laplace](DiscreteLaplace) distribution of
//! scale t, accept y with probability exp(-(|y| - sigma^2/t)^2 / (2 sigma^2)).
//! It is right for any t; t = sigma makes the numbers small and accepts 3 of 4.
//!
//! Every decision compares integers with random bits, lazily, to as many bits as
//! it takes: no floating point, no table, no modulo bias. How *long* a sample
//! takes depends on its value, so a release must leave at a time that was
//! fixed beforehand.

mod bernoulli;
mod laplace;
mod uniform;

use rand_core::Rng;

use crate::Error;
use bernoulli::bernoulli_exp;
pub use laplace::DiscreteLaplace;

/// The largest sigma, in grid steps. With it every intermediate value fits 128
/// bits and every sample lies within 2^56 (see [`DiscreteLaplace`]).
pub const MAX_SIGMA_STEPS: u64 = 1 << 32;

/// The discrete Gaussian distribution of mean 0 and parameter sigma, in grid steps.
///
/// Its variance is at most sigma squared, and equal to it for any sigma of a few
/// steps or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscreteGaussian {
    sigma: u64,
    proposal: DiscreteLaplace,
}

impl DiscreteGaussian {
    /// The distribution with this sigma.
    ///
    /// # Errors
    ///
    /// [`Error::SigmaOutOfRange`] unless sigma is from 1 to [`MAX_SIGMA_STEPS`].
    pub fn new(sigma_steps: u64) -> Result<Self, Error> {
        Ok(Self { sigma: sigma_steps, proposal: DiscreteLaplace::new(sigma_steps)? })
    }

    /// Sigma in grid steps.
    #[must_use]
    pub fn sigma_steps(&self) -> u64 {
        self.sigma
    }

    /// One sample, within 2^56 of zero. Noise that protects somebody needs a
    /// [`CryptoRng`](rand_core::CryptoRng).
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> i64 {
        let sigma = u128::from(self.sigma);
        loop {
            let y = self.proposal.sample(rng);
            let distance = u128::from(y.unsigned_abs().abs_diff(self.sigma));
            if bernoulli_exp(distance * distance, 2 * sigma * sigma, rng) {
                return y;
            }
        }
    }
}

#[cfg(test)]
mod tests;
