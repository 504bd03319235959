//! What a release cost, computed again from what its gate did.

use cloister_privacy::{Accounting, Error};
use cloister_protocol::release::CheckedReceipt;

use super::read::Released;

/// The cost in the release is that of its gate, and the job's that of all its gates.
pub fn check(released: &Released) -> Result<(), String> {
    let release = &released.checked.release.value;
    let number = release.number;
    let cost = release.gate.release().cost();
    let cost = cost.map_err(|error| format!("release {number}: {error}"))?;
    if cost.as_pico() != release.cost {
        let found = release.cost;
        return Err(format!(
            "release {number} says it cost {found} pico-rho; its gate costs {cost}"
        ));
    }
    let job = &released.checked.job.value;
    let total = job.charges().total().map_err(|error| format!("the job's cost: {error}"))?;
    if total.as_pico() != job.cost {
        let found = job.cost;
        return Err(format!("the job says it costs {found} pico-rho; its gates cost {total}"));
    }
    Ok(())
}

/// The account that every broker of a job charged, if it is one; else that of all orders,
/// which holds for each of them.
pub fn accounting(checked: &CheckedReceipt) -> Accounting {
    let mut accounts = checked.grants.iter().map(|grant| Accounting::of(grant.value.order));
    let first = accounts.next().unwrap_or_default();
    if accounts.all(|other| other == first) { first } else { Accounting::AllOrders }
}

/// The epsilon of the first so many releases of a job.
pub fn epsilon(checked: &CheckedReceipt, releases: u32, delta: f64) -> Result<f64, Error> {
    let accounting = accounting(checked);
    let spent = checked.job.value.charges().of_first(releases, accounting)?;
    accounting.epsilon_upper(spent, delta)
}
