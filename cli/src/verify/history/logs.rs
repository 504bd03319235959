//! Logs of owners, from files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cloister_broker::ledger::{CheckedLog, Entry, GrantLog};
use cloister_protocol::{Digest, KeyId, limits};

use super::{
    super::identities::Pins,
    gap::{Code, Gap},
};
use crate::{error::Result, files, ui::printable};

/// A log that is whole, and where it is from.
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) log: CheckedLog,
}

/// The longest log of each owner.
pub(super) struct Logs(BTreeMap<KeyId, Log>);

impl Logs {
    /// Reads logs, and says which of them cannot be used, and which do not go together.
    pub(super) fn read(paths: &[PathBuf], pins: &Pins, gaps: &mut Vec<Gap>) -> Result<Self> {
        let mut logs = Vec::new();
        for path in paths {
            let bytes = files::read(path, limits::GRANT_LOG as u64)?;
            match GrantLog::open(bytes) {
                Ok(log) => logs.push(Log { path: path.clone(), log }),
                Err(error) => gaps.push(Gap::new(Code::LogUnusable, shown(path), error)),
            }
        }
        for Log { path, log } in logs.iter().filter(|one| !pins.may_own(&one.log.owner)) {
            let what = format!(
                "a log of owner {}, who is in no enrolment given with --owner: it is of somebody \
                 else",
                log.owner
            );
            gaps.push(Gap::new(Code::LogOwner, shown(path), what));
        }
        Ok(Self::together(logs, gaps))
    }

    /// The longest of each owner. Each other of the same owner has to be its beginning.
    pub(super) fn together(mut logs: Vec<Log>, gaps: &mut Vec<Gap>) -> Self {
        logs.sort_by_key(|one| one.log.entries.len());
        let mut longest = BTreeMap::<KeyId, Log>::new();
        // From the longest on; what comes later is shorter.
        while let Some(one) = logs.pop() {
            let Some(whole) = longest.get(&one.log.owner) else {
                longest.insert(one.log.owner, one);
                continue;
            };
            let pairs = one.log.entries.iter().zip(&whole.log.entries);
            if let Some(((entry, _), _)) = pairs.clone().find(|(one, other)| one.1 != other.1) {
                let what = format!(
                    "entry {} is another one than in {}: there are two logs of one owner, and each \
                     leaves out what the other says was spent; ask the owner, and take all of it \
                     as spent",
                    entry.seq,
                    shown(&whole.path)
                );
                gaps.push(Gap::new(Code::LogFork, shown(&one.path), what));
            }
        }
        Self(longest)
    }

    /// The log of an owner.
    pub(super) fn of(&self, owner: &KeyId) -> Option<&Log> {
        self.0.get(owner)
    }

    /// Each owner's log.
    pub(super) fn whole(&self) -> impl Iterator<Item = &Log> {
        self.0.values()
    }
}

impl Log {
    /// The entry that a head names.
    pub(super) fn at(&self, head: &Digest) -> Option<&Entry> {
        self.log.entries.iter().find(|(_, digest)| digest == head).map(|(entry, _)| entry)
    }

    /// The entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.log.entries.iter().map(|(entry, _)| entry)
    }

    /// Where an entry is, in words.
    pub(super) fn place(&self, seq: u64) -> String {
        format!("{}, entry {seq}", shown(&self.path))
    }
}

/// A path, which somebody else may have named, for a terminal.
pub(super) fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}
