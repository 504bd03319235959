//! What a release cost, computed again from what its gate did.

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
