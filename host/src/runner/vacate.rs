//! An enclave that can take the next job: one that answers, and works on no other.

use std::time::Duration;

use cloister_link::Address;
use cloister_protocol::frames::{SessionState, Status};
use tokio::time::{Instant, sleep};

use super::{Runner, Stop};
use crate::relay::{self, RelayError};

/// How often a busy enclave is asked whether it is done.
const ASK_EVERY: Duration = Duration::from_millis(100);

impl Runner {
    /// A session that an earlier job left in the enclave is ended. An enclave that does
    /// not answer, or does not let go, is started anew: nobody else would end it, since
    /// its process lives. The error says that the job has to begin again.
    pub(super) async fn make_room(&self, enclave: &Address, generation: u64) -> Result<(), Stop> {
        match self.vacated(enclave).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.replace(generation, &error).await;
                Err(error.into())
            }
        }
    }

    /// Ends an enclave that is of no use any more, and starts another.
    pub(super) async fn replace(&self, generation: u64, why: &RelayError) {
        tracing::warn!(generation, %why, "enclave-replaced");
        self.enclave.restart(generation).await;
    }

    async fn vacated(&self, enclave: &Address) -> Result<(), RelayError> {
        let status = self.asked(enclave).await?;
        let Some(left) = status.transcript.filter(|_| !is_vacant(&status)) else { return Ok(()) };
        match relay::abandon(enclave, left, &self.deadlines).await {
            // A session that has just ended by itself cannot be abandoned either.
            Ok(()) | Err(RelayError::Refused { .. }) => {}
            Err(lost) => return Err(lost),
        }
        // What runs already ends at its next release, and keeps others out until then.
        let patience = self.deadlines.vacate;
        let end = Instant::now() + patience;
        while !is_vacant(&self.asked(enclave).await?) {
            if Instant::now() >= end {
                return Err(RelayError::Busy { patience });
            }
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    async fn asked(&self, enclave: &Address) -> Result<Status, RelayError> {
        let status = relay::status(enclave, self.deadlines.frame).await;
        status.map_err(|error| match error {
            // To refuse this question is no opinion on a job: the enclave is of no use.
            RelayError::Refused { .. } => {
                tracing::warn!(%error, "status-refused");
                let (doing, found) = ("asking for its status", "with a refusal");
                RelayError::Unexpected { doing, found }
            }
            lost => lost,
        })
    }
}

fn is_vacant(status: &Status) -> bool {
    status.transcript.is_none()
        || matches!(status.state, SessionState::Idle | SessionState::Released)
}
