//! Takes one job at a time from the queue to its end.
//!
//! Up to the first request for a grant nothing is charged, so a job whose enclave
//! went away is simply begun again. From then on it is never tried again by itself:
//! what a broker reserved stays reserved, and spending again is its orchestrator's
//! decision.

mod drive;
mod releases;
mod vacate;

use std::{sync::Arc, time::Duration};

use cloister_party::Home;
use cloister_protocol::{Id, job::Job};
use tokio_util::sync::CancellationToken;

use crate::{
    launch::Enclave,
    queue::{Failure, JobRecord, JobState, Queue, QueueError},
    relay::{Deadlines, RelayError},
    store::Store,
};

/// How often a job is begun again when the enclave went away before any grant.
const ATTEMPTS: u32 = 3;
/// How long the runner rests after its queue or its enclave failed.
const REST: Duration = Duration::from_secs(1);

/// Takes one job at a time from the queue to its end.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The host's home: its certificates and peers.
    pub home: Arc<Home>,
    /// Where jobs wait.
    pub queue: Queue,
    /// Where datasets, code and releases are.
    pub store: Arc<Store>,
    /// Who executes.
    pub enclave: Enclave,
    /// How long each exchange may take.
    pub deadlines: Deadlines,
}

/// Why a job stopped before its end.
enum Stop {
    /// A step failed.
    Relay(RelayError),
    /// The queue said no: the job was cancelled, or the disk failed.
    Queue(QueueError),
    /// Another reason of the host's own.
    Failure(Failure),
}

impl Runner {
    /// Ends or resumes what an earlier process left, then runs jobs in the order of
    /// their submission until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.run_for_ever() => {}
        }
    }

    async fn run_for_ever(&self) {
        self.recover().await;
        let mut changes = self.queue.changes();
        loop {
            changes.borrow_and_update();
            match self.on_queue(Queue::next).await {
                Ok(Some(job)) => self.take(job).await,
                Ok(None) => {
                    let _ = changes.changed().await;
                }
                Err(error) => {
                    tracing::error!(%error, "queue-failed");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Jobs that were past the first grant when the host stopped. An enclave outlives
    /// the host on some platforms: where it still has the transcript and is past
    /// loading, its releases are fetched. All others end here.
    async fn recover(&self) {
        // Without them they would never end: the queue is asked until it works.
        let interrupted = loop {
            match self.on_queue(Queue::interrupted).await {
                Ok(interrupted) => break interrupted,
                Err(error) => tracing::error!(%error, "queue-failed"),
            }
            tokio::time::sleep(REST).await;
        };
        for job in interrupted {
            let ended = match (job.state, job.transcript) {
                (JobState::Running, Some(transcript)) => self.resume(&job, transcript).await,
                _ => Err(enclave_lost("the host stopped in the middle of the job")),
            };
            self.conclude(job.id, ended).await;
        }
    }

    /// Runs one job to its end.
    async fn take(&self, job: JobRecord) {
        let mut attempt = 1;
        let ended = loop {
            let ended = self.drive(&job).await;
            let Err(Stop::Relay(error)) = &ended else { break ended };
            if !error.is_enclave_lost() || attempt == ATTEMPTS || !self.is_preparing(job.id).await {
                break ended;
            }
            tracing::warn!(job = %job.id.digest().short(), attempt, %error, "job-begun-again");
            let again = move |queue: &Queue| {
                queue.advance(&job.id, JobState::Preparing, JobState::Queued)?;
                queue.set_detail(&job.id, "the enclave went away before any grant; beginning again")
            };
            if let Err(error) = self.on_queue(again).await {
                break Err(Stop::Queue(error));
            }
            attempt += 1;
            // The supervisor needs a moment to notice.
            tokio::time::sleep(REST).await;
        };
        self.conclude(job.id, ended).await;
    }

    async fn is_preparing(&self, id: Id<Job>) -> bool {
        let job = self.on_queue(move |queue| queue.job(&id)).await;
        job.is_ok_and(|job| job.state == JobState::Preparing)
    }

    /// Records how a job ended; a queue that fails is asked until it works, because a
    /// job without an end would be worse than a host that waits.
    async fn conclude(&self, id: Id<Job>, ended: Result<(), Stop>) {
        let short = id.digest().short();
        let failure = match ended {
            Ok(()) => {
                tracing::info!(job = short, "job-done");
                return;
            }
            Err(Stop::Queue(QueueError::State { found, .. })) if found.is_final() => {
                tracing::info!(job = short, "job-cancelled");
                return;
            }
            Err(Stop::Queue(error)) => Failure::host("queue", error.to_string()),
            Err(Stop::Failure(failure)) => failure,
            Err(Stop::Relay(error)) => error.failure(),
        };
        let Failure { from, code, message } = &failure;
        tracing::warn!(job = short, from, code, message, "job-failed");
        loop {
            let failure = failure.clone();
            let fail = move |queue: &Queue| {
                // What was charged on the way is part of the reason.
                let state = queue.job(&id)?.state;
                queue.fail(&id, &failure.in_state(state))
            };
            match self.on_queue(fail).await {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, "queue-failed"),
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// Runs `work` on the queue where it may block.
    async fn on_queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Queue) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let queue = self.queue.clone();
        crate::blocking(move || work(&queue)).await
    }
}

/// The end of a job whose enclave went away after a grant was asked for.
fn enclave_lost(why: impl Into<String>) -> Stop {
    Stop::Failure(Failure::host("enclave-lost", why))
}

impl From<RelayError> for Stop {
    fn from(error: RelayError) -> Self {
        Self::Relay(error)
    }
}

impl From<QueueError> for Stop {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}
