//! One broker for each home.
//!
//! The ledger's transactions hold whoever opens it, so two brokers on one home would not
//! spend a budget twice. But each keeps its own time and its own limits, and an owner
//! who believes that the old one has stopped should be told that it has not.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Held while a broker serves a home. The system releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct HomeLock(#[allow(dead_code, reason = "closing the file releases the lock")] File);

/// Why a home cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another broker has it.
    #[error("[broker-running] another broker serves this home (it holds {0}): stop that one first")]
    Held(PathBuf),
    /// The file cannot be made or locked.
    #[error("[home-file] {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl HomeLock {
    /// Takes the home in the directory `home`, if nobody has it.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] when another broker runs, and when the file cannot be made.
    pub fn take(home: &Path) -> Result<Self, LockError> {
        let path = home.join("broker.lock");
        // The file stays: a lock on one that others may remove would not exclude them.
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| LockError::File { path: path.clone(), error })?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(path)),
            Err(TryLockError::Error(error)) => Err(LockError::File { path, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_broker_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let first = HomeLock::take(home.path()).unwrap();
        assert!(matches!(HomeLock::take(home.path()), Err(LockError::Held(_))));
        drop(first);
        HomeLock::take(home.path()).unwrap();
    }
}
