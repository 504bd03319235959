//! `ledger.witness`: entries that releases show the log has had.
//!
//! A ledger that is put back from an old copy with all its files is complete in itself, and so
//! is its `ledger.head`. Grants that it has forgotten are in releases all the same, signed by
//! this owner's broker, each with the head of the log that it was an entry of. Once such a
//! release was shown to it, nothing is granted until a copy is back that has the entry.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cloister_party::write_atomically;
use cloister_protocol::Digest;
use rusqlite::Connection;

use super::{Ledger, LedgerError, head};

impl Ledger {
    /// Remembers entries that the log has to have before anything more is granted.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn witness(&self, heads: &[Digest]) -> Result<(), LedgerError> {
        let path = path(&self.path);
        let mut known = read(&path)?;
        known.extend(heads);
        known.sort_by_key(|digest| *digest.as_bytes());
        known.dedup();
        let text: String = known.iter().map(|digest| digest.to_hex() + "\n").collect();
        Ok(write_atomically(&path, text.as_bytes(), 0o600)?)
    }
}

/// Refuses a log that lacks an entry which a release has shown.
pub(super) fn check(connection: &Connection, ledger: &Path) -> Result<(), LedgerError> {
    let path = path(ledger);
    for digest in read(&path)? {
        let mut entry = connection.prepare_cached("SELECT 1 FROM log WHERE digest = ?1")?;
        if !entry.exists([&digest.as_bytes()[..]])? {
            let why = format!("a release carries entry {digest:?}, and the log does not have it");
            return Err(head::rolled_back(&path, why));
        }
    }
    Ok(())
}

fn path(ledger: &Path) -> PathBuf {
    ledger.with_extension("witness")
}

fn read(path: &Path) -> Result<Vec<Digest>, LedgerError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let digest = |line: &str| {
        Digest::from_hex(line).ok_or_else(|| head::rolled_back(path, "it cannot be read"))
    };
    text.lines().map(digest).collect()
}
