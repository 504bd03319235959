//! How well a model does and how often code fails, as four numbers of each contribution.
//!
//! Each is a share, from 0 to 1. What is added up is the share less one half: the norm of
//! four such numbers is at most 1, that of the shares would be up to 2, and noise follows the
//! norm. The number of contributions is public, so whoever has the noised sum adds the half
//! again.

use crate::{Error, Gate, NoisySum};

/// What the four numbers are, in their order.
pub const METRICS: [&str; 4] = ["failed", "clipped", "accuracy", "loss"];

/// The clip of their sum: no four numbers between plus and minus one half are longer.
pub const METRICS_CLIP: f64 = 1.0;

/// The smallest and the largest loss that may count as 1.
const LOSSES: [f64; 2] = [crate::gate::MIN_CLIP, crate::gate::MAX_CLIP];

/// What four numbers are added up of each contribution, and on which grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    loss: f64,
    gate: Gate,
}

impl Metrics {
    /// Metrics in which a loss of `loss` or more counts as 1, on a grid with `steps` steps.
    ///
    /// # Errors
    ///
    /// [`Error::LossOutOfRange`], and those of [`Gate::new`].
    pub fn new(loss: f64, steps: u64) -> Result<Self, Error> {
        let [min, max] = LOSSES;
        if !(min..=max).contains(&loss) {
            return Err(Error::LossOutOfRange { found: loss, min, max });
        }
        Ok(Self { loss, gate: Gate::new(METRICS_CLIP, steps, METRICS.len())? })
    }

    /// The gate that contributions go through.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The loss that counts as 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// What is added up for a contribution: its update's L2 norm, if it has a usable update,
    /// beside the `clip` of the rounds; and accuracy and loss of a model on its rows, if there
    /// is a score. What is missing, or no number, is the worst.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the gate takes singles")]
    pub fn contribution(
        &self,
        clip: f64,
        norm: Option<f64>,
        score: Option<[f64; 2]>,
    ) -> [f32; METRICS.len()] {
        let [accuracy, loss] = score.unwrap_or([f64::NAN; 2]);
        let shares = [
            f64::from(u8::from(norm.is_none())),
            f64::from(u8::from(norm.is_some_and(|norm| norm > clip))),
            share(accuracy).unwrap_or(0.0),
            share(loss / self.loss).unwrap_or(1.0),
        ];
        shares.map(|share| (share - 0.5) as f32)
    }

    /// The shares over the public number of contributions, from a noised sum; the loss in its
    /// own unit. With noise they can be below 0 and above 1.
    ///
    /// # Errors
    ///
    /// [`Error::GateMismatch`] if the sum is of another gate, and those of [`NoisySum::mean`].
    pub fn means(&self, noised: &NoisySum, divisor: u64) -> Result<[f64; METRICS.len()], Error> {
        if *noised.gate() != self.gate {
            return Err(Error::GateMismatch);
        }
        let mean = noised.mean(divisor)?;
        let mut means = [0.0; METRICS.len()];
        for ((to, unit), mean) in means.iter_mut().zip(self.units()).zip(mean) {
            *to = (mean + 0.5) * unit;
        }
        Ok(means)
    }

    /// The standard deviation of the noise in each of [`means`](Self::means).
    #[must_use]
    pub fn deviations(&self, sigma_steps: u64, divisor: u64) -> [f64; METRICS.len()] {
        let each = METRICS_CLIP / self.gate.steps() as f64 * sigma_steps as f64 / divisor as f64;
        self.units().map(|unit| each * unit)
    }

    /// What a share of 1 is.
    fn units(&self) -> [f64; METRICS.len()] {
        [1.0, 1.0, 1.0, self.loss]
    }
}

/// A number as a share, if it is one at all.
fn share(x: f64) -> Option<f64> {
    (!x.is_nan()).then(|| x.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(2.0, 1 << 14).unwrap()
    }

    fn quantised(metrics: &Metrics, numbers: [f32; 4]) -> Vec<i32> {
        metrics.gate().quantise(&numbers).values
    }

    fn shares(clip: f64, norm: Option<f64>, score: Option<[f64; 2]>) -> [f32; 4] {
        metrics().contribution(clip, norm, score).map(|x| x + 0.5)
    }

    #[test]
    fn each_number_is_what_it_says() {
        assert_eq!(shares(0.5, Some(0.5), Some([0.75, 0.5])), [0.0, 0.0, 0.75, 0.25]);
        assert_eq!(shares(0.5, Some(0.6), Some([1.0, 9.0])), [0.0, 1.0, 1.0, 1.0]);
        assert_eq!(shares(0.5, None, Some([0.25, 0.0])), [1.0, 0.0, 0.25, 0.0]);
        let worst = [1.0, 0.0, 0.0, 1.0];
        for score in [None, Some([f64::NAN; 2]), Some([-1.0, f64::INFINITY])] {
            assert_eq!(shares(0.5, None, score), worst);
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for loss in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e31] {
            assert!(matches!(Metrics::new(loss, 1024), Err(Error::LossOutOfRange { .. })));
        }
        assert!(matches!(Metrics::new(1.0, 31), Err(Error::GridTooCoarse { .. })));
        assert!(Metrics::new(1e30, 32).is_ok());
    }

    #[test]
    fn means_are_shares_again() {
        let metrics = metrics();
        // One fails and has no score, three have 0.75 and a loss of 0.5, one of them clipped.
        let mut sum = vec![0; 4];
        let good = Some([0.75, 0.5]);
        for (norm, score) in [(None, None), (Some(0.5), good), (Some(1.0), good), (Some(1.5), good)]
        {
            let values = quantised(&metrics, metrics.contribution(1.0, norm, score));
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += i64::from(value));
        }
        let sum = NoisySum::from_released(*metrics.gate(), sum).unwrap();
        assert_eq!(metrics.means(&sum, 4), Ok([0.25, 0.25, 0.5625, 2.0 * 0.4375]));
        let other = Metrics::new(2.0, 1 << 13).unwrap();
        assert_eq!(other.means(&sum, 4), Err(Error::GateMismatch));
        let [failed, _, _, loss] = metrics.deviations(1 << 15, 4);
        assert_eq!([failed, loss], [0.5, 1.0]);
    }

    proptest! {
        /// So the gate clips nobody's numbers: a mean is a mean.
        #[test]
        fn nothing_is_longer_than_the_clip(
            norm in prop::option::of(any::<f64>()),
            score in prop::option::of(prop::array::uniform2(any::<f64>())),
            steps in 32_u64..=crate::gate::MAX_STEPS,
        ) {
            let metrics = Metrics::new(0.7, steps).unwrap();
            let numbers = metrics.contribution(1.0, norm, score);
            let norm = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            prop_assert!(norm <= METRICS_CLIP);
            for (found, exact) in quantised(&metrics, numbers).into_iter().zip(numbers) {
                let exact = f64::from(exact) * steps as f64;
                prop_assert!((f64::from(found) - exact).abs() < 1.0, "{found} is not {exact}");
            }
        }
    }
}
