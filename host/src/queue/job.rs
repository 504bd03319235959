//! Rows of the queue.

use cloister_protocol::{Digest, Id, KeyId, Signed, job::Job, transcript::TranscriptId};
use rusqlite::{Row, types::Type};
use serde::Serialize;

use super::JobState;
use crate::store::BlobId;

/// A job as the queue holds it.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Its id.
    pub id: Id<Job>,
    /// The key of the orchestrator who signed it.
    pub owner: KeyId,
    /// The job.
    pub job: Signed<Job>,
    /// How far it is.
    pub state: JobState,
    /// What it is doing or waiting for, for people; may be empty.
    pub detail: String,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
    /// The transcript it is executed under, once there is one.
    pub transcript: Option<TranscriptId>,
    /// How many releases have arrived.
    pub releases: u32,
    /// How many there will be.
    pub of: u32,
    /// When it was submitted, in seconds since 1970.
    pub submitted: i64,
    /// When it last changed, in seconds since 1970.
    pub updated: i64,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Who said so: `host`, `enclave`, or `broker NAME`.
    pub from: String,
    /// Stable, for machines.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure that the host itself noticed.
    #[must_use]
    pub fn host(code: &str, message: impl Into<String>) -> Self {
        Self { from: "host".into(), code: code.into(), message: message.into() }
    }

    /// The same, saying what became of the budget when the job was in `state`.
    #[must_use]
    pub fn in_state(mut self, state: JobState) -> Self {
        if state.may_have_cost() {
            self.message.push_str(
                "; whatever the owners' brokers reserved for this job stays reserved and counts \
                 as spent: sign a new job to try again",
            );
        }
        self
    }
}

/// A release whose files are on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRecord {
    /// Its number, from 0.
    pub number: u32,
    /// The receipt.
    pub receipt: BlobId,
    /// The safetensors file.
    pub tensors: BlobId,
}

impl JobRecord {
    pub(super) const COLUMNS: &'static str = "id, owner, job, state, detail, failure_from, \
         failure_code, failure_message, transcript, releases, of, submitted, updated";

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let state: String = row.get(3)?;
        let failure = match (row.get(5)?, row.get(6)?, row.get(7)?) {
            (Some(from), Some(code), Some(message)) => Some(Failure { from, code, message }),
            _ => None,
        };
        let transcript: Option<String> = row.get(8)?;
        Ok(Self {
            id: Id::new(digest(0, &row.get::<_, String>(0)?)?),
            owner: Id::new(digest(1, &row.get::<_, String>(1)?)?),
            job: Signed::from_bytes(row.get(2)?),
            state: JobState::from_text(&state).ok_or_else(|| damaged(3, &state))?,
            detail: row.get(4)?,
            failure,
            transcript: transcript.map(|text| digest(8, &text).map(Id::new)).transpose()?,
            releases: row.get(9)?,
            of: row.get(10)?,
            submitted: row.get(11)?,
            updated: row.get(12)?,
        })
    }
}

impl ReleaseRecord {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (receipt, tensors): (String, String) = (row.get(1)?, row.get(2)?);
        Ok(Self {
            number: row.get(0)?,
            receipt: receipt.parse().map_err(|_| damaged(1, &receipt))?,
            tensors: tensors.parse().map_err(|_| damaged(2, &tensors))?,
        })
    }
}

fn digest(column: usize, text: &str) -> rusqlite::Result<Digest> {
    Digest::from_hex(text).ok_or_else(|| damaged(column, text))
}

fn damaged(column: usize, found: &str) -> rusqlite::Error {
    let why = format!("{found:?} is not what this program writes there");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}
