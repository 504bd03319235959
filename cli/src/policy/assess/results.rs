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
    Digest, PublicKey, Verified, code::CodeManifest, job::Job as SignedJob, release::CheckedReceipt,
};

use crate::{
    budget::Balance,
    error::{Context, Result},
    verify::{self, Outcome, Released},
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
    pub replayed: usize,
}

/// A receipt that is not counted.
pub(super) struct NotCounted {
    pub path: String,
    pub why: String,
}

impl NotCounted {
    fn of(path: &Path, why: String) -> Self {
        Self { path: path.display().to_string(), why }
    }
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
    /// Of releases that count.
    fn of(folder: &Path, found: &Outcome) -> Result<Self> {
        let Outcome { releases, verdict, replayed, .. } = found;
        let checked = &releases[0].checked;
        let platform = serde_json::to_value(verdict.platform()).doing("the platform's name")?;
        Ok(Self {
            folder: folder.to_owned(),
            of: checked.release.value.of,
            signed: checked.job.clone(),
            code: checked.code.clone(),
            releases: releases.iter().map(|one| *one.checked.release.id.digest()).collect(),
            platform: platform.as_str().unwrap_or_default().to_owned(),
            unprotected: found.unprotected(),
            replayed: *replayed,
        })
    }

    /// Its last release, which names the one before, and so on to the first.
    pub(super) fn last(&self) -> Digest {
        *self.releases.last().expect("a job that counts has releases")
    }
}

/// Verifies the folders.
pub(super) fn read(
    home: &Home,
    policy: &Policy,
    account: &Balance,
    folders: &[PathBuf],
) -> Result<Results> {
    let mut results = Results::default();
    for folder in folders {
        let found = verify::anybodys(slice::from_ref(folder), &policy.enclaves)?;
        results
            .not_counted
            .extend(found.damaged.into_iter().map(|one| NotCounted::of(&one.path, one.why)));
        for outcome in found.outcomes {
            match refused(home, policy, account, &outcome) {
                None => results.add(Job::of(folder, &outcome)?),
                Some(why) => {
                    let releases = outcome.releases.iter();
                    let not = |one: &Released| NotCounted::of(&one.path, why.clone());
                    results.not_counted.extend(releases.map(not));
                }
            }
        }
    }
    Ok(results)
}

/// Why the releases of a job do not count, if they do not.
fn refused(home: &Home, policy: &Policy, account: &Balance, found: &Outcome) -> Option<String> {
    // 1. What the verification says.
    if !found.accepted() {
        return Some(format!("it does not verify: {}", found.failures.join("; ")));
    }
    // 2. and 3. What this home says.
    let Some(last) = found.releases.last() else { return Some("there is no release".to_owned()) };
    granted_here(home, policy, account, &last.checked).err().map(str::to_owned)
}

fn granted_here(
    home: &Home,
    policy: &Policy,
    account: &Balance,
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
            && one.datasets().any(|dataset| *dataset == manifest.id)
            && one.cost == grant.value.cost
    });
    let head = grant.value.ledger_head;
    if reserved && account.entries.iter().any(|(_, digest)| *digest == head) {
        return Ok(());
    }
    Err("it verifies and was granted by this home's broker, but the ledger does not have it: \
         entries are missing, as in an older copy; grant nothing before that is explained")
}
