//! Challenges that are out.

use cloister_protocol::transcript::Nonce;
use rusqlite::{OptionalExtension, TransactionBehavior};

use super::{Ledger, LedgerError, loaded, stored};
use crate::appraise::NonceState;

/// How long a nonce is good: an enclave compiles code and makes evidence meanwhile.
pub const NONCE_SECONDS: u64 = 600;

/// How many nonces may be out at once.
pub const OUTSTANDING: u64 = 10_000;

/// How long an expired nonce is remembered, so that it is called by its name.
const REMEMBERED: u64 = 24 * 60 * 60;

impl Ledger {
    /// Issues a nonce at `now`; `nonce` is fresh random bytes. Returns the last second
    /// at which it is good.
    ///
    /// # Errors
    ///
    /// [`LedgerError::TooManyNonces`], and when it cannot be stored.
    pub fn issue_nonce(&mut self, nonce: &Nonce, now: u64) -> Result<u64, LedgerError> {
        let until = now.checked_add(NONCE_SECONDS).ok_or(LedgerError::Number("the time"))?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let forgotten = stored(now.saturating_sub(REMEMBERED), "the time")?;
        transaction.execute("DELETE FROM nonces WHERE until < ?1", [forgotten])?;
        let open: i64 = transaction.query_row(
            "SELECT count(*) FROM nonces WHERE until >= ?1",
            [stored(now, "the time")?],
            |row| row.get(0),
        )?;
        if loaded(open, "a count")? >= OUTSTANDING {
            return Err(LedgerError::TooManyNonces);
        }
        transaction.execute(
            "INSERT INTO nonces (nonce, until) VALUES (?1, ?2)",
            (&nonce.0[..], stored(until, "the time")?),
        )?;
        transaction.commit()?;
        Ok(until)
    }

    /// What became of a nonce.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn nonce(&self, nonce: &Nonce) -> Result<NonceState, LedgerError> {
        let bytes = &nonce.0[..];
        let used = "SELECT 1 FROM grants WHERE nonce = ?1";
        if self.connection.prepare_cached(used)?.exists([bytes])? {
            return Ok(NonceState::Used);
        }
        let until: Option<i64> = self
            .connection
            .prepare_cached("SELECT until FROM nonces WHERE nonce = ?1")?
            .query_row([bytes], |row| row.get(0))
            .optional()?;
        match until {
            Some(until) => Ok(NonceState::Open { until: loaded(until, "the time")? }),
            None => Ok(NonceState::Unknown),
        }
    }
}
