//! Rényi privacy at one order, and what sampling of units saves there.
//!
//! rho-zCDP bounds the Rényi divergence of *every* order alpha by alpha * rho. An account
//! can also be kept at one order alone, fixed before the first charge: amounts are the same
//! integers then, and an amount rho says that the divergence of that order is at most
//! alpha * rho. Nothing is gained by it but this: a round that each unit takes part in with
//! probability q only costs less there, and at all orders together it does not.
//!
//! # The bound
//!
//! For an integer order alpha, and rho = Delta^2 / (2 sigma^2) of the release without
//! sampling, the divergence of a release through a gate that each unit passes with
//! probability q, all of them independently, is at most
//!
//! ```text
//! 1 / (alpha - 1) * ln A,
//! A = sum over l from 0 to alpha of C(alpha, l) (1 - q)^(alpha - l) q^l e^(l (l - 1) rho)
//! ```
//!
//! in both directions, for the discrete Gaussian in any dimension: docs/privacy.md has the
//! proof. It is the value of Mironov, Talwar and Zhang 2019 (arXiv 1908.10530, section 3.3) for
//! the continuous one, whose symmetry under rotations is not needed.
//!
//! # Rounding
//!
//! With A - 1 = sum over l >= 2 of C(alpha, l) (1 - q)^(alpha - l) q^l (e^(l (l - 1) rho) - 1)
//! no term is negative and nothing cancels. Terms are added as logarithms, the sum is raised by
//! a bound of its error, and the result is rounded up.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Zcdp, conversion, zcdp::PICO};

/// The largest order that an account can be kept at.
pub const MAX_ORDER: u32 = 512;

/// An integer order of Rényi divergences, from 2 to [`MAX_ORDER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Order(u32);

impl Order {
    /// An order.
    ///
    /// # Errors
    ///
    /// [`Error::OrderOutOfRange`].
    pub const fn new(order: u32) -> Result<Self, Error> {
        if 2 <= order && order <= MAX_ORDER {
            Ok(Self(order))
        } else {
            Err(Error::OrderOutOfRange { found: order })
        }
    }

    /// The order as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The order at which (epsilon, delta) buys most, and what it buys: next to nothing less
    /// than an account of all orders.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::budget_for`].
    pub fn best_for(epsilon: f64, delta: f64) -> Result<(Self, Zcdp), Error> {
        Zcdp::budget_for(epsilon, delta)?;
        let budget = |order| {
            let bought = Accounting::At(Self(order)).budget_for(epsilon, delta).ok()?;
            Some((Self(order), bought))
        };
        let best = (2..=MAX_ORDER).filter_map(budget).max_by_key(|(_, bought)| *bought);
        best.ok_or(Error::OrderTooSmall { order: MAX_ORDER, epsilon })
    }
}

impl TryFrom<u32> for Order {
    type Error = Error;

    fn try_from(order: u32) -> Result<Self, Error> {
        Self::new(order)
    }
}

impl From<Order> for u32 {
    fn from(order: Order) -> Self {
        order.0
    }
}

/// The order as a number.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The probability with which each unit takes part in a round, in parts of 2^32; never 0
/// and never 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Rate(u32);

impl Rate {
    /// So many parts of 2^32.
    ///
    /// # Errors
    ///
    /// [`Error::RateOutOfRange`] for none.
    pub const fn new(parts: u32) -> Result<Self, Error> {
        match parts {
            0 => Err(Error::RateOutOfRange { found: 0.0 }),
            _ => Ok(Self(parts)),
        }
    }

    /// The rate nearest to a probability.
    ///
    /// # Errors
    ///
    /// [`Error::RateOutOfRange`] unless it is at least 2^-32 and at most 1 - 2^-32.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "compared with both ends before"
    )]
    pub fn nearest(probability: f64) -> Result<Self, Error> {
        let parts = (probability * Self::WHOLE).round();
        if (1.0..Self::WHOLE).contains(&parts) {
            Ok(Self(parts as u32))
        } else {
            Err(Error::RateOutOfRange { found: probability })
        }
    }

    /// The parts of 2^32.
    #[must_use]
    pub const fn parts(self) -> u32 {
        self.0
    }

    /// The probability, exactly.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.0) / Self::WHOLE
    }

    /// Whether somebody who drew these 32 bits takes part: each of the 2^32 outcomes is
    /// equally likely, so with exactly this probability.
    #[must_use]
    pub const fn takes(self, drawn: u32) -> bool {
        drawn < self.0
    }

    /// How many of `units` take part on average, rounded to the nearest, and at least one.
    #[must_use]
    pub fn of(self, units: u64) -> u64 {
        let expected = (u128::from(units) * u128::from(self.0) + (1 << 31)) >> 32;
        u64::try_from(expected).unwrap_or(u64::MAX).max(1)
    }

    /// More than this many of `units` take part with a probability below 2^-100 only.
    ///
    /// Bernstein's inequality for n independent draws: P(X >= nq + t) is at most
    /// exp(-t^2 / (2 (nq + t / 3))), which is e^-L for t = L / 3 + sqrt(L^2 / 9 + 2 L nq).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; what does not fit is more than there are units"
    )]
    pub fn most_of(self, units: u64) -> u64 {
        const LOG: f64 = 70.0; // above 100 ln 2
        let expected = units as f64 * self.probability();
        let beyond = LOG / 3.0 + (LOG * LOG / 9.0 + 2.0 * LOG * expected).sqrt();
        units.min(((expected + beyond) * (1.0 + 1e-12)).ceil() as u64)
    }

    const WHOLE: f64 = 4_294_967_296.0;
}

impl TryFrom<u32> for Rate {
    type Error = Error;

    fn try_from(parts: u32) -> Result<Self, Error> {
        Self::new(parts)
    }
}

impl From<Rate> for u32 {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

/// How an account counts, fixed before its first charge.
///
/// To look for the best order afterwards would be no account: which order that is depends on
/// what the jobs were, and they may depend on what was released before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Accounting {
    /// All orders: zCDP. Sampling saves nothing.
    #[default]
    AllOrders,
    /// One order.
    At(Order),
}

impl Accounting {
    /// The account of a policy or a grant that may name an order.
    #[must_use]
    pub fn of(order: Option<Order>) -> Self {
        order.map_or(Self::AllOrders, Self::At)
    }

    /// The order, if it is one.
    #[must_use]
    pub fn order(self) -> Option<Order> {
        match self {
            Self::AllOrders => None,
            Self::At(order) => Some(order),
        }
    }

    /// An epsilon that this amount guarantees at `delta`, rounded up.
    ///
    /// # Errors
    ///
    /// [`Error::DeltaOutOfRange`].
    pub fn epsilon_upper(self, amount: Zcdp, delta: f64) -> Result<f64, Error> {
        match self {
            Self::AllOrders => amount.epsilon_upper(delta),
            Self::At(order) => conversion::epsilon_upper_at(amount, delta, order),
        }
    }

    /// The largest amount of which the epsilon at `delta` is at most `epsilon`.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::budget_for`]; [`Error::OrderTooSmall`] where no amount is.
    pub fn budget_for(self, epsilon: f64, delta: f64) -> Result<Zcdp, Error> {
        match self {
            Self::AllOrders => Zcdp::budget_for(epsilon, delta),
            Self::At(order) => conversion::budget_at(epsilon, delta, order),
        }
    }
}

/// What `count` releases cost at an order that cost `each` without sampling, rounded up once;
/// never more than they would cost without.
///
/// # Errors
///
/// [`Error::CostOverflow`].
pub(crate) fn sampled(each: Zcdp, count: u32, rate: Rate, order: Order) -> Result<Zcdp, Error> {
    let plain = each.checked_mul(count.into())?;
    let amount = f64::from(count) * divergence(each, rate, order) / f64::from(order.0);
    let pico = (amount * PICO as f64 * (1.0 + ROUNDINGS)).ceil();
    // A pico-rho beyond 2^53 is more than anybody has; what is not smaller is not taken.
    if pico < plain.as_pico() as f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and smaller than a u64"
        )]
        return Ok(Zcdp::from_pico(pico as u64));
    }
    Ok(plain)
}

/// Room for a handful of products and quotients, each off by half an ulp.
const ROUNDINGS: f64 = 8.0 * f64::EPSILON;

/// The bound of the module, not below its exact value.
fn divergence(each: Zcdp, rate: Rate, order: Order) -> f64 {
    let alpha = f64::from(order.0);
    let rho = each.as_pico() as f64 / PICO as f64;
    let q = rate.probability();
    let (log_in, log_out) = (libm::log(q), libm::log1p(-q));

    let mut terms = Vec::with_capacity(order.0 as usize);
    let mut largest = f64::NEG_INFINITY;
    // The most that the parts of one term are together, without their signs.
    let mut magnitude = 0.0_f64;
    // C(alpha, l), which fits: C(512, 256) is below 1e153.
    let mut choices = alpha;
    for l in 2..=order.0 {
        let l = f64::from(l);
        choices *= (alpha - l + 1.0) / l;
        let exponent = l * (l - 1.0) * rho;
        // ln(e^x - 1), where e^x may be too large.
        let grown = exponent + libm::log(-libm::expm1(-exponent));
        let parts = [libm::log(choices), (alpha - l) * log_out, l * log_in, grown];
        let term: f64 = parts.iter().sum();
        let sizes = parts.iter().map(|part| part.abs()).sum::<f64>() + 2.0 * exponent;
        magnitude = magnitude.max(sizes);
        largest = largest.max(term);
        terms.push(term);
    }
    let sum: f64 = terms.iter().map(|term| libm::exp(term - largest)).sum();
    let log = largest + libm::log(sum);
    // 1. Each part has four roundings, of itself and of what is added to it, an ulp each at
    //    most. 2. `choices` has two for each factor. 3. The sum of at most alpha exponentials.
    let error = f64::EPSILON * (8.0 * magnitude + 6.0 * alpha + 32.0);
    // ln(1 + e^log), of which nothing overflows.
    let raised = log + error;
    let log_one_more = raised.max(0.0) + libm::log1p(libm::exp(-raised.abs()));
    log_one_more * (1.0 + ROUNDINGS) / (alpha - 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{JobCost, Release, Sensitivity};

    fn order(order: u32) -> Order {
        Order::new(order).unwrap()
    }

    fn rate(probability: f64) -> Rate {
        Rate::nearest(probability).unwrap()
    }

    /// (pico-rho of a release, parts of 2^32, order, divergence). Computed with Python's
    /// mpmath at 80 digits, from the sum in the module's text as it stands there.
    #[expect(clippy::excessive_precision, reason = "as the oracle printed them")]
    const REFERENCE: [(u64, u32, u32, f64); 12] = [
        (1, 1, 2, 1.084_202_172_486_588_636_18e-31),
        (1_000, 429_496_730, 20, 2.000_000_012_185_290_365_65e-10),
        (5_000_000_000, 429_497, 2, 1.005_017_973_831_600_905_92e-10),
        (5_000_000_000, 42_949_673, 20, 0.000_010_068_263_130_792_929_457_9),
        (30_556_595_197, 429_496_730, 20, 0.007_057_162_999_490_359_245_55),
        (500_000_000_000, 42_949_673, 16, 3.087_850_784_689_624_928_01),
        (500_000_000_000, 4_294_967_295, 64, 31.999_999_999_763_473_631_8),
        (2_000_000_000_000, 2_147_483_648, 8, 15.207_831_793_646_567_006_4),
        (200_000_000, 42_949_673, 512, 0.000_010_262_795_518_286_914_274_2),
        (5_555_555_555_556, 429_497, 32, 168.270_330_301_763_798_217),
        (31_250_000_000, 1, 512, 8.950_404_226_437_124_092_7e-19),
        (100_000_000_000_000, 3_000_000_000, 300, 29_999.639_968_241_835_723_4),
    ];

    #[test]
    fn the_divergence_agrees_with_the_reference_and_is_not_below_it() {
        for (pico, parts, alpha, expected) in REFERENCE {
            let rate = Rate::new(parts).unwrap();
            let found = divergence(Zcdp::from_pico(pico), rate, order(alpha));
            assert!(found >= expected, "{pico} {parts} {alpha}: {found} < {expected}");
            assert!(found <= expected * (1.0 + 1e-9), "{pico} {parts} {alpha}: {found} is loose");
        }
    }

    #[test]
    fn orders_and_rates_have_their_ranges() {
        for out in [0, 1, MAX_ORDER + 1, u32::MAX] {
            assert_eq!(Order::new(out), Err(Error::OrderOutOfRange { found: out }));
        }
        for out in [0.0, -0.1, 1.0, 1.5, 1e-11, f64::NAN, f64::INFINITY] {
            assert!(matches!(Rate::nearest(out), Err(Error::RateOutOfRange { .. })), "{out}");
        }
        assert_eq!(rate(0.25).parts(), 1 << 30);
        assert_eq!(rate(0.25).probability(), 0.25);
        assert!(serde_json::from_str::<Order>("1").is_err());
        assert!(serde_json::from_str::<Rate>("0").is_err());
        assert_eq!(serde_json::from_str::<Order>("16").unwrap(), order(16));
    }

    #[test]
    fn each_outcome_of_the_draw_counts_once() {
        let rate = Rate::new(3).unwrap();
        let takes = [0, 1, 2, 3, u32::MAX].map(|drawn| rate.takes(drawn));
        assert_eq!(takes, [true, true, true, false, false]);
        assert!(!Rate::new(u32::MAX).unwrap().takes(u32::MAX));
    }

    #[test]
    fn public_divisors_are_averages() {
        assert_eq!([rate(0.1).of(1000), rate(0.5).of(3), rate(1e-6).of(10)], [100, 2, 1]);
        assert_eq!(Rate::new(u32::MAX).unwrap().of(1 << 32), u64::from(u32::MAX));
        assert!(Rate::new(u32::MAX).unwrap().of(u64::MAX) < u64::MAX);
    }

    /// The tail that admission counts with, against the exact one.
    #[test]
    fn hardly_ever_do_more_take_part() {
        for (units, probability) in [(100, 0.5), (1000, 0.01), (50, 0.9), (2000, 0.001)] {
            let most = rate(probability).most_of(units);
            assert!(most <= units);
            // P(X > most), term by term in logarithms.
            let (p, q) = (probability.ln(), (-probability).ln_1p());
            let mut choices = 0.0_f64;
            let mut tail = 0.0_f64;
            for k in 0..=units {
                if k > 0 {
                    choices += ((units - k + 1) as f64 / k as f64).ln();
                }
                if k > most {
                    tail += (choices + k as f64 * p + (units - k) as f64 * q).exp();
                }
            }
            assert!(tail < 2_f64.powi(-100), "{units} {probability}: {tail}");
        }
        assert!(rate(0.01).most_of(1_000_000) < 13_000);
    }

    #[test]
    fn sampling_saves_at_one_order_only() {
        let each = Release {
            sensitivity: Sensitivity::Unit,
            steps: 1024,
            sigma_steps: 4096,
            sampling: Some(rate(0.01)),
        };
        let job = JobCost::new([(100, each)]);
        let plain = JobCost::new([(100, Release { sampling: None, ..each })]);
        let at = Accounting::At(order(16));
        assert_eq!(job.total(), plain.total());
        assert_eq!(plain.charge(at), plain.total());
        let (saved, all) = (job.charge(at).unwrap(), job.total().unwrap());
        assert!(saved.as_pico() * 1000 < all.as_pico(), "{saved} of {all}");
    }

    #[test]
    fn the_best_order_buys_almost_what_all_orders_do() {
        for (epsilon, delta) in [(0.5, 1e-6), (1.0, 1e-5), (4.0, 1e-5), (8.0, 1e-9)] {
            let (order, bought) = Order::best_for(epsilon, delta).unwrap();
            let all = Zcdp::budget_for(epsilon, delta).unwrap();
            assert!(bought <= all);
            assert!(bought.as_pico() as f64 > all.as_pico() as f64 * 0.98, "{epsilon}: {order}");
            let at = Accounting::At(order);
            assert!(at.epsilon_upper(bought, delta).unwrap() <= epsilon);
        }
        let too_small = Accounting::At(order(2)).budget_for(1.0, 1e-5);
        assert_eq!(too_small, Err(Error::OrderTooSmall { order: 2, epsilon: 1.0 }));
    }

    /// Two distributions on the integers of which one is the other's mirror image: the
    /// divergence of a mixture from the one is never below that of the one from the mixture.
    /// It is the step of the proof that is not in the literature for integers.
    #[test]
    fn removing_is_never_worse_than_adding() {
        for (sigma, shift, alpha, q) in
            [(1.0, 1, 2, 0.1), (2.0, 3, 8, 0.5), (0.7, 1, 8, 0.01), (4.0, 2, 3, 0.9)]
        {
            let weight = |x: i32| (-f64::from(x * x) / (2.0 * sigma * sigma)).exp();
            let whole: f64 = (-60..=60).map(weight).sum();
            let divergence = |p: &dyn Fn(i32) -> f64, r: &dyn Fn(i32) -> f64| {
                let moment = (-20..=20).map(|x| p(x) * (p(x) / r(x)).powi(alpha - 1));
                moment.sum::<f64>().ln() / f64::from(alpha - 1)
            };
            let one = |x: i32| weight(x) / whole;
            let mixed = |x: i32| (1.0 - q) * one(x) + q * weight(x - shift) / whole;
            let (adding, removing) = (divergence(&one, &mixed), divergence(&mixed, &one));
            assert!(adding <= removing * (1.0 + 1e-9), "{adding} {removing}");
            // And the bound holds for both, and is the one for the continuous Gaussian.
            let rho = f64::from(shift * shift) / (2.0 * sigma * sigma);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let each = Zcdp::from_pico((rho * 1e12).ceil() as u64);
            let bound = super::divergence(each, rate(q), order(alpha.unsigned_abs()));
            assert!(removing <= bound * (1.0 + 1e-6), "{removing} {bound}");
        }
    }

    proptest! {
        #[test]
        fn it_lies_between_nothing_and_the_whole(
            pico in 1_u64..10_000_000_000_000,
            parts in 1_u32..,
            alpha in 2..=MAX_ORDER,
            count in 1_u32..100_000,
        ) {
            let (each, rate, order) = (Zcdp::from_pico(pico), Rate::new(parts).unwrap(), order(alpha));
            let some = sampled(each, count, rate, order).unwrap();
            let all = each.checked_mul(count.into()).unwrap();
            prop_assert!(Zcdp::ZERO < some && some <= all);
            // More often is dearer; so is more noise's opposite.
            let more = Rate::new(parts.saturating_add(parts / 2).max(2)).unwrap();
            prop_assert!(sampled(each, count, more, order).unwrap() >= some);
            let louder = Zcdp::from_pico(pico + pico / 2 + 1);
            prop_assert!(sampled(louder, count, rate, order).unwrap() >= some);
        }
    }
}
