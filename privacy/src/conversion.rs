//! Between rho and (epsilon, delta), rounded outward.
//!
//! The conversion of Canonne, Kamath and Steinke 2020 (arXiv 2004.00010, "from
//! concentrated to approximate differential privacy"): rho-zCDP implies
//! (epsilon, delta) for
//!
//! ```text
//! epsilon = inf over alpha > 1 of
//!     rho * alpha + ln(1 / (alpha * delta)) / (alpha - 1) + ln(1 - 1 / alpha)
//! ```
//!
//! *Every* alpha gives a valid epsilon, so only the evaluation has to be rounded
//! with care; a search that stopped early would cost tightness, not privacy.
//! With x = alpha - 1 the derivative is rho - (ln(1/delta) - ln(1 + x)) / x^2:
//! it changes sign once, where rho x^2 + ln(1 + x) reaches ln(1/delta), and the
//! left side only grows, so bisection finds the minimum.
//!
//! Logarithms are `libm`'s, everything else is fixed by IEEE 754: a broker and a
//! job's author compute the same budget on any machine.

use crate::{Error, Order, Zcdp, zcdp::PICO};

/// Bound on the relative error of each of the three terms as computed below.
///
/// None of them cancels: each is a product or quotient of at most six correctly
/// rounded operations (half an ulp each) and logarithms of which `libm` states
/// less than one ulp, so 16 half-ulps are more than there are.
const RELATIVE_ERROR: f64 = 8.0 * f64::EPSILON;

impl Zcdp {
    /// An epsilon that this amount of zCDP guarantees at `delta`, rounded up:
    /// never below the exact value, above it by a few units in the last place of
    /// the largest term.
    ///
    /// # Errors
    ///
    /// [`Error::DeltaOutOfRange`] unless `delta` lies strictly between 0 and 1.
    pub fn epsilon_upper(self, delta: f64) -> Result<f64, Error> {
        let log_inverse_delta = log_inverse(delta)?;
        Ok(epsilon_upper(self, log_inverse_delta))
    }

    /// What a Gaussian mechanism of exactly this cost truly has at `delta`, rounded down: an
    /// account cannot claim less, whatever its bound. Costs are rounded up; for a job's see
    /// [`JobCost::epsilon_lower`](crate::JobCost::epsilon_lower). It is that of the continuous Gaussian, from which the discrete one of the
    /// same sigma differs by less than anybody can measure.
    ///
    /// Balle and Wang 2018 (arXiv 1805.06530, theorem 8).
    ///
    /// # Errors
    ///
    /// [`Error::DeltaOutOfRange`].
    pub fn epsilon_lower(self, delta: f64) -> Result<f64, Error> {
        let upper = self.epsilon_upper(delta)?;
        let mu = (2.0 * self.as_pico() as f64 / PICO as f64).sqrt();
        if upper == 0.0 || delta_of_gaussian(mu, 0.0) <= delta {
            return Ok(0.0);
        }
        let (mut low, mut high) = (0.0, upper);
        loop {
            let middle = low + (high - low) / 2.0;
            if middle <= low || middle >= high {
                return Ok(low * (1.0 - 1e-9));
            }
            if delta_of_gaussian(mu, middle) > delta {
                low = middle;
            } else {
                high = middle;
            }
        }
    }

    /// The largest amount of zCDP of which [`epsilon_upper`](Self::epsilon_upper)
    /// at `delta` is at most `epsilon`. It is rounded down, so what it allows
    /// never exceeds what was asked for.
    ///
    /// ```
    /// use cloister_privacy::Zcdp;
    ///
    /// let budget = Zcdp::budget_for(1.0, 1e-5)?;
    /// assert_eq!(budget.to_string(), "0.030556595197");
    /// # Ok::<(), cloister_privacy::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::EpsilonOutOfRange`], [`Error::DeltaOutOfRange`], and
    /// [`Error::CostOverflow`] when the budget does not fit (epsilon above about
    /// 18 million).
    pub fn budget_for(epsilon: f64, delta: f64) -> Result<Self, Error> {
        require_positive(epsilon)?;
        let log_inverse_delta = log_inverse(delta)?;
        largest(epsilon, |rho| epsilon_upper(rho, log_inverse_delta))
    }
}

/// [`Zcdp::epsilon_upper`] of an amount that bounds the divergence of one order alone.
pub(crate) fn epsilon_upper_at(amount: Zcdp, delta: f64, order: Order) -> Result<f64, Error> {
    Ok(at(amount, log_inverse(delta)?, f64::from(order.get() - 1)))
}

/// [`Zcdp::budget_for`] in amounts that bound the divergence of one order alone.
pub(crate) fn budget_at(epsilon: f64, delta: f64, order: Order) -> Result<Zcdp, Error> {
    require_positive(epsilon)?;
    let (log_inverse_delta, x) = (log_inverse(delta)?, f64::from(order.get() - 1));
    match largest(epsilon, |amount| at(amount, log_inverse_delta, x))? {
        Zcdp::ZERO => Err(Error::OrderTooSmall { order: order.get(), epsilon }),
        budget => Ok(budget),
    }
}

fn require_positive(epsilon: f64) -> Result<(), Error> {
    if epsilon.is_finite() && epsilon > 0.0 {
        Ok(())
    } else {
        Err(Error::EpsilonOutOfRange { found: epsilon })
    }
}

/// The largest amount whose epsilon is at most this.
fn largest(epsilon: f64, epsilon_of: impl Fn(Zcdp) -> f64) -> Result<Zcdp, Error> {
    let fits = |pico| epsilon_of(Zcdp::from_pico(pico)) <= epsilon;
    // Invariant: `within` fits, `beyond` does not.
    let (mut within, mut beyond) = (0, u64::MAX);
    if fits(beyond) {
        return Err(Error::CostOverflow);
    }
    while beyond - within > 1 {
        let middle = within + (beyond - within) / 2;
        if fits(middle) {
            within = middle;
        } else {
            beyond = middle;
        }
    }
    Ok(Zcdp::from_pico(within))
}

/// `ln(1 / delta)`, above zero.
fn log_inverse(delta: f64) -> Result<f64, Error> {
    if delta > 0.0 && delta < 1.0 {
        Ok(-libm::log(delta))
    } else {
        Err(Error::DeltaOutOfRange { found: delta })
    }
}

fn epsilon_upper(rho: Zcdp, log_inverse_delta: f64) -> f64 {
    if rho == Zcdp::ZERO {
        return 0.0;
    }
    at(rho, log_inverse_delta, best_order(rho.as_pico() as f64 / PICO as f64, log_inverse_delta))
}

/// The epsilon that the divergence of the order `1 + x` gives.
fn at(rho: Zcdp, log_inverse_delta: f64, x: f64) -> f64 {
    if rho == Zcdp::ZERO {
        return 0.0;
    }
    let rho = rho.as_pico() as f64 / PICO as f64;
    let divergence = rho * (1.0 + x);
    let failure = log_inverse_delta / x;
    let order = libm::log1p(x) / x;
    let correction = libm::log1p(1.0 / x);
    let epsilon = divergence + failure - order - correction;
    // Four terms, each off by the relative error, and three roundings of sums
    // that are no larger than the sum of the terms.
    let magnitude = divergence + failure + order + correction;
    (epsilon + magnitude * RELATIVE_ERROR).max(0.0)
}

/// The least delta of a Gaussian mechanism that moves by `mu` standard deviations:
/// `Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)`, where the second term is the
/// density at the first argument times the ratio of Mills at the other.
fn delta_of_gaussian(mu: f64, epsilon: f64) -> f64 {
    use core::f64::consts::{PI, SQRT_2};
    let density = |x: f64| libm::exp(-x * x / 2.0) / (2.0 * PI).sqrt();
    let above = |x: f64| libm::erfc(x / SQRT_2) / 2.0;
    let (near, far) = (epsilon / mu - mu / 2.0, epsilon / mu + mu / 2.0);
    // Beyond 25 the tail is less than the doubles hold, and this is right to nine digits.
    let mills = |x: f64| match x {
        x if x < 25.0 => above(x) / density(x),
        x => (1.0 - 1.0 / (x * x) + 3.0 / (x * x * x * x)) / x,
    };
    above(near) - density(near) * mills(far)
}

/// The alpha - 1 that minimises epsilon, as nearly as `f64` can tell.
fn best_order(rho: f64, log_inverse_delta: f64) -> f64 {
    // At this x the left side alone is ln(1/delta).
    let (mut low, mut high) = (0.0, (log_inverse_delta / rho).sqrt());
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if rho * middle * middle + libm::log1p(middle) < log_inverse_delta {
            low = middle;
        } else {
            high = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (pico-rho, delta, epsilon). Computed with Python's mpmath at 60 digits
    /// and by another route: for a trial epsilon, minimise over alpha the
    /// exponent of the *delta* form of the theorem,
    /// `(a-1)(a rho - eps) - ln(a-1) + a ln(1 - 1/a)`, by golden section in
    /// ln(a-1) over [-40, 120]; then bisect epsilon until the minimum is ln(delta).
    /// Delta is the nearest `f64` to what is written.
    ///
    /// Google's dp-accounting 0.6.0 (`RdpAccountant` with a Gaussian event, integer
    /// orders 2 to 3999, which can only be larger), run once by hand:
    /// 0.001 at 1e-5: 0.157335473; 0.01 at 1e-5: 0.545813210;
    /// 0.0306 at 1e-5: 1.000850628; 0.0306 at 1e-9: 1.453527589;
    /// 0.1 at 1e-6: 2.143043524; 0.5 at 1e-5: 4.752728337 (4.728507067 with its
    /// default fractional orders); 1 at 1e-12: 10.985530773.
    #[expect(clippy::excessive_precision, reason = "as the oracle printed them")]
    const REFERENCE: [(u64, f64, f64); 15] = [
        (1_000, 1e-9, 0.000_181_950_223_115_996_228_962),
        (1_000_000, 1e-5, 0.003_456_667_061_275_659_858_14),
        (100_000_000, 1e-6, 0.053_727_120_634_859_868_183_4),
        (1_000_000_000, 1e-5, 0.157_335_393_161_215_503_282),
        (10_000_000_000, 1e-5, 0.545_725_548_274_002_396_417),
        (30_600_000_000, 1e-5, 1.000_772_738_029_937_256_01),
        (30_600_000_000, 1e-9, 1.453_519_108_753_527_122_56),
        (100_000_000_000, 1e-6, 2.141_938_928_385_473_665_64),
        (500_000_000_000, 1e-5, 4.728_386_984_943_313_881_51),
        (500_000_000_000, 1e-100, 21.768_618_879_630_112_709_5),
        (1_000_000_000_000, 1e-12, 10.984_167_343_741_939_050_8),
        (1_000_000_000_000, 0.1, 2.854_981_883_034_463_374_35),
        (8_000_000_000_000, 1e-5, 25.919_351_682_466_486_927_6),
        (100_000_000_000_000, 1e-10, 194.024_020_821_524_109_063),
        (1_000_000_000_000_000_000, 1e-5, 1_006_779.452_636_265_06),
    ];

    #[test]
    fn epsilon_agrees_with_the_reference_and_is_not_below_it() {
        for (pico, delta, expected) in REFERENCE {
            let found = Zcdp::from_pico(pico).epsilon_upper(delta).unwrap();
            assert!(found >= expected, "{pico} {delta}: {found} < {expected}");
            // The terms exceed epsilon where it is small; 1e-12 of a unit is theirs.
            assert!(
                found - expected <= expected * 1e-14 + 1e-12,
                "{pico} {delta}: {found} is loose for {expected}"
            );
        }
    }

    #[test]
    fn the_loss_of_a_gaussian_is_bracketed() {
        // Google's dp-accounting 0.6.0, `get_epsilon_gaussian`.
        for (pico, delta, tight) in [
            (500_000_000_000, 1e-5, 4.377_178_1),
            (30_556_595_197, 1e-5, 0.915_013_0),
            (8_000_000_000_000, 1e-5, 24.381_611),
            (1_000_000_000_000_000, 1e-9, 1_267.291_8),
        ] {
            let rho = Zcdp::from_pico(pico);
            let low = rho.epsilon_lower(delta).unwrap();
            assert!((low / tight - 1.0).abs() < 1e-6, "{pico}: {low} for {tight}");
            assert!(low < rho.epsilon_upper(delta).unwrap());
        }
        assert_eq!(Zcdp::from_pico(1_000).epsilon_lower(1e-3), Ok(0.0));
        assert_eq!(Zcdp::ZERO.epsilon_lower(1e-5), Ok(0.0));
        assert!(Zcdp::ZERO.epsilon_lower(0.0).is_err());
    }

    #[test]
    fn the_budgets_of_the_design() {
        let budget = |epsilon, delta| Zcdp::budget_for(epsilon, delta).unwrap().as_pico();
        // The exact largest, by the oracle above with a bisection over rho.
        assert_eq!(budget(1.0, 1e-5), 30_556_595_197);
        assert_eq!(budget(0.5, 1e-5), 8_505_530_591);
        assert_eq!(budget(2.0, 1e-5), 108_256_363_823);
        assert_eq!(budget(8.0, 1e-5), 1_229_714_525_761);
        for (pico, delta, epsilon) in REFERENCE {
            let found = budget(epsilon, delta);
            // Rounded down, by no more than the conversion's own looseness.
            assert!(found <= pico, "{epsilon} {delta}: {found} > {pico}");
            let loose = 1 + pico / 100_000_000;
            assert!(pico - found <= loose, "{epsilon} {delta}: {found} for {pico}");
        }
    }

    #[test]
    fn no_cost_is_no_epsilon() {
        assert_eq!(Zcdp::ZERO.epsilon_upper(1e-5), Ok(0.0));
        // A delta that covers the whole loss leaves an epsilon of zero, not less.
        assert_eq!(Zcdp::from_pico(1).epsilon_upper(1e-5), Ok(0.0));
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for delta in [0.0, -1e-5, 1.0, 2.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                Zcdp::from_pico(1).epsilon_upper(delta),
                Err(Error::DeltaOutOfRange { .. })
            ));
            assert!(matches!(Zcdp::budget_for(1.0, delta), Err(Error::DeltaOutOfRange { .. })));
        }
        for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(
                Zcdp::budget_for(epsilon, 1e-5),
                Err(Error::EpsilonOutOfRange { .. })
            ));
        }
        assert_eq!(Zcdp::budget_for(1e9, 1e-5), Err(Error::CostOverflow));
    }

    #[test]
    fn extreme_parameters_end_and_stay_finite() {
        for pico in [1, 1000, PICO, u64::MAX] {
            for delta in [f64::MIN_POSITIVE, 1e-300, 0.5, 1.0 - f64::EPSILON] {
                let epsilon = Zcdp::from_pico(pico).epsilon_upper(delta).unwrap();
                assert!(epsilon.is_finite() && epsilon >= 0.0);
            }
        }
    }

    proptest! {
        #[test]
        fn a_budget_is_outward_and_largest(epsilon in 1e-4_f64..1e3, exponent in 1_i32..15) {
            let delta = 10_f64.powi(-exponent);
            let budget = Zcdp::budget_for(epsilon, delta).unwrap();
            prop_assert!(budget.epsilon_upper(delta).unwrap() <= epsilon);
            let next = budget.checked_add(Zcdp::from_pico(1)).unwrap();
            prop_assert!(next.epsilon_upper(delta).unwrap() > epsilon);
        }

        #[test]
        fn there_and_back_never_gains(pico in 1_u64..1_000_000_000_000_000, exponent in 1_i32..15) {
            let delta = 10_f64.powi(-exponent);
            let cost = Zcdp::from_pico(pico);
            let epsilon = cost.epsilon_upper(delta).unwrap();
            prop_assume!(epsilon > 0.0);
            let budget = Zcdp::budget_for(epsilon, delta).unwrap();
            prop_assert!(budget.epsilon_upper(delta).unwrap() <= epsilon);
            // And loses next to nothing.
            prop_assert!(pico.abs_diff(budget.as_pico()) <= 1 + pico / 1_000_000);
        }

        #[test]
        fn epsilon_grows_with_rho(pico in 1_u64..1 << 50, more in 0_u64..1 << 50) {
            let less = Zcdp::from_pico(pico).epsilon_upper(1e-5).unwrap();
            let more = Zcdp::from_pico(pico + more).epsilon_upper(1e-5).unwrap();
            prop_assert!(more >= less * (1.0 - 1e-13) - 1e-13);
        }

        /// No order does better than the one found.
        #[test]
        fn the_order_is_the_best(pico in 1_000_u64..1 << 50, order in 1e-3_f64..1e6) {
            let rho = Zcdp::from_pico(pico);
            let log = 5.0 * 10_f64.ln();
            let rho_f = pico as f64 / PICO as f64;
            let other = rho_f * (1.0 + order) + (log - order.ln_1p()) / order
                - (1.0 / order).ln_1p();
            prop_assert!(rho.epsilon_upper(1e-5).unwrap() <= other.max(0.0) * (1.0 + 1e-12) + 1e-10);
        }
    }
}
