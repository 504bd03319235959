//! What was promised and spent, kept so that a crash at any moment loses nothing.
//!
//! One `SQLite` file per owner (WAL, `synchronous=FULL`): the nonces that are out, a log
//! whose entries are chained by digests, and the grants made. A grant is one
//! transaction: consume the nonce, reserve and log, store the sealed grants. What is
//! reserved is spent: nothing here takes it back.
//!
//! The log is the only record of what was spent: a population's total is the sum over
//! its entries, and [`Ledger::verify_chain`] finds an altered one. A file that is gone
//! or restored from a backup it cannot find: that takes a head kept elsewhere, and
//! every release carries one.

mod chain;
mod grants;
mod nonces;
mod schema;

use std::path::{Path, PathBuf};

use cloister_protocol::{Digest, KeyId, keys::KeyError};
use rusqlite::Connection;
use thiserror::Error;

use crate::appraise::Denial;

pub use chain::{Entry, Event, Reservation};
pub use grants::Issue;
pub use nonces::{NONCE_SECONDS, OUTSTANDING};

/// The ledger of one owner.
pub struct Ledger {
    connection: Connection,
    owner: KeyId,
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
    #[error("[too-many-challenges] {OUTSTANDING} challenges are open: wait until some expire")]
    TooManyNonces,
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
    /// [`LedgerError::Exists`], and when it cannot be written.
    pub fn create(path: &Path, owner: KeyId) -> Result<Self, LedgerError> {
        if path.exists() {
            return Err(LedgerError::Exists(path.to_owned()));
        }
        let connection = schema::create(path, &owner)?;
        Ok(Self { connection, owner })
    }

    /// Opens the ledger of an owner. A missing one is never replaced by an empty one,
    /// which would be a fresh budget.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`], [`LedgerError::Foreign`], and when it cannot be read.
    pub fn open(path: &Path, owner: KeyId) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Missing(path.to_owned()));
        }
        let connection = schema::open(path, &owner)?;
        Ok(Self { connection, owner })
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
