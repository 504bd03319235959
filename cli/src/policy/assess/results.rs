//! The releases of jobs, verified as `cloister verify` does it, and held against the ledger.
//!
//! 1. The folder is verified offline, under the enclaves that the signed policy approves.
//! 2. A dataset in it is this owner's, granted by this owner's broker.
//! 3. The ledger has the reservation, and the head that the grant carries.
//!
//! What fails in one of these is named, and counts for nothing.

use std::{
    path::{Path, PathBuf},
    slice,
};

use cloister_broker::policy::Policy;
use cloister_party::Home;
use cloister_protocol::{
    Digest, PublicKey, Verified,
    code::CodeManifest,
    job::Job as SignedJob,
    limits,
    release::{CheckedReceipt, Receipt},
};
use serde_json::Value;

use super::record::Account;
use crate::{
    error::{Context, Error, Result},
    files, verify,
};

/// What was found in the folders.
#[derive(Default)]
pub(super) struct Results {
    /// Jobs whose releases verified and are in the ledger.
    pub jobs: Vec<Job>,
    /// Everything else that called itself a receipt.
    pub not_counted: Vec<NotCounted>,
}

/// The verified releases of one job.
pub(super) struct Job {
    pub folder: PathBuf,
    pub signed: Verified<SignedJob>,
    pub code: Verified<CodeManifest>,
    /// The releases, in their order.
    pub releases: Vec<Digest>,
    /// How many the job has.
    pub of: u32,
    /// Whose hardware vouched, as the verification calls it.
    pub platform: String,
    /// Whether that protected nothing from whoever ran it.
    pub unprotected: bool,
    /// How many models followed from the released sums.
    pub replayed: u64,
}

/// A receipt that is not counted.
pub(super) struct NotCounted {
    pub path: String,
    pub why: String,
}

impl Results {
    /// Adds a job; of one that is there twice, what shows more of it.
    fn add(&mut self, job: Job) {
        match self.jobs.iter_mut().find(|other| other.signed.id == job.signed.id) {
            Some(other) if other.releases.len() >= job.releases.len() => {}
            Some(other) => *other = job,
            None => self.jobs.push(job),
        }
    }
}

impl Job {
    /// Its last release, which names the one before, and so on to the first.
    pub(super) fn last(&self) -> Digest {
        *self.releases.last().expect("a job that counts has releases")
    }
}

/// Verifies the folders.
pub(super) fn read(
    home: &Home,
    policy: &Policy,
    account: &Account,
    folders: &[PathBuf],
) -> Result<Results> {
    let mut results = Results::default();
    for folder in folders {
        let delta = policy.budget.total.delta;
        let found = verify::anybodys(slice::from_ref(folder), &policy.enclaves, delta)?.json;
        for damaged in list(&found, "damaged") {
            results
                .not_counted
                .push(NotCounted { path: text(damaged, "path"), why: text(damaged, "why") });
        }
        for job in list(&found, "jobs") {
            match counted(home, policy, account, folder, job)? {
                Ok(job) => results.add(job),
                Err(why) => {
                    let releases = list(job, "releases").iter().filter_map(Value::as_str);
                    let not = |path: &str| NotCounted { path: path.to_owned(), why: why.clone() };
                    results.not_counted.extend(releases.map(not));
                }
            }
        }
    }
    Ok(results)
}

/// The job, or why it does not count.
fn counted(
    home: &Home,
    policy: &Policy,
    account: &Account,
    folder: &Path,
    found: &Value,
) -> Result<std::result::Result<Job, String>> {
    // 1. What the verification says.
    if found["accepted"] != true {
        let failures: Vec<_> = list(found, "failures").iter().filter_map(Value::as_str).collect();
        return Ok(Err(format!("it does not verify: {}", failures.join("; "))));
    }
    let mut releases = Vec::new();
    let mut last = None;
    for path in list(found, "releases").iter().filter_map(Value::as_str) {
        let checked = again(Path::new(path))?;
        if checked.transcript_id.to_string() != text(found, "transcript") {
            return Err(Error::failed(format!("{path} was changed meanwhile: try again")));
        }
        releases.push(*checked.release.id.digest());
        last = Some(checked);
    }
    let Some(checked) = last else { return Ok(Err("there is no release".to_owned())) };
    // 2. and 3. What this home says.
    if let Err(why) = granted_here(home, policy, account, &checked) {
        return Ok(Err(why.to_owned()));
    }
    Ok(Ok(Job {
        folder: folder.to_owned(),
        of: checked.release.value.of,
        signed: checked.job,
        code: checked.code,
        releases,
        platform: text(found, "platform"),
        unprotected: found["simulated"] == true || found["debug"] == true,
        replayed: found["models_replayed"].as_u64().unwrap_or(0),
    }))
}

/// Reads a receipt that was verified, for the ids in it.
fn again(path: &Path) -> Result<CheckedReceipt> {
    let bytes = files::read(path, limits::RECEIPT as u64)?;
    let tensors = files::read(&path.with_extension("safetensors"), limits::TENSORS)?;
    Receipt::from_bytes(&bytes).with_path(path)?.check(&tensors).with_path(path)
}

fn granted_here(
    home: &Home,
    policy: &Policy,
    account: &Account,
    checked: &CheckedReceipt,
) -> std::result::Result<(), &'static str> {
    let broker = home.myself().broker_key().map(PublicKey::id);
    let ours = checked.datasets.iter().zip(&checked.grants).find(|((header, _), grant)| {
        header.owner == *home.id() && Some(grant.signer.id()) == broker
    });
    let Some(((_, manifest), grant)) = ours else {
        return Err("it verifies, but none of its data is of this home");
    };
    let reserved = account.reservations(policy).any(|(_, _, one)| {
        one.transcript == checked.transcript_id
            && one.job == checked.job.id
            && one.dataset == manifest.id
            && one.cost == grant.value.cost
    });
    let head = grant.value.ledger_head;
    if reserved && account.entries.iter().any(|(_, digest)| *digest == head) {
        return Ok(());
    }
    Err("it verifies and was granted by this home's broker, but the ledger does not have it: \
         entries are missing, as in an older copy; grant nothing before that is explained")
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_default().to_owned()
}
