//! Challenges that are out.

use cloister_protocol::{KeyId, transcript::Nonce};
use rusqlite::{Connection, OptionalExtension, ToSql, TransactionBehavior};

use super::{Ledger, LedgerError, chain, loaded, stored};
use crate::appraise::NonceState;

/// How long a nonce is good: an enclave compiles code and makes evidence meanwhile.
pub const NONCE_SECONDS: u64 = 600;

/// How many nonces may be out at once.
pub const OUTSTANDING: u64 = 10_000;

/// How many of them one peer may have asked for: one job needs one, and a host that
/// hoards keeps no other from being served.
pub const OUTSTANDING_OF_PEER: u64 = 500;

/// How long an expired nonce is remembered, so that it is called by its name.
const REMEMBERED: u64 = NONCE_SECONDS;

impl Ledger {
    /// Issues a nonce to `peer` at `now`; `nonce` is fresh random bytes. Returns the last
    /// second at which it is good.
    ///
    /// # Errors
    ///
    /// [`LedgerError::TooManyNonces`], [`LedgerError::ClockBack`], and when it cannot be
    /// stored.
    pub fn issue_nonce(
        &mut self,
        nonce: &Nonce,
        peer: &KeyId,
        now: u64,
    ) -> Result<u64, LedgerError> {
        let until = now.checked_add(NONCE_SECONDS).ok_or(LedgerError::Number("the time"))?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        chain::require_time(&transaction, now)?;
        let forgotten = stored(now.saturating_sub(REMEMBERED), "the time")?;
        transaction.execute("DELETE FROM nonces WHERE until < ?1", [forgotten])?;
        let (peer, since) = (&peer.digest().as_bytes()[..], stored(now, "the time")?);
        let open = "SELECT count(*) FROM nonces WHERE until >= ?1";
        require_fewer(&transaction, open, &[&since], OUTSTANDING, "in all")?;
        let open = "SELECT count(*) FROM nonces WHERE until >= ?1 AND peer = ?2";
        require_fewer(&transaction, open, &[&since, &peer], OUTSTANDING_OF_PEER, "of this caller")?;
        transaction.execute(
            "INSERT INTO nonces (nonce, peer, until) VALUES (?1, ?2, ?3)",
            (&nonce.0[..], peer, stored(until, "the time")?),
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

fn require_fewer(
    connection: &Connection,
    count: &str,
    parameters: &[&dyn ToSql],
    limit: u64,
    whose: &'static str,
) -> Result<(), LedgerError> {
    let open: i64 = connection.prepare_cached(count)?.query_row(parameters, |row| row.get(0))?;
    if loaded(open, "a count")? < limit {
        return Ok(());
    }
    Err(LedgerError::TooManyNonces { limit, whose })
}
