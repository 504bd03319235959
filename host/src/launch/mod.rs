//! Starting an enclave and keeping it up.
//!
//! A [`Launcher`] knows how one platform's enclaves are started; today that is the
//! process of the simulated platform. [`Enclave`] is what everybody else sees: a
//! supervised enclave that is up at some address, or down for some reason and about
//! to be started again, later each time it fails at once.

mod backoff;
mod explain;
mod process;
mod program;
mod supervise;

use std::time::{Duration, SystemTime};

use cloister_link::Address;
use cloister_protocol::frames::Status;
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub(crate) use backoff::Backoff;
pub use process::{ProcessLauncher, become_child};

use crate::relay::Deadlines;

/// How enclaves of one platform are started.
#[derive(Debug)]
#[non_exhaustive]
pub enum Launcher {
    /// As a separate process of this machine: the simulated platform.
    Process(ProcessLauncher),
}

/// Why an enclave could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The address for it cannot be used.
    #[error(
        "the path {path:?} is too long for a Unix socket (at most 107 bytes): move the host's home to a shorter path"
    )]
    SocketPath {
        /// The path.
        path: String,
    },
    /// The program cannot be started.
    #[error("{command} cannot be started: {why}; set `command` under [enclave] in host.toml")]
    Command {
        /// The program.
        command: String,
        /// What the system said.
        why: String,
    },
    /// It ended before it answered.
    #[error("the enclave ended before it answered: {0}")]
    Ended(String),
    /// It did not answer in time.
    #[error("the enclave did not answer within {0:?} of its start: {1}")]
    Silent(Duration, String),
    /// It answers, but as something else.
    #[error("the enclave says that its platform is {found:?}, host.toml says {expected:?}")]
    Platform {
        /// What host.toml says.
        expected: String,
        /// What the enclave says.
        found: String,
    },
}

/// What the enclave is doing, as far as the host can know.
#[derive(Clone, Debug)]
pub enum EnclaveState {
    /// It was started and has not answered yet.
    Starting {
        /// Why the one before ended, if there was one.
        after: Option<String>,
    },
    /// It answered.
    Up {
        /// Where.
        address: Address,
        /// Its first answer.
        status: Status,
        /// Counts the starts: another number is another enclave.
        generation: u64,
    },
    /// It ended or could not be started.
    Down {
        /// Why, for the operator.
        why: String,
        /// When it is started again.
        retry_at: SystemTime,
    },
    /// The host is stopping.
    Stopped,
}

/// A supervised enclave. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Enclave {
    state: watch::Receiver<EnclaveState>,
    orders: mpsc::Sender<Order>,
}

/// What the supervisor can be told.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// This generation no longer answers: end it and start another.
    Restart {
        generation: u64,
    },
    Stop,
}

impl Enclave {
    /// Starts an enclave and a task that keeps it up. The task ends after
    /// [`Enclave::stop`].
    #[must_use]
    pub fn supervise(launcher: Launcher, deadlines: Deadlines) -> (Self, JoinHandle<()>) {
        let (report, state) = watch::channel(EnclaveState::Starting { after: None });
        let (orders, received) = mpsc::channel(4);
        let task = tokio::spawn(supervise::run(launcher, deadlines, report, received));
        (Self { state, orders }, task)
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> EnclaveState {
        self.state.borrow().clone()
    }

    /// Waits until it is up; returns its address and generation. `Err` holds why it
    /// was not, after `patience`.
    pub async fn up(&self, patience: Duration) -> Result<(Address, u64), String> {
        let mut state = self.state.clone();
        let up = state.wait_for(|s| matches!(s, EnclaveState::Up { .. } | EnclaveState::Stopped));
        let found = match tokio::time::timeout(patience, up).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) | Err(_) => self.state(),
        };
        match found {
            EnclaveState::Up { address, generation, .. } => Ok((address, generation)),
            EnclaveState::Starting { after: None } => Err("it is starting".into()),
            EnclaveState::Starting { after: Some(why) } | EnclaveState::Down { why, .. } => {
                Err(why)
            }
            EnclaveState::Stopped => Err("the host is stopping".into()),
        }
    }

    /// Ends the enclave of this generation, if it is still that one, and starts another.
    pub async fn restart(&self, generation: u64) {
        let _ = self.orders.send(Order::Restart { generation }).await;
    }

    /// Ends the enclave for good.
    pub async fn stop(&self) {
        let _ = self.orders.send(Order::Stop).await;
    }
}
