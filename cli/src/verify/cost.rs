//! What a release cost, computed again from what its gate did.

use cloister_privacy::{Error, JobCost, Release, Sensitivity, Zcdp};
use cloister_protocol::job::{GateMode, Job};

use super::read::Released;

/// The cost in the release is that of its gate, and the job's that of all its gates.
pub fn check(released: &Released) -> Result<(), String> {
    let release = &released.checked.release.value;
    let number = release.number;
    let cost = of(release.gate.mode, release.gate.steps, release.gate.sigma).cost();
    let cost = cost.map_err(|error| format!("release {number}: {error}"))?;
    if cost.as_pico() != release.cost {
        let found = release.cost;
        return Err(format!(
            "release {number} says it cost {found} pico-rho; its gate costs {cost}"
        ));
    }
    let job = &released.checked.job.value;
    let total = total(job).map_err(|error| format!("the job's cost: {error}"))?;
    if total.as_pico() != job.cost {
        let found = job.cost;
        return Err(format!("the job says it costs {found} pico-rho; its gates cost {total}"));
    }
    Ok(())
}

/// What all releases of a job cost.
pub fn total(job: &Job) -> Result<Zcdp, Error> {
    of_job(job).total()
}

/// What the first so many releases of a job cost.
pub fn of_first(job: &Job, releases: u32) -> Result<Zcdp, Error> {
    match (releases, &job.centring) {
        (0, _) => Ok(Zcdp::ZERO),
        (_, Some(_)) => of_job(job).after(releases - 1),
        (_, None) => of_job(job).after(releases),
    }
}

fn of_job(job: &Job) -> JobCost {
    let round = of(job.gate.mode, job.gate.steps, job.gate.sigma);
    let centring = job.centring.as_ref().map(|c| of(GateMode::Unit, c.steps, c.sigma));
    JobCost { rounds: job.rounds, round, centring }
}

/// A release of a gate, as it is charged.
fn of(mode: GateMode, steps: u64, sigma_steps: u64) -> Release {
    let sensitivity = match mode {
        GateMode::Unit => Sensitivity::Unit,
        GateMode::Groups(_) => Sensitivity::Group,
    };
    Release { sensitivity, steps, sigma_steps }
}
