//! What else is in the folder of a job: above all the model, which is what people use.
//!
//! Nobody signs the model's file. It is made from releases, and so it is made again from
//! the checked ones and compared.

use std::{collections::BTreeSet, path::Path, path::PathBuf};

use cloister_protocol::{limits, release::Stage};

use super::{
    Outcome, Released,
    chain::Coverage,
    read::{self, entries},
};
use crate::{error::Result, files, run::model};

/// The file that `cloister run` leaves beside the releases: the job as it was signed.
const JOB: &str = "job.cloister";

/// Compares the model in `folder`, if there is one, with the releases; returns the files
/// that nothing vouches for.
pub fn check(folder: &Path, outcomes: &mut [Outcome]) -> Result<Vec<PathBuf>> {
    let entries = entries(folder)?;
    let tensors: BTreeSet<_> = entries
        .iter()
        .filter(|path| read::is_receipt(path))
        .map(|path| path.with_extension("safetensors"))
        .collect();
    let mut unchecked = Vec::new();
    for path in entries {
        // First, so that no receipt of that name passes for the model's.
        if path.ends_with(model::NAME) {
            compare(folder, &path, outcomes);
        } else if !read::is_receipt(&path) && !tensors.contains(&path) && !is_job(&path, outcomes) {
            unchecked.push(path);
        }
    }
    Ok(unchecked)
}

/// Whether this is the very job that the receipts carry.
fn is_job(path: &Path, outcomes: &[Outcome]) -> bool {
    path.ends_with(JOB)
        && files::read(path, limits::SIGNED_OBJECT as u64).is_ok_and(|bytes| {
            let of = |outcome: &Outcome| outcome.releases[0].receipt.job.as_bytes() == bytes;
            outcomes.iter().any(of)
        })
}

/// The model is that of one complete job. If it is of none, the jobs of its folder fail, or
/// all of them where the folder has none.
fn compare(folder: &Path, path: &Path, outcomes: &mut [Outcome]) {
    let shown = path.display();
    let found = files::read(path, limits::TENSORS);
    if let Ok(found) = &found {
        let same = |outcome: &&mut Outcome| again(outcome).is_ok_and(|bytes| bytes == *found);
        if let Some(outcome) = outcomes.iter_mut().find(same) {
            outcome.models.push(path.to_owned());
            return;
        }
    }
    let here =
        |outcome: &Outcome| outcome.releases.iter().any(|one| one.path.parent() == Some(folder));
    let some_here = outcomes.iter().any(here);
    for outcome in outcomes.iter_mut().filter(|outcome| !some_here || here(outcome)) {
        let why = match (&found, again(outcome)) {
            (Err(error), _) => error.to_string(),
            (Ok(_), Err(why)) => format!("{shown} cannot be checked: {why}"),
            (Ok(_), Ok(_)) => format!(
                "{shown} is not the model of these releases: it was altered or replaced; \
                 `cloister follow` writes it again"
            ),
        };
        outcome.failures.push(why);
    }
}

/// The model's file, from the releases.
fn again(outcome: &Outcome) -> std::result::Result<Vec<u8>, String> {
    // After the last round there may be metrics.
    let round = |one: &&Released| matches!(one.checked.release.value.stage, Stage::Round(_));
    let last = outcome.releases.iter().rfind(round);
    let (Coverage::Complete, Some(last)) = (outcome.coverage, last) else {
        let of = outcome.releases[0].checked.release.value.of;
        return Err(format!(
            "that needs all {of} releases of the job; `cloister follow` fetches them"
        ));
    };
    let centring = outcome
        .releases
        .first()
        .filter(|first| first.checked.release.value.stage == Stage::Centring);
    let bytes = model::bytes(&last.checked, &last.tensors, centring.map(|one| &one.tensors));
    bytes.map_err(|error| error.to_string())
}
