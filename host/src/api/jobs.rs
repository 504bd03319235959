//! `/v1/jobs`

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
    http::StatusCode,
};
use cloister_party::{Peer, Refused, Role};
use cloister_protocol::{Id, Signed, Verified, job::Job, limits};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Api, refusals, require, upload};
use crate::queue::{Failure, JobRecord, JobState, Queue, QueueError};

/// How long a long poll waits: well below what clients take for silence.
const POLL: Duration = Duration::from_secs(20);

/// The most characters of a sentence in a list; the job itself has all of it.
const LISTED_TEXT: usize = 500;

/// The answer to a submission.
#[derive(Debug, Serialize)]
pub(super) struct Submitted {
    job: String,
    state: JobState,
}

/// A job as its orchestrator sees it.
#[derive(Debug, Serialize)]
pub(super) struct JobView {
    job: String,
    state: JobState,
    /// What it is doing or waiting for; empty when there is nothing to say.
    detail: String,
    /// Why it failed: `{from, code, message}`, or null.
    refusal: Option<Failure>,
    /// The transcript it runs under, or null.
    transcript: Option<String>,
    /// Releases that have arrived, numbered from 0.
    releases: u32,
    /// Releases that there will be.
    of: u32,
    /// RFC 3339.
    submitted: String,
    /// RFC 3339.
    updated: String,
}

impl From<JobRecord> for JobView {
    fn from(job: JobRecord) -> Self {
        Self {
            job: job.id.to_string(),
            state: job.state,
            detail: job.detail,
            refusal: job.failure,
            transcript: job.transcript.map(|id| id.to_string()),
            releases: job.releases,
            of: job.of,
            submitted: time(job.submitted),
            updated: time(job.updated),
        }
    }
}

impl JobView {
    /// As in a list: what others said, a broker for one, is cut.
    fn shortened(mut self) -> Self {
        shorten(&mut self.detail);
        if let Some(Failure { message, .. }) = &mut self.refusal {
            shorten(message);
        }
        self
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(LISTED_TEXT) {
        text.truncate(end);
        text.push_str("...");
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}

/// `POST /v1/jobs`
pub(super) async fn submit(
    State(api): State<Api>,
    peer: Peer,
    body: Body,
) -> Result<(StatusCode, Json<Submitted>), Refused> {
    require(&peer, &[Role::Orchestrator], "submitting a job")?;
    let bytes = upload::body(&api, body, "job", limits::SIGNED_OBJECT as u64).await?;
    let signed = Signed::<Job>::from_bytes(bytes);
    let opened = signed.open_by(peer.id()).map_err(|error| {
        refusals::host(StatusCode::UNPROCESSABLE_ENTITY, "job-signature", error.to_string())
    })?;
    check(&api, &opened)?;
    let (id, owner, of) = (opened.id, *peer.id(), opened.value.releases());
    let (new, record) = on_queue(&api, move |queue| {
        let new = queue.submit(&id, &owner, &signed, of)?;
        Ok((new, queue.job(&id)?))
    })
    .await?;
    tracing::info!(job = id.digest().short(), from = %peer.name(), new, "job-submitted");
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Submitted { job: id.to_string(), state: record.state })))
}

/// What the host can know before it starts: that the job is well-formed, and that
/// everything it names is here. Whether it may run is for brokers and enclave.
fn check(api: &Api, job: &Verified<Job>) -> Result<(), Refused> {
    let refuse = |code: &str, message: String| {
        Err(refusals::host(StatusCode::UNPROCESSABLE_ENTITY, code, message))
    };
    let job = &job.value;
    if let Err(error) = job.validate() {
        return refuse("job-invalid", error.to_string());
    }
    if !api.store.has_code(&job.code) {
        return refuse("code-missing", format!("code {} is not here: upload it first", job.code));
    }
    for dataset in &job.datasets {
        if api.store.dataset(&dataset.manifest).is_none() {
            let message =
                format!("dataset {} is not here: its owner has to upload it", dataset.manifest);
            return refuse("dataset-missing", message);
        }
    }
    match &job.public_set {
        Some(set) if !api.store.has_public_set(&set.digest) => {
            let message = format!("public set {} is not here: upload it first", set.digest);
            refuse("public-set-missing", message)
        }
        _ => Ok(()),
    }
}

/// `GET /v1/jobs`
pub(super) async fn list(
    State(api): State<Api>,
    peer: Peer,
) -> Result<Json<Vec<JobView>>, Refused> {
    require(&peer, &[Role::Orchestrator], "the list of jobs")?;
    let owner = *peer.id();
    let jobs = on_queue(&api, move |queue| queue.jobs_of(&owner)).await?;
    Ok(Json(jobs.into_iter().map(|job| JobView::from(job).shortened()).collect()))
}

/// `GET /v1/jobs/{id}`
pub(super) async fn get(
    State(api): State<Api>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Refused> {
    Ok(Json(own_job(&api, &peer, &id).await?.into()))
}

/// What a long poll already knows.
#[derive(Debug, Deserialize)]
pub(super) struct Have {
    /// Releases the caller has.
    #[serde(default)]
    have: u32,
}

/// `GET /v1/jobs/{id}/wait?have=N`
pub(super) async fn wait(
    State(api): State<Api>,
    peer: Peer,
    Path(id): Path<String>,
    query: Result<Query<Have>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<JobView>, Refused> {
    let Query(Have { have }) = query
        .map_err(|error| refusals::host(StatusCode::BAD_REQUEST, "query", error.to_string()))?;
    let mut changes = api.queue.changes();
    let waiting = async {
        loop {
            changes.borrow_and_update();
            let job = own_job(&api, &peer, &id).await?;
            if job.releases > have || job.state.is_final() {
                return Ok(job);
            }
            // The queue lives as long as this handler does.
            let _ = changes.changed().await;
        }
    };
    match timeout(POLL, waiting).await {
        Ok(job) => Ok(Json(job?.into())),
        Err(_) => Ok(Json(own_job(&api, &peer, &id).await?.into())),
    }
}

/// `DELETE /v1/jobs/{id}`
pub(super) async fn cancel(
    State(api): State<Api>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Refused> {
    let id = own_job(&api, &peer, &id).await?.id;
    let job = on_queue(&api, move |queue| {
        queue.cancel(&id)?;
        queue.job(&id)
    });
    Ok(Json(job.await?.into()))
}

/// The caller's own job of this id. Somebody else's is answered like none.
pub(super) async fn own_job(api: &Api, peer: &Peer, id: &str) -> Result<JobRecord, Refused> {
    require(peer, &[Role::Orchestrator], "a job")?;
    let (id, owner) = (Id::new(refusals::digest(id)?), *peer.id());
    on_queue(api, move |queue| {
        let job = queue.job(&id)?;
        if job.owner == owner { Ok(job) } else { Err(QueueError::Unknown(id)) }
    })
    .await
}

/// Runs `work` on the queue where it may block.
pub(super) async fn on_queue<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&Queue) -> Result<T, QueueError> + Send + 'static,
) -> Result<T, Refused> {
    let queue = api.queue.clone();
    crate::blocking(move || work(&queue)).await.map_err(|error| refusals::queue(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_are_cut_between_characters() {
        let mut text = "ä".repeat(LISTED_TEXT);
        shorten(&mut text);
        assert_eq!(text.chars().count(), LISTED_TEXT);
        text.push('b');
        shorten(&mut text);
        assert!(text.ends_with("ä..."), "{text}");
        assert_eq!(text.chars().count(), LISTED_TEXT + 3);
    }
}
