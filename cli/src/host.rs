//! A host's HTTP API, as this program uses it.

use std::io::Read;

use cloister_party::{Client, ClientError};
use cloister_protocol::{Signed, job::Job, limits, release::DatasetProof};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// A host.
pub struct Host(Client);

/// A dataset as the host lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedDataset {
    /// The manifest's id, in hexadecimal.
    pub id: String,
    /// The id of its owner's key, in hexadecimal.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// The name that its owner enrolled under at the host, if the host knows it.
    pub owner_name: Option<String>,
}

/// A job as the host sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job's id, in hexadecimal.
    pub job: String,
    /// `queued` ... `done` or `failed`.
    pub state: String,
    /// What it is doing, in words.
    #[serde(default)]
    pub detail: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub refusal: Option<Refusal>,
    /// Releases that are there.
    #[serde(default)]
    pub releases: u32,
    /// Releases there will be.
    #[serde(default)]
    pub of: u32,
}

/// Why a job failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable, for machines.
    pub code: String,
    /// For people.
    pub message: String,
}

impl JobStatus {
    /// Whether nothing more will happen.
    pub fn ended(&self) -> bool {
        self.state == "done" || self.state == "failed"
    }
}

impl Host {
    /// The host behind a client.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Uploads a sealed dataset; returns its id.
    pub fn put_dataset(
        &self,
        file: impl Read,
        length: u64,
        progress: impl FnMut(u64),
    ) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            id: String,
        }
        let answer: Answer =
            self.0.put_stream("/v1/datasets", file, length, progress).map_err(Error::failed)?;
        Ok(answer.id)
    }

    /// The datasets that the host has.
    pub fn datasets(&self) -> Result<Vec<ListedDataset>> {
        self.0.get_json("/v1/datasets").map_err(Error::failed)
    }

    /// What the owner of a dataset signed.
    pub fn proof(&self, id: &str) -> Result<DatasetProof> {
        let path = format!("/v1/datasets/{}/proof", hexadecimal(id)?);
        self.0.get_cbor(&path, 2 * limits::SIGNED_OBJECT).map_err(Error::failed)
    }

    /// Uploads signed code; the same code twice is one.
    pub fn put_code(&self, code: &[u8]) -> Result<()> {
        self.put("/v1/code", code)
    }

    /// Uploads a public set; the same set twice is one.
    pub fn put_public_set(&self, set: &[u8]) -> Result<()> {
        self.put("/v1/public-sets", set)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.0.put_stream::<Value>(path, bytes, length, |_| {}).map_err(Error::failed)?;
        Ok(())
    }

    /// Submits a job; returns its id as the host keeps it.
    pub fn submit(&self, job: &Signed<Job>) -> std::result::Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            job: String,
        }
        let answer: Answer = self.0.post_bytes("/v1/jobs", job.as_bytes())?;
        Ok(answer.job)
    }

    /// The newest jobs of this orchestrator, with long messages cut.
    pub fn jobs(&self) -> Result<Vec<JobStatus>> {
        self.0.get_json("/v1/jobs").map_err(Error::failed)
    }

    /// How far a job is.
    pub fn job(&self, id: &str) -> Result<JobStatus> {
        self.0.get_json(&format!("/v1/jobs/{}", hexadecimal(id)?)).map_err(Error::failed)
    }

    /// How far a job is, once it has more than `have` releases or has ended, or after
    /// some seconds. Nothing when the host could not be reached this time.
    pub fn wait(&self, id: &str, have: u32) -> Result<Option<JobStatus>> {
        let path = format!("/v1/jobs/{}/wait?have={have}", hexadecimal(id)?);
        this_time(self.0.get_json(&path))
    }

    /// A release's receipt and its tensors. Nothing when the host could not be reached
    /// this time.
    pub fn release(&self, id: &str, number: u32) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let path = format!("/v1/jobs/{}/releases/{number}", hexadecimal(id)?);
        let get = |what: &str, limit| this_time(self.0.get_bytes(&format!("{path}/{what}"), limit));
        let receipt = get("receipt", limits::RECEIPT as u64)?;
        Ok(receipt.zip(get("tensors", limits::TENSORS)?))
    }
}

/// Nothing, if another time may be better.
fn this_time<T>(answer: std::result::Result<T, ClientError>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_transient() => Ok(None),
        Err(error) => Err(Error::failed(error)),
    }
}

/// An id as it may stand in a path.
fn hexadecimal(id: &str) -> Result<&str> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(id);
    }
    Err(Error::usage(format!("{id:?} is not the id of a job: `cloister jobs` lists them")))
}
