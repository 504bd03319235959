//! The noise that a budget buys, and what noise costs.

use cloister_privacy::{
    Accounting, Error, JobCost, Rate, Release, Sensitivity, Zcdp, gaussian::MAX_SIGMA_STEPS,
};

/// Grid steps in the clip bound, as in a job that does not say. What noise costs as a
/// multiple of the clip bound depends on them by less than a step.
pub(super) const STEPS: u64 = 1 << 14;

/// A job of so many rounds and no centring, and the account that pays for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    pub(super) count: u32,
    pub(super) sensitivity: Sensitivity,
    pub(super) sampling: Option<Rate>,
    pub(super) accounting: Accounting,
}

impl Rounds {
    /// Each with an update for every unit, for which any account pays the same.
    pub(super) fn of_all(count: u32) -> Self {
        let (sensitivity, accounting) = (Sensitivity::Unit, Accounting::AllOrders);
        Self { count, sensitivity, sampling: None, accounting }
    }

    /// What the job costs with noise of `sigma` steps, as the ledger charges it.
    pub(super) fn cost(self, sigma: u64) -> Result<Zcdp, Error> {
        self.charges(sigma).charge(self.accounting)
    }

    /// What it releases with such noise.
    pub(super) fn charges(self, sigma: u64) -> JobCost {
        let Self { count, sensitivity, sampling, accounting: _ } = self;
        let round = Release { sensitivity, steps: STEPS, sigma_steps: sigma, sampling };
        JobCost::new([(count, round)])
    }

    /// The least noise, in steps, with which the job costs at most `budget`; `None` when
    /// the most noise there is does not suffice.
    pub(super) fn least_sigma(self, budget: Zcdp) -> Option<u64> {
        let fits = |sigma| self.cost(sigma).is_ok_and(|cost| cost <= budget);
        // Invariant: `within` fits, `beyond` does not.
        let (mut beyond, mut within) = (0, MAX_SIGMA_STEPS);
        if !fits(within) {
            return None;
        }
        while within - beyond > 1 {
            let middle = beyond + (within - beyond) / 2;
            if fits(middle) {
                within = middle;
            } else {
                beyond = middle;
            }
        }
        Some(within)
    }
}

/// Noise as a multiple of the clip bound.
pub(super) fn of_sigma(sigma: u64) -> f64 {
    sigma as f64 / STEPS as f64
}

/// The steps of noise nearest to a multiple of the clip bound.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what does not fit becomes the largest or the smallest there is"
)]
pub(super) fn to_sigma(noise: f64) -> u64 {
    ((noise * STEPS as f64).round() as u64).clamp(1, MAX_SIGMA_STEPS)
}

/// Noise for people: four digits, rounded up.
pub(super) fn shown(noise: f64) -> String {
    let decimals = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0].iter().filter(|least| noise < **least);
    super::amount::up(noise, u8::try_from(decimals.count()).unwrap_or(6) + u8::from(noise < 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_noise_fits_and_one_step_less_does_not() {
        let budget = Zcdp::budget_for(1.0, 1e-5).unwrap();
        for rounds in [1, 10, 24, 200, 10_000] {
            let rounds = Rounds::of_all(rounds);
            let sigma = rounds.least_sigma(budget).unwrap();
            assert!(rounds.cost(sigma).unwrap() <= budget);
            assert!(rounds.cost(sigma - 1).unwrap() > budget);
        }
        // By hand: sqrt(rounds / (2 rho)), with rho 0.030556595197.
        assert_eq!(shown(of_sigma(Rounds::of_all(1).least_sigma(budget).unwrap())), "4.046");
        assert_eq!(shown(of_sigma(Rounds::of_all(24).least_sigma(budget).unwrap())), "19.82");
    }

    #[test]
    fn what_no_noise_hides_is_not_bought() {
        assert_eq!(Rounds::of_all(1).least_sigma(Zcdp::ZERO), None);
        assert_eq!(Rounds::of_all(2).least_sigma(Zcdp::from_pico(1)), None);
        assert!(Rounds::of_all(6000).cost(1).is_err());
    }

    #[test]
    fn noise_is_shown_with_four_digits() {
        for (noise, text) in [
            (0.012_341, "0.01235"),
            (0.5, "0.5000"),
            (4.0454, "4.046"),
            (19.8101, "19.82"),
            (150.0, "150.0"),
            (1234.1, "1235"),
        ] {
            assert_eq!(shown(noise), text);
        }
        assert_eq!((to_sigma(2.0), to_sigma(0.0), to_sigma(1e30)), (2 * STEPS, 1, MAX_SIGMA_STEPS));
    }
}
