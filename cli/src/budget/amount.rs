//! Amounts of privacy in words, and for machines.

use cloister_broker::policy::Amount;
use cloister_privacy::{Accounting, Zcdp};
use serde_json::{Value, json};

use crate::error::{Context, Result};

/// The epsilon of what is left of a limit; of the whole of it, what the policy says.
pub fn epsilon_left(rho: Zcdp, limit: &Amount, accounting: Accounting) -> Result<f64> {
    if rho == limit.rho {
        return Ok(limit.epsilon);
    }
    accounting.epsilon_upper(rho, limit.delta).doing("what is left")
}

/// In what an amount is counted.
pub fn counted(accounting: Accounting) -> String {
    match accounting {
        Accounting::AllOrders => "of zCDP, at all orders".to_owned(),
        Accounting::At(order) => format!("at order {order}"),
    }
}

/// An amount for people; epsilon as [`at_most`] or [`at_least`] has it.
pub fn words(rho: Zcdp, epsilon: &str, delta: f64) -> String {
    format!("rho {rho}, epsilon {epsilon} at delta {delta:e}")
}

/// An amount for machines, exactly.
pub fn machine(rho: Zcdp, epsilon: f64, delta: f64) -> Value {
    json!({ "pico_rho": rho.as_pico(), "epsilon": epsilon, "delta": delta })
}

/// An epsilon that at most becomes known: rounded up.
pub fn at_most(epsilon: f64) -> String {
    up(epsilon, 4)
}

/// An epsilon that can still be asked for: rounded down.
pub fn at_least(epsilon: f64) -> String {
    format!("{:.4}", (epsilon * 1e4).floor() / 1e4)
}

/// A number rounded up to so many decimals.
pub(super) fn up(number: f64, decimals: u8) -> String {
    let scale = 10_f64.powi(decimals.into());
    format!("{:.*}", usize::from(decimals), (number * scale).ceil() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilons_are_rounded_away_from_a_promise() {
        assert_eq!((at_most(1.0), at_least(1.0)), ("1.0000".into(), "1.0000".into()));
        assert_eq!((at_most(0.123_41), at_least(0.123_49)), ("0.1235".into(), "0.1234".into()));
        assert_eq!((at_most(1e-9), at_least(1e-9)), ("0.0001".into(), "0.0000".into()));
    }

    #[test]
    fn a_whole_limit_is_as_the_policy_says_it() {
        let limit = Amount::new(1.0, 1e-5).unwrap();
        assert_eq!(
            at_least(epsilon_left(limit.rho, &limit, Accounting::AllOrders).unwrap()),
            "1.0000"
        );
        let less = Zcdp::from_pico(limit.rho.as_pico() - 1);
        assert_eq!(at_least(epsilon_left(less, &limit, Accounting::AllOrders).unwrap()), "0.9999");
    }

    /// What is said to be left can be asked for.
    #[test]
    fn a_job_that_asks_for_what_is_left_fits() {
        for pico in [1_000_000, 30_556_595_197, 74_000_000_123] {
            let left = Zcdp::from_pico(pico);
            let asked = at_least(left.epsilon_upper(1e-5).unwrap()).parse().unwrap();
            assert!(Zcdp::budget_for(asked, 1e-5).unwrap() <= left, "{pico}");
        }
    }
}
