//! `/v1/status`

use axum::{Json, extract::State};
use cloister_party::{Peer, Refused};
use jiff::Timestamp;
use serde::Serialize;

use super::{Api, jobs};
use crate::{launch::EnclaveState, queue::Queue};

/// What a host says about itself.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    /// The platform that host.toml names.
    platform: String,
    enclave: EnclaveView,
    /// Datasets held.
    datasets: usize,
    /// Jobs that wait.
    queued: u32,
    /// Jobs that are being worked on: 0 or 1.
    active: u32,
}

/// The enclave as the host knows it.
#[derive(Debug, Serialize)]
pub(super) struct EnclaveView {
    /// `starting`, `up`, `down` or `stopped`.
    state: &'static str,
    /// The version that it said it is, or null.
    version: Option<String>,
    /// Why it is down, or why the one before ended; or null.
    why: Option<String>,
    /// When it is started again (RFC 3339), or null.
    retry_at: Option<String>,
}

/// `GET /v1/status`
pub(super) async fn get(State(api): State<Api>, _: Peer) -> Result<Json<Status>, Refused> {
    let (queued, active) = jobs::on_queue(&api, Queue::counts).await?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        platform: api.platform.clone(),
        enclave: api.enclave.state().into(),
        datasets: api.store.datasets().len(),
        queued,
        active,
    }))
}

impl From<EnclaveState> for EnclaveView {
    fn from(state: EnclaveState) -> Self {
        let nothing = Self { state: "starting", version: None, why: None, retry_at: None };
        match state {
            EnclaveState::Starting { after } => Self { why: after, ..nothing },
            EnclaveState::Stopped => Self { state: "stopped", ..nothing },
            EnclaveState::Up { status, .. } => {
                Self { state: "up", version: Some(status.version), ..nothing }
            }
            EnclaveState::Down { why, retry_at } => {
                let retry_at = Timestamp::try_from(retry_at).ok().map(|time| time.to_string());
                Self { state: "down", why: Some(why), retry_at, ..nothing }
            }
        }
    }
}
