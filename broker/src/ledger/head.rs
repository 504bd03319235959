//! `ledger.head`: how far the log had come when something was last answered.
//!
//! `SQLite` keeps the newest entries in a second file, `ledger.sqlite-wal`. A copy of
//! `ledger.sqlite` alone is an older ledger, complete in itself, with a smaller sum. So
//! the end of the log is written to a third file, after each commit and before its
//! answer, and a ledger that does not reach that far is not opened. The log may be
//! ahead: a crash between commit and this file is not a loss. All files put back together
//! this cannot tell; every release carries a head that can.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use cloister_party::write_atomically;
use cloister_protocol::Digest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{BUSY, Ledger, LedgerError, chain, loaded};

/// How long a commit waits for readers, before it leaves the entry in the second file.
const CHECKPOINT: Duration = Duration::from_millis(500);

/// A place in the log: `NUMBER DIGEST`, in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of its last entry, from 1; 0 for an empty log.
    pub(super) seq: u64,
    /// That entry's digest; the genesis of an empty log.
    pub(super) digest: Digest,
}

impl Head {
    /// Where the head of the ledger at `ledger` is.
    pub(super) fn path(ledger: &Path) -> PathBuf {
        ledger.with_extension("head")
    }

    /// Reads the head, if there is a file.
    pub(super) fn read(ledger: &Path) -> Result<Option<Self>, LedgerError> {
        let path = Self::path(ledger);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let head = text.trim_end().split_once(' ').and_then(|(seq, digest)| {
            Some(Self { seq: seq.parse().ok()?, digest: Digest::from_hex(digest)? })
        });
        head.map(Some).ok_or_else(|| rolled_back(&path, "it cannot be read"))
    }

    /// Writes the head: whole or not at all, and durable.
    pub(super) fn write(&self, ledger: &Path) -> Result<(), LedgerError> {
        let text = format!("{} {}\n", self.seq, self.digest.to_hex());
        Ok(write_atomically(&Self::path(ledger), text.as_bytes(), 0o600)?)
    }

    /// Refuses a log that does not hold this head.
    pub(super) fn check(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let path = Self::path(&ledger.path);
        let (last, _) = chain::end(&ledger.connection, &ledger.owner)?;
        let last = loaded(last, "an entry's number")?;
        if last < self.seq {
            let why = format!("the log ends at entry {last}, and had reached entry {}", self.seq);
            return Err(rolled_back(&path, why));
        }
        if digest_at(&ledger.connection, ledger, self.seq)? != Some(self.digest) {
            return Err(rolled_back(&path, format!("entry {} is another one", self.seq)));
        }
        Ok(())
    }
}

impl Ledger {
    /// Makes everything that was committed hard to lose, before it is answered: empties
    /// the second file into the first, and writes the head. Called before every answer;
    /// does nothing when the head says it already.
    pub(super) fn publish(&mut self) -> Result<(), LedgerError> {
        let (last, _) = chain::end(&self.connection, &self.owner)?;
        if self.published == Some(loaded(last, "an entry's number")?) {
            return Ok(());
        }
        // A reader may hold the second file open. Then the entry is safe from a power cut
        // there, and if that file is lost, the head says so.
        self.connection.busy_timeout(CHECKPOINT)?;
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(BUSY)?;
        emptied?;
        // Nobody else appends meanwhile, so that heads are written in the log's order.
        let alone = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (last, digest) = chain::end(&alone, &self.owner)?;
        let head = Head { seq: loaded(last, "an entry's number")?, digest };
        head.write(&self.path)?;
        alone.rollback()?;
        self.published = Some(head.seq);
        Ok(())
    }
}

fn digest_at(
    connection: &Connection,
    ledger: &Ledger,
    seq: u64,
) -> Result<Option<Digest>, LedgerError> {
    if seq == 0 {
        return Ok(Some(chain::genesis(&ledger.owner)));
    }
    let digest: Option<[u8; 64]> = connection
        .query_row(
            "SELECT digest FROM log WHERE seq = ?1",
            [super::stored(seq, "an entry's number")?],
            |row| row.get(0),
        )
        .optional()?;
    Ok(digest.map(Digest::from_bytes))
}

/// The error of a ledger that had more in it, by what `head` says.
pub(super) fn rolled_back(head: &Path, why: impl Into<String>) -> LedgerError {
    LedgerError::RolledBack { head: head.to_owned(), why: why.into() }
}
