//! The one transaction: look again, consume, reserve, log, seal, store.

use cloister_privacy::Accounting;
use cloister_protocol::{
    SigningKey,
    brokering::GrantResponse,
    cbor,
    dataset::DataKey,
    grant::{Grant, SealedGrant},
    transcript::TranscriptId,
};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use serde_bytes::ByteArray;

use super::{
    Ledger, LedgerError,
    chain::{self, Event, Reservation},
    stored, witness,
};
use crate::appraise::{Appraised, Denial, Rule};

/// What the ledger needs to issue grants, beyond what was appraised.
pub struct Issue<'a> {
    /// What was appraised.
    pub appraised: &'a Appraised,
    /// The data key and a random grant id for each dataset of its charges, in the same order.
    pub keys: &'a [(DataKey, [u8; 16])],
    /// The key that signs.
    pub broker: &'a SigningKey,
    /// Seconds since 1970.
    pub now: u64,
}

impl Ledger {
    /// The response stored for a transcript, byte for byte.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn granted(&self, transcript: &TranscriptId) -> Result<Option<Vec<u8>>, LedgerError> {
        granted(&self.connection, transcript)
    }

    /// The same, to be answered: what was committed before a crash is published first.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read, or its head not be written.
    pub fn answer(&mut self, transcript: &TranscriptId) -> Result<Option<Vec<u8>>, LedgerError> {
        let response = self.granted(transcript)?;
        if response.is_some() {
            self.publish()?;
        }
        Ok(response)
    }

    /// Reserves, logs and grants, all or nothing. Returns the encoded [`GrantResponse`],
    /// the stored one if the transcript has its grants already.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Denied`] by [`Rule::NonceUsed`], [`Rule::PolicyOutdated`],
    /// [`Rule::JobRepeated`], [`Rule::BudgetAccount`] or [`Rule::BudgetExhausted`], [`LedgerError::ClockBack`], and
    /// when the ledger cannot be written. Unless the head could not be written after the
    /// commit, nothing was reserved.
    pub fn grant(&mut self, issue: &Issue<'_>) -> Result<Vec<u8>, LedgerError> {
        let Issue { appraised, keys, broker, now } = issue;
        let datasets = appraised.charges.iter().map(|charge| charge.datasets.len());
        if keys.len() != datasets.sum::<usize>() {
            return Err(LedgerError::Number("the number of data keys"));
        }
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // 0. Again, now that nobody else writes: it is not granted, the clock runs
        //    forwards, and what was appraised is the newest policy.
        if let Some(response) = granted(&transaction, &appraised.transcript)? {
            drop(transaction);
            self.publish()?;
            return Ok(response);
        }
        chain::require_time(&transaction, *now)?;
        witness::check(&transaction, &self.path)?;
        require_newest(&transaction, appraised)?;
        // 1. The nonce leaves the open ones. If it is not there, another transcript or
        //    another process was faster.
        let nonce = &appraised.nonce.0[..];
        if transaction.execute("DELETE FROM nonces WHERE nonce = ?1", [nonce])? != 1 {
            let expected = "a nonce that nothing was granted for";
            return Err(Denial::new(Rule::NonceUsed, expected, "one that is gone").into());
        }
        // 2. and 3. Reserve and log, once for each population; each of its grants carries the
        //    head.
        let mut grants = Vec::new();
        let mut last = 0;
        let mut keys = keys.iter();
        for charge in &appraised.charges {
            if chain::is_reserved(&transaction, &appraised.job, &charge.population)? {
                let expected = "a job that nothing was granted for";
                let found = format!("job {:?}, granted in another transcript", appraised.job);
                return Err(Denial::new(Rule::JobRepeated, expected, found).into());
            }
            same_accounting(&transaction, &charge.population, appraised.accounting)?;
            let spent = chain::spent(&transaction, &charge.population)?;
            suffices(spent, charge.cost, appraised.total)?;
            let tables: Vec<_> = charge.datasets.iter().zip(keys.by_ref()).collect();
            let [(base, (_, id)), joined @ ..] = &tables[..] else {
                return Err(LedgerError::Number("a population without a table"));
            };
            let reservation = Reservation {
                grant: ByteArray::new(*id),
                transcript: appraised.transcript,
                job: appraised.job,
                purpose: appraised.purpose.clone(),
                orchestrator: appraised.orchestrator,
                code: appraised.code,
                dataset: **base,
                joined: joined.iter().map(|(dataset, _)| **dataset).collect(),
                population: charge.population.clone(),
                policy: appraised.policy,
                cost: charge.cost,
                order: appraised.accounting.order(),
            };
            let event = Event::Reserved(Box::new(reservation));
            let (seq, ledger_head) = chain::append(&transaction, &self.owner, *now, event)?;
            last = seq;
            // 4. Seal to the enclave, each table's key in a grant of its own.
            for (dataset, (key, id)) in tables {
                let grant = Grant {
                    grant: ByteArray::new(*id),
                    transcript: appraised.transcript,
                    dataset: *dataset,
                    policy: appraised.policy,
                    cost: charge.cost,
                    order: appraised.accounting.order(),
                    ledger_head,
                };
                grants.push(SealedGrant::issue(&grant, key, &appraised.hpke_key, broker)?);
            }
        }
        // 5. Store what is going to be answered.
        let response = cbor::encode(&GrantResponse { grants });
        let transcript = &appraised.transcript.digest().as_bytes()[..];
        transaction.execute(
            "INSERT INTO grants (transcript, nonce, seq, response) VALUES (?1, ?2, ?3, ?4)",
            (transcript, nonce, last, &response),
        )?;
        // 6. From here on it is spent.
        transaction.commit()?;
        // 7. And from here on a ledger without it is not opened any more.
        self.publish()?;
        Ok(response)
    }
}

fn granted(
    connection: &Connection,
    transcript: &TranscriptId,
) -> Result<Option<Vec<u8>>, LedgerError> {
    let response = connection
        .prepare_cached("SELECT response FROM grants WHERE transcript = ?1")?
        .query_row([&transcript.digest().as_bytes()[..]], |row| row.get(0))
        .optional()?;
    Ok(response)
}

/// A policy may have come into force since the request was appraised.
fn require_newest(connection: &Connection, appraised: &Appraised) -> Result<(), LedgerError> {
    let newest = chain::newest_policy(connection)?.map(|(_, policy)| policy);
    if newest == Some(appraised.policy) {
        return Ok(());
    }
    let expected = newest.map_or_else(|| "none".to_owned(), |policy| format!("policy {policy:?}"));
    let found = format!("policy {:?}", appraised.policy);
    Err(Denial::new(Rule::PolicyOutdated, expected, found).into())
}

/// An account that changed how it counts would be none: what it was changed to could follow
/// from what has been released.
fn same_accounting(
    connection: &Connection,
    population: &str,
    accounting: Accounting,
) -> Result<(), LedgerError> {
    let words = |accounting: Accounting| match accounting {
        Accounting::AllOrders => "zCDP".to_owned(),
        Accounting::At(order) => format!("order {order}"),
    };
    match chain::accounting(connection, population)? {
        Some(first) if first != accounting => {
            let expected = format!("{}, as since the first grant on {population:?}", words(first));
            Err(Denial::new(Rule::BudgetAccount, expected, words(accounting)).into())
        }
        _ => Ok(()),
    }
}

/// Whether the population's budget suffices, in integers of pico-rho.
fn suffices(spent: u64, cost: u64, total: u64) -> Result<(), LedgerError> {
    stored(cost, "a cost")?;
    let after = spent.checked_add(cost).filter(|after| *after <= total);
    if after.is_some() {
        return Ok(());
    }
    let left = total.saturating_sub(spent);
    let expected = format!("a cost of {left} pico-rho at most ({spent} of {total} are spent)");
    let denial = Denial::new(Rule::BudgetExhausted, expected, format!("{cost} pico-rho"));
    Err(denial.into())
}
