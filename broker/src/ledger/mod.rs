//! What was promised and spent, kept so that a crash at any moment loses nothing.
//!
//! One `SQLite` file per owner (WAL, `synchronous=FULL`): the nonces that are out, a log
//! whose entries are chained by digests, and the grants made. A grant is one
//! transaction: consume the nonce, reserve and log, store the sealed grants. What is
//! reserved is spent: nothing here takes it back.
//!
//! The log is the only record of what was spent: a population's total is the sum over
//! its entries, and [`Ledger::verify_chain`] finds an altered one. A lost or older part of
//! it is found by `ledger.head` beside it. Everything restored together from a backup
//! takes a head kept elsewhere, and every release carries one: once it was shown a release
//! that it has forgotten, a ledger grants nothing (`ledger.witness`).

mod chain;
mod export;
mod grants;
mod head;
mod nonces;
mod schema;
mod witness;

use std::path::{Path, PathBuf};

use cloister_protocol::{Digest, KeyId, keys::KeyError};
use rusqlite::Connection;
use thiserror::Error;

use crate::appraise::Denial;

pub use chain::{CLOCK_SLACK, Entry, Event, Reservation};
pub use export::{CheckedLog, GrantLog, LogError};
pub use grants::Issue;
pub use nonces::{NONCE_SECONDS, OUTSTANDING, OUTSTANDING_OF_PEER};

use head::Head;
use schema::BUSY;

/// The ledger of one owner.
pub struct Ledger {
    connection: Connection,
    owner: KeyId,
    path: PathBuf,
    /// The number of the entry that `ledger.head` is known to name.
    published: Option<u64>,
}

/// Why the ledger did not do what it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// No file where one has to be.
    #[error(
        "[ledger-missing] there is no ledger at {0}, and without it nobody knows what was spent: \
         restore it; only an owner that has never granted anything makes a new one, with \
         `cloister owner init`"
    )]
    Missing(PathBuf),
    /// A file where none may be.
    #[error("[ledger-exists] there is a ledger at {0} already: it is never replaced")]
    Exists(PathBuf),
    /// A ledger that this build or this owner cannot use.
    #[error("[ledger-foreign] {0}")]
    Foreign(String),
    /// The file does not say what was written.
    #[error(
        "[ledger-altered] entry {seq} of the ledger was altered or is damaged ({why}): grant \
         nothing; restore the ledger from a copy whose head is that of your newest release"
    )]
    Altered {
        /// The entry.
        seq: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// The log does not reach as far as it had.
    #[error(
        "[ledger-rolled-back] the ledger is older than {head} says ({why}), so part of what was \
         spent is not in it: grant nothing; put back ledger.sqlite, ledger.sqlite-wal and \
         ledger.head as they were together"
    )]
    RolledBack {
        /// The file that knows how far it had come.
        head: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The clock was set back.
    #[error(
        "[clock-back] the broker's clock says second {now}, and the newest entry of its ledger \
         was made at second {newest}: set the clock; if it is right now and was wrong then, sign \
         a new version of the policy"
    )]
    ClockBack {
        /// What the clock says.
        now: u64,
        /// What it said when the newest entry was made.
        newest: u64,
    },
    /// An older policy than one that was in force.
    #[error(
        "[policy-rollback] version {newest} of the policy was in force ({newest_digest:?}), this \
         is version {found} ({found_digest:?}): count `version` up and sign again"
    )]
    PolicyRollback {
        /// The newest version that was in force.
        newest: u64,
        /// Its digest.
        newest_digest: Digest,
        /// The version found.
        found: u64,
        /// Its digest.
        found_digest: Digest,
    },
    /// More nonces are out than anybody needs.
    #[error("[too-many-challenges] {limit} challenges {whose} are open: wait until some expire")]
    TooManyNonces {
        /// How many may be.
        limit: u64,
        /// Of whom.
        whose: &'static str,
    },
    /// The request breaks a rule that only the ledger can check.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// A number does not fit.
    #[error("[ledger-number] {0} does not fit into the ledger")]
    Number(&'static str),
    /// The broker's key or the enclave's is unusable.
    #[error("[sealing] the grants cannot be sealed: {0}")]
    Sealing(#[from] cloister_protocol::grant::GrantError),
    /// The broker could not sign.
    #[error("[signing] {0}")]
    Key(#[from] KeyError),
    /// `SQLite` failed. Unless that was while committing, nothing was reserved; and the
    /// same request is never charged twice.
    #[error("[ledger-database] {0}: see to the disk, then ask again")]
    Database(#[from] rusqlite::Error),
    /// The file could not be made.
    #[error("[ledger-file] {0}")]
    File(#[from] std::io::Error),
}

impl Ledger {
    /// Makes the ledger of a new owner. Refuses to replace one.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Exists`], [`LedgerError::Missing`] where there was one that is gone,
    /// and when it cannot be written.
    pub fn create(path: &Path, owner: KeyId) -> Result<Self, LedgerError> {
        if path.exists() {
            return Err(LedgerError::Exists(path.to_owned()));
        }
        if Head::read(path)?.is_some_and(|head| head.seq > 0) {
            return Err(LedgerError::Missing(path.to_owned()));
        }
        let head = Head { seq: 0, digest: chain::genesis(&owner) };
        head.write(path)?;
        let connection = schema::create(path, &owner)?;
        Ok(Self { connection, owner, path: path.to_owned(), published: Some(0) })
    }

    /// Opens the ledger of an owner. A missing one is never replaced by an empty one,
    /// which would be a fresh budget.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`], [`LedgerError::Foreign`], [`LedgerError::RolledBack`], and
    /// when it cannot be read.
    pub fn open(path: &Path, owner: KeyId) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Missing(path.to_owned()));
        }
        let connection = schema::open(path, &owner)?;
        // The head first: until the log is read, it may only have grown.
        let head = Head::read(path)?
            .ok_or_else(|| head::rolled_back(&Head::path(path), "that file is missing"))?;
        let ledger = Self { connection, owner, path: path.to_owned(), published: Some(head.seq) };
        head.check(&ledger)?;
        Ok(ledger)
    }

    /// The owner whose ledger it is.
    #[must_use]
    pub fn owner(&self) -> &KeyId {
        &self.owner
    }
}

/// An unsigned number as `SQLite` stores it.
fn stored(number: u64, what: &'static str) -> Result<i64, LedgerError> {
    i64::try_from(number).map_err(|_| LedgerError::Number(what))
}

/// A number from `SQLite` as it was stored.
fn loaded(number: i64, what: &'static str) -> Result<u64, LedgerError> {
    u64::try_from(number).map_err(|_| LedgerError::Number(what))
}

#[cfg(test)]
mod tests;
