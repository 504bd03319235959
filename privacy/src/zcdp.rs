//! Zero-concentrated differential privacy, counted in integers.
//!
//! A mechanism is rho-zCDP (Bun and Steinke 2016) when its Rényi divergence of
//! every order alpha > 1 between neighbouring inputs is at most rho * alpha.
//! Costs add up under adaptive composition, which makes the integer a currency:
//! an auditor adds the same numbers and gets the same total.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Pico-rho in a rho of one.
pub const PICO: u64 = 1_000_000_000_000;

/// An amount of zCDP in *pico-rho*, 1e-12 of a rho. Costs are rounded up to
/// it, budgets down.
///
/// Encoded as a plain unsigned integer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Zcdp(u64);

impl Zcdp {
    /// No privacy loss at all.
    pub const ZERO: Self = Self(0);

    /// An amount given in pico-rho.
    #[must_use]
    pub const fn from_pico(pico: u64) -> Self {
        Self(pico)
    }

    /// This amount in pico-rho.
    #[must_use]
    pub const fn as_pico(self) -> u64 {
        self.0
    }

    /// What one release with a discrete Gaussian costs: sensitivity squared over
    /// twice sigma squared, rounded up to a pico-rho.
    ///
    /// Both arguments are in the same grid steps. The bound holds in any
    /// dimension, with independent noise on each coordinate and the L2 norm as
    /// sensitivity: Canonne, Kamath and Steinke 2020, *The Discrete Gaussian for
    /// Differential Privacy* (arXiv 2004.00010), on the multivariate mechanism.
    ///
    /// # Errors
    ///
    /// [`Error::ZeroSensitivity`], [`Error::SigmaOutOfRange`] when sigma is zero,
    /// [`Error::CostOverflow`] when the cost does not fit.
    pub fn of_gaussian(sensitivity_steps: u64, sigma_steps: u64) -> Result<Self, Error> {
        if sensitivity_steps == 0 {
            return Err(Error::ZeroSensitivity);
        }
        if sigma_steps == 0 {
            return Err(Error::SigmaOutOfRange { found: 0, max: crate::gaussian::MAX_SIGMA_STEPS });
        }
        let numerator = u128::from(sensitivity_steps).pow(2);
        let denominator = u128::from(sigma_steps).pow(2);
        let whole = (numerator / denominator)
            .checked_mul(u128::from(PICO / 2))
            .ok_or(Error::CostOverflow)?;
        let part = scaled_fraction_up(numerator % denominator, PICO / 2, denominator);
        whole
            .checked_add(u128::from(part))
            .and_then(|pico| u64::try_from(pico).ok())
            .map(Self)
            .ok_or(Error::CostOverflow)
    }

    /// The sum of two costs.
    ///
    /// # Errors
    ///
    /// [`Error::CostOverflow`]: a total is never cut off.
    pub fn checked_add(self, other: Self) -> Result<Self, Error> {
        self.0.checked_add(other.0).map(Self).ok_or(Error::CostOverflow)
    }

    /// The cost of `count` releases of this cost each.
    ///
    /// # Errors
    ///
    /// [`Error::CostOverflow`]: a total is never cut off.
    pub fn checked_mul(self, count: u64) -> Result<Self, Error> {
        self.0.checked_mul(count).map(Self).ok_or(Error::CostOverflow)
    }

    /// What remains of this budget after a cost, `None` when it does not suffice.
    #[must_use]
    pub fn checked_sub(self, cost: Self) -> Option<Self> {
        self.0.checked_sub(cost.0).map(Self)
    }
}

/// Shows rho exactly, with all twelve decimals.
impl fmt::Display for Zcdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:012}", self.0 / PICO, self.0 % PICO)
    }
}

/// `ceil(numerator * factor / denominator)` for `numerator < denominator`, exact
/// for all arguments: long division, one bit of the factor at a time.
fn scaled_fraction_up(numerator: u128, factor: u64, denominator: u128) -> u64 {
    debug_assert!(numerator < denominator);
    // Invariant: (bits of the factor so far) * numerator
    //            = quotient * denominator + remainder.
    let mut quotient = 0_u64;
    let mut remainder = 0_u128;
    for bit in (0..u64::BITS).rev() {
        let (doubled, carry) = add_modulo(remainder, remainder, denominator);
        quotient = 2 * quotient + carry;
        remainder = doubled;
        if factor >> bit & 1 == 1 {
            let (sum, carry) = add_modulo(remainder, numerator, denominator);
            quotient += carry;
            remainder = sum;
        }
    }
    quotient + u64::from(remainder > 0)
}

/// The sum of two residues of `modulus`, as a residue and a carry.
fn add_modulo(a: u128, b: u128, modulus: u128) -> (u128, u64) {
    let room = modulus - a;
    if b >= room { (b - room, 1) } else { (a + b, 0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pico(sensitivity: u64, sigma: u64) -> u64 {
        Zcdp::of_gaussian(sensitivity, sigma).unwrap().as_pico()
    }

    #[test]
    fn known_costs() {
        assert_eq!(pico(1, 1), PICO / 2);
        assert_eq!(pico(2, 1), 2 * PICO);
        assert_eq!(pico(1, 2), PICO / 8);
        assert_eq!(pico(1000, 1000), PICO / 2);
        // 1e12 / 18 = 55,555,555,555.5...
        assert_eq!(pico(1, 3), 55_555_555_556);
        // Group mode: twice the sensitivity is four times the cost.
        assert_eq!(pico(2048, 22_000), 4_332_958_678);
        assert_eq!(pico(1024, 22_000), 1_083_239_670);
    }

    #[test]
    fn a_cost_is_never_rounded_to_nothing() {
        assert_eq!(pico(1, u64::MAX), 1);
        assert_eq!(pico(1, 1 << 32), 1);
    }

    #[test]
    fn extremes_are_exact_or_refused() {
        assert_eq!(pico(u64::MAX, u64::MAX), PICO / 2);
        // (1 - 2/2^64 + ...) / 2 rounds up to one half.
        assert_eq!(pico(u64::MAX - 1, u64::MAX), PICO / 2);
        assert_eq!(Zcdp::of_gaussian(u64::MAX, 1), Err(Error::CostOverflow));
        // 6074^2 / 2 = 18,446,738 fits in 18,446,744.07; 6075^2 / 2 does not.
        assert_eq!(pico(6074, 1), 18_446_738 * PICO);
        assert_eq!(Zcdp::of_gaussian(6075, 1), Err(Error::CostOverflow));
    }

    #[test]
    fn zero_parameters_are_refused() {
        assert_eq!(Zcdp::of_gaussian(0, 5), Err(Error::ZeroSensitivity));
        assert!(matches!(Zcdp::of_gaussian(5, 0), Err(Error::SigmaOutOfRange { found: 0, .. })));
    }

    #[test]
    fn totals_are_never_cut_off() {
        let most = Zcdp::from_pico(u64::MAX);
        assert_eq!(most.checked_add(Zcdp::from_pico(1)), Err(Error::CostOverflow));
        assert_eq!(most.checked_mul(2), Err(Error::CostOverflow));
        assert_eq!(most.checked_add(Zcdp::ZERO), Ok(most));
        assert_eq!(Zcdp::from_pico(3).checked_mul(4), Ok(Zcdp::from_pico(12)));
        assert_eq!(Zcdp::from_pico(3).checked_sub(Zcdp::from_pico(4)), None);
        assert_eq!(Zcdp::from_pico(4).checked_sub(Zcdp::from_pico(4)), Some(Zcdp::ZERO));
    }

    #[test]
    fn it_is_a_plain_integer_on_the_wire() {
        let cost = Zcdp::from_pico(30_600_000_000);
        assert_eq!(serde_json::to_string(&cost).unwrap(), "30600000000");
        assert_eq!(serde_json::from_str::<Zcdp>("30600000000").unwrap(), cost);
        assert!(serde_json::from_str::<Zcdp>("-1").is_err());
        assert!(serde_json::from_str::<Zcdp>("0.5").is_err());
        assert_eq!(cost.to_string(), "0.030600000000");
    }

    proptest! {
        /// Against plain arithmetic, where plain arithmetic does not overflow.
        #[test]
        fn rounded_up_by_less_than_one(sensitivity in 1_u64..1 << 40, sigma in 1_u64..1 << 40) {
            let numerator = u128::from(sensitivity).pow(2) * u128::from(PICO / 2);
            let denominator = u128::from(sigma).pow(2);
            let expected = numerator.div_ceil(denominator);
            match Zcdp::of_gaussian(sensitivity, sigma) {
                Ok(cost) => prop_assert_eq!(u128::from(cost.as_pico()), expected),
                Err(error) => {
                    prop_assert_eq!(error, Error::CostOverflow);
                    prop_assert!(expected > u128::from(u64::MAX));
                }
            }
        }

        #[test]
        fn more_noise_never_costs_more(
            sensitivity in 1_u64..1 << 24, sigma in 1_u64..1 << 32, more in 0_u64..1 << 32,
        ) {
            if let Ok(cost) = Zcdp::of_gaussian(sensitivity, sigma) {
                prop_assert!(Zcdp::of_gaussian(sensitivity, sigma + more).unwrap() <= cost);
            }
        }

        #[test]
        fn more_sensitivity_never_costs_less(
            sensitivity in 1_u64..1 << 24, more in 0_u64..1 << 24, sigma in 1_u64..1 << 32,
        ) {
            if let Ok(cost) = Zcdp::of_gaussian(sensitivity + more, sigma) {
                prop_assert!(Zcdp::of_gaussian(sensitivity, sigma).unwrap() <= cost);
            }
        }
    }
}
