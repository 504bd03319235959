//! The jobs, their states and their releases, in `SQLite`.
//!
//! Write-ahead log with `synchronous=FULL`: a change that was acknowledged survives
//! the loss of power. Every change of state is one transaction that names the state
//! it starts from, so that a cancellation and a grant cannot both win.

mod job;
mod schema;
mod state;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cloister_protocol::{Id, KeyId, Signed, job::Job, transcript::TranscriptId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use thiserror::Error;
use tokio::sync::watch;

pub use job::{Failure, JobRecord, ReleaseRecord};
pub use state::JobState;

/// The most jobs that may wait: an orchestrator that submits without end is told so.
pub const WAITING: u32 = 1000;

/// The most jobs of a list: it has to fit into what clients take.
pub const LISTED: u32 = 1000;

/// Why the queue refused something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The database.
    #[error("the host's queue failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// Another schema.
    #[error(
        "the queue was written by another version of this program (schema {0}); use that version, or begin with a new home"
    )]
    Schema(i64),
    /// Too many jobs are waiting.
    #[error("{WAITING} jobs are waiting already; submit again when some have ended")]
    Full,
    /// There is no such job.
    #[error("there is no job {0}")]
    Unknown(Id<Job>),
    /// A release out of order.
    #[error("release {found} came where release {expected} was expected")]
    Order {
        /// The next release.
        expected: u32,
        /// The one that came.
        found: u32,
    },
    /// The job is not in the state that the change starts from.
    #[error("the job is {found}; this needs it to be {needed}")]
    State {
        /// What was needed.
        needed: &'static str,
        /// The state found.
        found: JobState,
    },
}

/// The queue. Cheap to clone; every method blocks for at most one flush to the disk.
#[derive(Clone, Debug)]
pub struct Queue {
    database: Arc<Mutex<Connection>>,
    changes: watch::Sender<u64>,
}

impl Queue {
    /// Opens the queue, making it if it is missing. Jobs that had not asked for a
    /// grant are queued again. Jobs that had are left as they are, for
    /// [`Queue::interrupted`].
    pub fn open(path: &Path) -> Result<Self, QueueError> {
        let mut database = Connection::open(path)?;
        schema::prepare(&mut database)?;
        database.execute(
            "UPDATE jobs SET state = 'queued', detail = 'the host was restarted; queued again' \
             WHERE state = 'preparing'",
            [],
        )?;
        Ok(Self { database: Arc::new(Mutex::new(database)), changes: watch::Sender::new(0) })
    }

    /// Tells of every change, to whoever waits for one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Adds a job. The same job again is no error and changes nothing; whether it was
    /// new is returned.
    pub fn submit(
        &self,
        id: &Id<Job>,
        owner: &KeyId,
        job: &Signed<Job>,
        releases: u32,
    ) -> Result<bool, QueueError> {
        let mut database = self.lock();
        let transaction = database.transaction()?;
        let known: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)",
            [id.to_string()],
            |row| row.get(0),
        )?;
        if known {
            return Ok(false);
        }
        let waiting: u32 = transaction.query_row(
            "SELECT COUNT(*) FROM jobs WHERE state = 'queued'",
            [],
            |row| row.get(0),
        )?;
        if waiting >= WAITING {
            return Err(QueueError::Full);
        }
        transaction.execute(
            "INSERT INTO jobs (id, owner, job, state, of, submitted, updated) \
             VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?5)",
            params![id.to_string(), owner.to_string(), job.as_bytes(), releases, now()],
        )?;
        transaction.commit()?;
        drop(database);
        self.changed();
        Ok(true)
    }

    /// The job that has waited longest, if any.
    pub fn next(&self) -> Result<Option<JobRecord>, QueueError> {
        self.one("state = 'queued' ORDER BY seq LIMIT 1", &[])
    }

    /// Jobs that an earlier process left after it had asked for grants, oldest first.
    pub fn interrupted(&self) -> Result<Vec<JobRecord>, QueueError> {
        self.many("state IN ('granting', 'loading', 'running') ORDER BY seq", &[])
    }

    /// One job.
    pub fn job(&self, id: &Id<Job>) -> Result<JobRecord, QueueError> {
        self.one("id = ?1", &[&id.to_string()])?.ok_or(QueueError::Unknown(*id))
    }

    /// The newest jobs of one orchestrator, at most [`LISTED`], oldest first.
    pub fn jobs_of(&self, owner: &KeyId) -> Result<Vec<JobRecord>, QueueError> {
        let newest = format!("owner = ?1 ORDER BY seq DESC LIMIT {LISTED}");
        let mut jobs = self.many(&newest, &[&owner.to_string()])?;
        jobs.reverse();
        Ok(jobs)
    }

    /// How many jobs wait, and how many are being worked on.
    pub fn counts(&self) -> Result<(u32, u32), QueueError> {
        Ok(self.lock().query_row(
            "SELECT COUNT(*) FILTER (WHERE state = 'queued'), \
             COUNT(*) FILTER (WHERE state NOT IN ('queued', 'done', 'failed')) FROM jobs",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
    }

    /// Moves a job on from exactly the state `from`.
    pub fn advance(&self, id: &Id<Job>, from: JobState, to: JobState) -> Result<(), QueueError> {
        let rows = self.lock().execute(
            "UPDATE jobs SET state = ?3, detail = '', updated = ?4 WHERE id = ?1 AND state = ?2",
            params![id.to_string(), from.as_str(), to.as_str(), now()],
        )?;
        if rows == 0 {
            return Err(QueueError::State { needed: from.as_str(), found: self.job(id)?.state });
        }
        self.changed();
        Ok(())
    }

    /// Notes the transcript that a job is executed under.
    pub fn set_transcript(&self, id: &Id<Job>, to: &TranscriptId) -> Result<(), QueueError> {
        self.update(id, "transcript = ?2", &to.to_string())
    }

    /// Says for people what a job is doing or waiting for.
    pub fn set_detail(&self, id: &Id<Job>, detail: &str) -> Result<(), QueueError> {
        self.update(id, "detail = ?2", detail)
    }

    /// Ends a job with a reason, unless it has ended.
    pub fn fail(&self, id: &Id<Job>, failure: &Failure) -> Result<(), QueueError> {
        self.lock().execute(
            "UPDATE jobs SET state = 'failed', detail = '', failure_from = ?2, \
             failure_code = ?3, failure_message = ?4, updated = ?5 \
             WHERE id = ?1 AND state NOT IN ('done', 'failed')",
            params![id.to_string(), failure.from, failure.code, failure.message, now()],
        )?;
        self.changed();
        Ok(())
    }

    /// Ends a job for which no grant was asked yet.
    pub fn cancel(&self, id: &Id<Job>) -> Result<(), QueueError> {
        let failure = Failure::host("cancelled", "its orchestrator cancelled it before any grant");
        let rows = self.lock().execute(
            "UPDATE jobs SET state = 'failed', detail = '', failure_from = ?2, \
             failure_code = ?3, failure_message = ?4, updated = ?5 \
             WHERE id = ?1 AND state IN ('queued', 'preparing')",
            params![id.to_string(), failure.from, failure.code, failure.message, now()],
        )?;
        if rows == 0 {
            let found = self.job(id)?.state;
            return Err(QueueError::State { needed: "queued or preparing", found });
        }
        self.changed();
        Ok(())
    }

    /// Records a release whose files are on the disk. The same release again is no
    /// error; only the next one in order is taken.
    pub fn add_release(&self, id: &Id<Job>, release: &ReleaseRecord) -> Result<(), QueueError> {
        let mut database = self.lock();
        let transaction = database.transaction()?;
        let expected: u32 = transaction.query_row(
            "SELECT COUNT(*) FROM releases WHERE job = ?1",
            [id.to_string()],
            |row| row.get(0),
        )?;
        if release.number < expected {
            return Ok(());
        }
        if release.number > expected {
            return Err(QueueError::Order { expected, found: release.number });
        }
        transaction.execute(
            "INSERT INTO releases (job, number, receipt, tensors, received) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                id.to_string(),
                release.number,
                release.receipt.to_string(),
                release.tensors.to_string(),
                now()
            ],
        )?;
        transaction.execute(
            "UPDATE jobs SET updated = ?2, \
             releases = (SELECT COUNT(*) FROM releases WHERE job = ?1) WHERE id = ?1",
            params![id.to_string(), now()],
        )?;
        transaction.commit()?;
        drop(database);
        self.changed();
        Ok(())
    }

    /// One release of a job.
    pub fn release(&self, id: &Id<Job>, number: u32) -> Result<Option<ReleaseRecord>, QueueError> {
        Ok(self
            .lock()
            .query_row(
                "SELECT number, receipt, tensors FROM releases WHERE job = ?1 AND number = ?2",
                params![id.to_string(), number],
                ReleaseRecord::from_row,
            )
            .optional()?)
    }

    fn update(&self, id: &Id<Job>, set: &str, value: &str) -> Result<(), QueueError> {
        self.lock().execute(
            &format!(
                "UPDATE jobs SET {set}, updated = ?3 \
                 WHERE id = ?1 AND state NOT IN ('done', 'failed')"
            ),
            params![id.to_string(), value, now()],
        )?;
        self.changed();
        Ok(())
    }

    fn one(
        &self,
        condition: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Option<JobRecord>, QueueError> {
        let query = format!("SELECT {} FROM jobs WHERE {condition}", JobRecord::COLUMNS);
        Ok(self.lock().query_row(&query, values, JobRecord::from_row).optional()?)
    }

    fn many(
        &self,
        condition: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<JobRecord>, QueueError> {
        let query = format!("SELECT {} FROM jobs WHERE {condition}", JobRecord::COLUMNS);
        let database = self.lock();
        let mut statement = database.prepare(&query)?;
        let rows = statement.query_map(values, |row: &Row<'_>| JobRecord::from_row(row))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that panicked was rolled back: the connection is good.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}
