//! The log: entries chained by digests.

use cloister_privacy::{Accounting, Order};
use cloister_protocol::{
    Digest, Id, KeyId, Verified, cbor,
    code::CodeManifest,
    dataset::{DatasetManifest, Population},
    job::Job,
    limits,
    transcript::TranscriptId,
};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{Ledger, LedgerError, loaded, stored};
use crate::policy::Policy;

/// How far a clock may be corrected backwards, in seconds.
pub const CLOCK_SLACK: u64 = 60;

/// One entry of the log. Its digest is
/// `Digest::of("ledger-entry", [digest of the entry before, CBOR of this entry])`;
/// before the first comes `Digest::of("ledger-owner", [the owner's key id])`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// Seconds since 1970, by the broker's clock.
    pub time: u64,
    /// What happened.
    pub event: Event,
}

/// What the log records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A policy came into force.
    Policy {
        /// Its version.
        version: u64,
        /// Its digest.
        policy: Digest,
    },
    /// Budget was reserved, which is to say spent.
    Reserved(Box<Reservation>),
}

/// A reservation: for whom, for what, how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// The random id of the dataset's grant.
    pub grant: ByteArray<16>,
    /// The transcript.
    pub transcript: TranscriptId,
    /// The job.
    pub job: Id<Job>,
    /// Its purpose.
    pub purpose: String,
    /// Its orchestrator.
    pub orchestrator: KeyId,
    /// The code.
    pub code: Id<CodeManifest>,
    /// The dataset; of several tables of the population, the base.
    pub dataset: Id<DatasetManifest>,
    /// The tables that are joined to it, in the job's order. They cost nothing more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Id<DatasetManifest>>,
    /// Whose budget.
    pub population: Population,
    /// The policy that allowed it.
    pub policy: Digest,
    /// In pico-rho.
    pub cost: u64,
    /// The order at which this population's ledger counts, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

impl Reservation {
    /// The datasets that were granted with it, the base first.
    pub fn datasets(&self) -> impl Iterator<Item = &Id<DatasetManifest>> {
        std::iter::once(&self.dataset).chain(&self.joined)
    }
}

impl Ledger {
    /// The digest of the newest entry.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn head(&self) -> Result<Digest, LedgerError> {
        Ok(end(&self.connection, &self.owner)?.1)
    }

    /// What all grants on a population have cost, in pico-rho.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn spent(&self, population: &str) -> Result<u64, LedgerError> {
        spent(&self.connection, population)
    }

    /// Every entry with its digest, oldest first.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn history(&self) -> Result<Vec<(Entry, Digest)>, LedgerError> {
        let mut statement = self
            .connection
            .prepare("SELECT seq, digest, population, job, cost, entry FROM log ORDER BY seq")?;
        let mut rows = statement.query([])?;
        let mut history = Vec::new();
        while let Some(row) = rows.next()? {
            history.push(read(row)?);
        }
        Ok(history)
    }

    /// Checks that no entry was altered, moved or taken out, and that each reservation
    /// has its grant; returns how many entries there are, and the head.
    ///
    /// # Errors
    ///
    /// As [`verified`](Self::verified).
    pub fn verify_chain(&self) -> Result<(u64, Digest), LedgerError> {
        let (entries, head) = self.verified()?;
        Ok((entries.len() as u64, head))
    }

    /// Every entry with its digest, oldest first, and the head, after the same checks.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Altered`], with the first entry that does not fit, and when the ledger
    /// cannot be read.
    pub fn verified(&self) -> Result<(Vec<(Entry, Digest)>, Digest), LedgerError> {
        let history = self.history()?;
        let mut head = genesis(&self.owner);
        for (count, (entry, digest)) in (1..).zip(&history) {
            if entry.seq != count {
                return Err(LedgerError::Altered { seq: count, why: "it is missing" });
            }
            head = link(&head, entry);
            if head != *digest {
                return Err(LedgerError::Altered { seq: count, why: "its digest differs" });
            }
            if let Event::Reserved(reservation) = &entry.event
                && self.granted(&reservation.transcript)?.is_none()
            {
                return Err(LedgerError::Altered { seq: count, why: "its grant is missing" });
            }
        }
        Ok((history, head))
    }

    /// Puts a policy into force: the one in force already, or a newer version.
    ///
    /// # Errors
    ///
    /// [`LedgerError::PolicyRollback`] for an older version, and for the same version
    /// with other contents.
    pub fn adopt(&mut self, policy: &Verified<Policy>, now: u64) -> Result<(), LedgerError> {
        let (found, found_digest) = (policy.value.version, *policy.id.digest());
        if self.newest_policy()? == Some((found, found_digest)) {
            return self.publish();
        }
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Again, now that nobody else writes.
        if let Some((newest, newest_digest)) = newest_policy(&transaction)? {
            if (newest, newest_digest) == (found, found_digest) {
                drop(transaction);
                return self.publish();
            }
            if found <= newest {
                return Err(LedgerError::PolicyRollback {
                    newest,
                    newest_digest,
                    found,
                    found_digest,
                });
            }
        }
        let event = Event::Policy { version: found, policy: found_digest };
        append(&transaction, &self.owner, now, event)?;
        transaction.commit()?;
        self.publish()
    }

    /// Version and digest of the newest policy that was in force.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn newest_policy(&self) -> Result<Option<(u64, Digest)>, LedgerError> {
        newest_policy(&self.connection)
    }
}

/// Appends an entry inside a transaction; returns its number and the new head.
pub(super) fn append(
    connection: &Connection,
    owner: &KeyId,
    time: u64,
    event: Event,
) -> Result<(i64, Digest), LedgerError> {
    let (last, head) = end(connection, owner)?;
    let seq = last.checked_add(1).ok_or(LedgerError::Number("an entry's number"))?;
    let entry = Entry { seq: loaded(seq, "an entry's number")?, time, event };
    let Columns { population, job, cost } = Columns::of(&entry.event)?;
    let digest = link(&head, &entry);
    connection.execute(
        "INSERT INTO log (seq, digest, population, job, cost, entry) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (seq, &digest.as_bytes()[..], population, job, cost, cbor::encode(&entry)),
    )?;
    Ok((seq, digest))
}

/// What SQL sees of an entry.
#[derive(Default, PartialEq)]
struct Columns {
    population: Option<String>,
    job: Option<Vec<u8>>,
    cost: Option<i64>,
}

impl Columns {
    fn of(event: &Event) -> Result<Self, LedgerError> {
        match event {
            Event::Policy { .. } => Ok(Self::default()),
            Event::Reserved(one) => Ok(Self {
                population: Some(one.population.clone()),
                job: Some(one.job.digest().as_bytes().to_vec()),
                cost: Some(stored(one.cost, "a cost")?),
            }),
        }
    }
}

/// Whether something was reserved for a job from a population's budget.
pub(super) fn is_reserved(
    connection: &Connection,
    job: &Id<Job>,
    population: &str,
) -> Result<bool, LedgerError> {
    let reserved = "SELECT 1 FROM log WHERE job = ?1 AND population = ?2";
    let job = &job.digest().as_bytes()[..];
    Ok(connection.prepare_cached(reserved)?.exists((job, population))?)
}

/// How the account of a population is kept, by its first reservation: `None` before that.
pub(super) fn accounting(
    connection: &Connection,
    population: &str,
) -> Result<Option<Accounting>, LedgerError> {
    let first = "SELECT seq, digest, population, job, cost, entry FROM log \
                 WHERE population = ?1 ORDER BY seq LIMIT 1";
    let mut statement = connection.prepare_cached(first)?;
    let mut rows = statement.query([population])?;
    Ok(match rows.next()?.map(read).transpose()? {
        Some((Entry { event: Event::Reserved(one), .. }, _)) => Some(Accounting::of(one.order)),
        _ => None,
    })
}

/// Refuses to go on when the clock is behind the log: nonces and policies that have
/// expired would be good again.
pub(super) fn require_time(connection: &Connection, now: u64) -> Result<(), LedgerError> {
    let newest = "SELECT seq, digest, population, job, cost, entry FROM log \
                  ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(newest)?;
    let mut rows = statement.query([])?;
    match rows.next()?.map(read).transpose()? {
        Some((Entry { time: newest, .. }, _)) if now.saturating_add(CLOCK_SLACK) < newest => {
            Err(LedgerError::ClockBack { now, newest })
        }
        _ => Ok(()),
    }
}

/// What a population has spent. `SQLite` refuses to add beyond its integers.
pub(super) fn spent(connection: &Connection, population: &str) -> Result<u64, LedgerError> {
    let sum: i64 = connection.query_row(
        "SELECT coalesce(sum(cost), 0) FROM log WHERE population = ?1",
        [population],
        |row| row.get(0),
    )?;
    loaded(sum, "what was spent")
}

/// Version and digest of the newest policy in the log.
pub(super) fn newest_policy(connection: &Connection) -> Result<Option<(u64, Digest)>, LedgerError> {
    let newest = "SELECT seq, digest, population, job, cost, entry FROM log \
                  WHERE population IS NULL ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(newest)?;
    let mut rows = statement.query([])?;
    match rows.next()?.map(read).transpose()? {
        Some((Entry { event: Event::Policy { version, policy }, .. }, _)) => {
            Ok(Some((version, policy)))
        }
        Some((Entry { seq, .. }, _)) => {
            Err(LedgerError::Altered { seq, why: "it is not a policy" })
        }
        None => Ok(None),
    }
}

/// Number and digest of the last entry.
pub(super) fn end(connection: &Connection, owner: &KeyId) -> Result<(i64, Digest), LedgerError> {
    let last: Option<(i64, [u8; 64])> = connection
        .prepare_cached("SELECT seq, digest FROM log ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(last.map_or_else(|| (0, genesis(owner)), |(seq, digest)| (seq, Digest::from_bytes(digest))))
}

/// What comes before the first entry.
pub(super) fn genesis(owner: &KeyId) -> Digest {
    Digest::of("ledger-owner", &[owner.digest().as_bytes()])
}

pub(super) fn link(before: &Digest, entry: &Entry) -> Digest {
    Digest::of("ledger-entry", &[before.as_bytes(), &cbor::encode(entry)])
}

/// Reads a row; what SQL sees of it has to be what its entry says.
fn read(row: &Row<'_>) -> Result<(Entry, Digest), LedgerError> {
    let seq = loaded(row.get(0)?, "an entry's number")?;
    let altered = |why| LedgerError::Altered { seq, why };
    let digest = Digest::from_bytes(row.get(1)?);
    let columns = Columns { population: row.get(2)?, job: row.get(3)?, cost: row.get(4)? };
    let bytes: Vec<u8> = row.get(5)?;
    let entry: Entry =
        cbor::decode(&bytes, limits::SIGNED_OBJECT).map_err(|_| altered("it cannot be read"))?;
    if entry.seq != seq || columns != Columns::of(&entry.event)? {
        return Err(altered("its columns differ"));
    }
    Ok((entry, digest))
}
