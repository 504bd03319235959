//! Whose data, job and code it has to be.
//!
//! A receipt proves that somebody's keys signed everything. That they are the keys of those
//! one means, only the verifier can say: with the enrolments it got from them.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use cloister_party::{Enrolment, Role};
use cloister_protocol::{KeyId, PublicKey, Signed, limits, release::CheckedReceipt};

use crate::{
    error::{Context, Error, Result},
    files,
    ui::printable,
};

/// The enrolments of those whose releases these have to be.
#[derive(Args, Debug, Default)]
pub struct Identities {
    /// An owner whose data it may be, with its broker (repeatable)
    #[arg(long, value_name = "ENROLMENT")]
    owner: Vec<PathBuf>,
    /// An orchestrator whose job it may be (repeatable)
    #[arg(long, value_name = "ENROLMENT")]
    orchestrator: Vec<PathBuf>,
    /// An author whose code it may be (repeatable)
    #[arg(long, value_name = "ENROLMENT")]
    author: Vec<PathBuf>,
}

/// The keys that are expected; a role of which nobody was named is not compared.
pub struct Pins {
    /// Each owner's broker, by the owner's key.
    owners: BTreeMap<KeyId, Option<KeyId>>,
    orchestrators: Vec<KeyId>,
    authors: Vec<KeyId>,
}

impl Identities {
    /// Reads the enrolments.
    pub fn pins(&self) -> Result<Pins> {
        let owners = enrolments(&self.owner, Role::Owner)?;
        let broker = |one: &Enrolment| one.broker_key.as_ref().map(PublicKey::id);
        let keys = |paths, role| -> Result<Vec<KeyId>> {
            Ok(enrolments(paths, role)?.iter().map(|one| one.key.id()).collect())
        };
        Ok(Pins {
            owners: owners.iter().map(|one| (one.key.id(), broker(one))).collect(),
            orchestrators: keys(&self.orchestrator, Role::Orchestrator)?,
            authors: keys(&self.author, Role::Author)?,
        })
    }
}

fn enrolments(paths: &[PathBuf], role: Role) -> Result<Vec<Enrolment>> {
    let read = |path: &PathBuf| {
        let bytes = files::read(path, limits::SIGNED_OBJECT as u64)?;
        let enrolment = Enrolment::open(&Signed::from_bytes(bytes)).with_path(path)?;
        if enrolment.role != role {
            let (path, found) = (path.display(), enrolment.role);
            return Err(Error::usage(format!(
                "{path} is the enrolment of role {found}, where one of role {role} is needed"
            )));
        }
        Ok(enrolment)
    };
    paths.iter().map(read).collect()
}

impl Pins {
    /// What is not by those who were named, in sentences.
    pub fn check(&self, checked: &CheckedReceipt) -> Vec<String> {
        let mut failures = Vec::new();
        let mut refuse = |what: &str, key: KeyId, option: &str| {
            failures.push(format!(
                "{what} {key}, which is in no enrolment given with --{option}: it is of somebody else"
            ));
        };
        let known = |keys: &[KeyId], key: KeyId| keys.is_empty() || keys.contains(&key);
        let (job, code) = (checked.job.signer.id(), checked.code.signer.id());
        if !known(&self.orchestrators, job) {
            refuse("the job is signed by", job, "orchestrator");
        }
        if !known(&self.authors, code) {
            refuse("the code is signed by", code, "author");
        }
        for (header, _) in checked.datasets.iter().filter(|_| !self.owners.is_empty()) {
            let name = printable(&header.name);
            match self.owners.get(&header.owner) {
                None => refuse(&format!("dataset {name} is of owner"), header.owner, "owner"),
                Some(broker) if *broker != Some(header.broker) => {
                    refuse(&format!("dataset {name} is granted by broker"), header.broker, "owner");
                }
                Some(_) => {}
            }
        }
        failures
    }

    /// Whether a log may be this owner's: it was named, or nobody was.
    pub fn may_own(&self, owner: &KeyId) -> bool {
        self.owners.is_empty() || self.owners.contains_key(owner)
    }

    /// The roles of which nobody was named.
    pub fn open(&self) -> Vec<Role> {
        [
            (Role::Owner, self.owners.is_empty()),
            (Role::Orchestrator, self.orchestrators.is_empty()),
            (Role::Author, self.authors.is_empty()),
        ]
        .into_iter()
        .filter_map(|(role, open)| open.then_some(role))
        .collect()
    }
}
