//! The released models and metrics, computed again from the released sums.
//!
//! The server's step is post-processing with fixed arithmetic, so whoever has the
//! noised sums gets the same models bit for bit. They begin from the first model, which the
//! code's `init` made from the job's parameters and the first release says.

use cloister_privacy::{Gate, Metrics, NoisySum, Server};
use cloister_protocol::release::{Release, Stage};

use super::read::Released;

/// Replays releases from the first on; returns how many models were computed again.
pub fn check(releases: &[Released]) -> Result<usize, String> {
    let Some(first) = releases.first() else { return Ok(0) };
    let step = first.checked.job.value.server;
    let server = Server::new(step.rate, step.momentum, step.average_last);
    let server = server.map_err(|error| format!("the job's server step: {error}"))?;
    let mut model =
        server.start(&first_model(first)?).map_err(|error| format!("replay: {error}"))?;
    let mut replayed = 0;
    for one in releases {
        let release = &one.checked.release.value;
        match release.stage {
            Stage::Centring | Stage::Metrics => check_one(one)?,
            Stage::Round(round) => {
                model.apply(&mean(one, release)?).map_err(|error| {
                    format!("release {}: the sum cannot be replayed: {error}", release.number)
                })?;
                same(one, release, "model", model.model())?;
                if round == one.checked.job.value.rounds {
                    same(one, release, "final_model", &model.averaged())?;
                }
                replayed += 1;
            }
        }
    }
    Ok(replayed)
}

/// What follows from one release alone: centre and metrics; a model takes all before.
pub fn check_one(one: &Released) -> Result<(), String> {
    let release = &one.checked.release.value;
    match release.stage {
        Stage::Centring => same(one, release, "centre", &mean(one, release)?),
        Stage::Metrics => same(one, release, "metrics", &metrics(one, release)?),
        Stage::Round(_) => Ok(()),
    }
}

/// The model that the rounds begin from. Code makes it in singles.
fn first_model(first: &Released) -> Result<Vec<f32>, String> {
    let number = first.checked.release.value.number;
    let model = first.tensors.f64s("first_model").ok_or_else(|| lacks(number, "first_model"))?;
    #[expect(clippy::cast_possible_truncation, reason = "compared with the double it came from")]
    let singles: Vec<f32> = model.iter().map(|number| *number as f32).collect();
    let exact = |(single, double): (&f32, &f64)| f64::from(*single).to_bits() == double.to_bits();
    if !singles.iter().zip(model).all(exact) {
        return Err(format!("release {number}: the first model is not of finite singles"));
    }
    Ok(singles)
}

/// The mean that follows from the released sum.
fn mean(one: &Released, release: &Release) -> Result<Vec<f64>, String> {
    let mean = sum(one, release)?.mean(release.divisor);
    mean.map_err(|error| format!("release {}: {error}", release.number))
}

/// The metrics that follow from it.
fn metrics(one: &Released, release: &Release) -> Result<Vec<f64>, String> {
    let number = release.number;
    let Some(declared) = one.checked.job.value.metrics else {
        return Err(format!("release {number} is of metrics, and the job has none"));
    };
    let sum = sum(one, release)?;
    let means = Metrics::new(declared.loss, declared.steps)
        .and_then(|metrics| metrics.means(&sum, release.divisor));
    Ok(means.map_err(|error| format!("release {number}: {error}"))?.to_vec())
}

fn sum(one: &Released, release: &Release) -> Result<NoisySum, String> {
    let number = release.number;
    let sum = one.tensors.i64s("noised_sum").ok_or_else(|| lacks(number, "noised_sum"))?;
    let gate = Gate::new(release.gate.clip, release.gate.steps, sum.len());
    gate.and_then(|gate| NoisySum::from_released(gate, sum.to_vec()))
        .map_err(|error| format!("release {number}: {error}"))
}

fn same(one: &Released, release: &Release, name: &str, expected: &[f64]) -> Result<(), String> {
    let found = one.tensors.f64s(name).ok_or_else(|| lacks(release.number, name))?;
    let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
    if bits(found) == bits(expected) {
        return Ok(());
    }
    Err(format!(
        "release {}: tensor {name:?} does not follow from the released sums",
        release.number
    ))
}

fn lacks(number: u32, name: &str) -> String {
    format!("release {number} has no tensor {name:?}: it is from another version")
}
