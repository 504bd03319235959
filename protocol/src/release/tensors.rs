//! Which tensors a release has: a rule, not the release's choice.
//!
//! A tensor more than these would be a way out past the gate, so a release with one
//! is refused however well it is signed.

use cloister_privacy::METRICS;

use super::{Output, Release, Stage};
use crate::{digest::Digest, job::Job, limits};

/// The digest of a file of released tensors.
#[must_use]
pub fn tensors_digest(file: &[u8]) -> Digest {
    Digest::of("tensors", &[file])
}

/// The tensors of the release of `stage`, sorted by name, for `features` feature columns
/// and a model of `model` numbers. All are vectors.
#[must_use]
pub fn expected_outputs(job: &Job, stage: Stage, features: u64, model: u64) -> Vec<Output> {
    let vector = |name: &str, dtype: &str, length| Output {
        name: name.into(),
        dtype: dtype.into(),
        shape: vec![length],
    };
    let mut outputs = Vec::new();
    match stage {
        Stage::Centring => {
            outputs.push(vector("centre", "F64", features));
            outputs.push(vector("noised_sum", "I64", features));
        }
        Stage::Round(round) => {
            outputs.push(vector("model", "F64", model));
            outputs.push(vector("noised_sum", "I64", model));
            if round == job.rounds {
                outputs.push(vector("final_model", "F64", model));
            }
            if job.public_set.is_some() {
                outputs.push(vector("accuracy", "F64", 1));
                outputs.push(vector("loss", "F64", 1));
            }
        }
        Stage::Metrics => {
            outputs.push(vector("metrics", "F64", METRICS.len() as u64));
            outputs.push(vector("noised_sum", "I64", METRICS.len() as u64));
        }
    }
    // The first release says what the rounds begin from, so that they can be replayed.
    if stage == Stage::Centring || (stage == Stage::Round(1) && job.centring.is_none()) {
        outputs.push(vector("first_model", "F64", model));
    }
    outputs.sort_by(|a, b| a.name.cmp(&b.name));
    outputs
}

/// The length of the model, as a release declares it: of the first model in the centring
/// release, of the sum in a round's; 0 in that of metrics, which says none. None if no model
/// has it.
pub(super) fn model_length(release: &Release) -> Option<u64> {
    let name = match release.stage {
        Stage::Centring => "first_model",
        Stage::Round(_) => "noised_sum",
        Stage::Metrics => return Some(0),
    };
    match release.outputs.iter().find(|output| output.name == name)?.shape[..] {
        [length] if (1..=limits::MODEL as u64).contains(&length) => Some(length),
        _ => None,
    }
}
