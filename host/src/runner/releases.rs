//! The last part of a job: its releases arrive.

use std::time::Duration;

use cloister_link::Address;
use cloister_protocol::{frames::SessionState, transcript::TranscriptId};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Runner, Stop, enclave_lost};
use crate::{
    queue::{Failure, JobRecord, JobState, ReleaseRecord},
    relay::{self, Event, Following, RelayError},
    store::{BlobId, StoreError},
};

/// A lost connection to a living enclave is made anew this often without a release
/// in between.
const RECONNECTS: u32 = 5;
/// A release may be late by this many of its intervals, and by no less than
/// [`Deadlines::late`](crate::relay::Deadlines::late): then the enclave is given up.
const LATE_INTERVALS: u32 = 10;
const GONE: &str = "the enclave was restarted and no longer has the job";

impl Runner {
    /// A job that was running when the host stopped: fetches what is missing, if its
    /// enclave still has it.
    pub(super) async fn resume(
        &self,
        job: &JobRecord,
        transcript: TranscriptId,
    ) -> Result<(), Stop> {
        let up = self.enclave.up(self.deadlines.start).await;
        let (enclave, generation) = up.map_err(enclave_lost)?;
        self.receive(job, &enclave, generation, transcript).await
    }

    /// Receives every release that is missing, and ends the job. Where the connection
    /// breaks but the enclave still has the transcript, it is followed again: it
    /// sends the same bytes.
    pub(super) async fn receive(
        &self,
        job: &JobRecord,
        enclave: &Address,
        generation: u64,
        transcript: TranscriptId,
    ) -> Result<(), Stop> {
        let mut next = job.releases;
        let mut reconnects = 0;
        while next < job.of {
            let before = next;
            let Err(stop) = self.follow(job, enclave, transcript, &mut next).await else { break };
            let error = match stop {
                Stop::Relay(error @ RelayError::Enclave { .. }) => error,
                Stop::Relay(error) if error.is_transcript_gone() => {
                    return Err(enclave_lost(GONE));
                }
                other => return Err(other),
            };
            reconnects = if next > before { 0 } else { reconnects + 1 };
            if reconnects > RECONNECTS {
                return Err(error.into());
            }
            match relay::status(enclave, self.deadlines.frame).await {
                Ok(status)
                    if status.transcript == Some(transcript)
                        && matches!(
                            status.state,
                            SessionState::Running | SessionState::Released
                        ) =>
                {
                    tracing::warn!(job = job.id.digest().short(), next, %error, "followed-again");
                }
                Ok(_) => {
                    return Err(enclave_lost(GONE));
                }
                Err(lost) => {
                    self.enclave.restart(generation).await;
                    return Err(lost.into());
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        if next < job.of {
            let message = format!("the enclave ended after {next} of {} releases", job.of);
            return Err(Stop::Failure(Failure::host("releases-missing", message)));
        }
        let id = job.id;
        Ok(self.on_queue(move |q| q.advance(&id, JobState::Running, JobState::Done)).await?)
    }

    /// One connection: releases from `next` on, until the last one is here or the enclave
    /// says that it ended. Heartbeats do not move the time at which a release is given
    /// up, and neither does a release that comes drop by drop.
    async fn follow(
        &self,
        job: &JobRecord,
        enclave: &Address,
        transcript: TranscriptId,
        next: &mut u32,
    ) -> Result<(), Stop> {
        let mut following = relay::follow(enclave, transcript, *next, &self.deadlines).await?;
        let late = self.lateness(job)?;
        let mut due = Instant::now() + late;
        // Nothing is read after the last release: there is nothing more to keep.
        while *next < job.of {
            let is_late = |_| {
                let message = format!("release {next} is more than {late:?} late");
                Stop::Failure(Failure::host("release-late", message))
            };
            match timeout_at(due, following.next()).await.map_err(is_late)?? {
                Event::Heartbeat => {}
                Event::Ended => return Ok(()),
                Event::Release { number, .. } if number != *next => {
                    let message = format!("release {number} came, {next} was expected");
                    return Err(Stop::Failure(Failure::host("release-order", message)));
                }
                Event::Release { number, receipt_length, tensors_length } => {
                    let keeping = async {
                        let receipt = self.keep(&mut following, receipt_length).await?;
                        Ok::<_, Stop>((receipt, self.keep(&mut following, tensors_length).await?))
                    };
                    let (receipt, tensors) = timeout_at(due, keeping).await.map_err(is_late)??;
                    let (id, release) = (job.id, ReleaseRecord { number, receipt, tensors });
                    self.on_queue(move |queue| queue.add_release(&id, &release)).await?;
                    tracing::info!(job = id.digest().short(), number, of = job.of, "release");
                    *next += 1;
                    due = Instant::now() + late;
                }
            }
        }
        Ok(())
    }

    /// Takes one announced file and makes it durable.
    async fn keep(&self, following: &mut Following, length: u64) -> Result<BlobId, Stop> {
        let mut blob = self.store.receive_blob().map_err(RelayError::from)?;
        following.take(length, &mut blob).await?;
        let published = crate::blocking(move || blob.publish()).await;
        Ok(published.map_err(StoreError::from).map_err(RelayError::from)?)
    }

    /// How long after the release before, or after the connection, the next one is
    /// given up.
    fn lateness(&self, job: &JobRecord) -> Result<Duration, Stop> {
        let schedule = job.job.open_by_anyone().map_err(RelayError::from)?.value.schedule;
        let interval = Duration::from_millis(schedule.first_ms.max(schedule.interval_ms));
        Ok(interval.saturating_mul(LATE_INTERVALS).max(self.deadlines.late))
    }
}
