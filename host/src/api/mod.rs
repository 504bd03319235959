//! What owners, authors and orchestrators ask of a host, over mutual TLS.
//!
//! | request | who may | body | answer |
//! |---|---|---|---|
//! | `PUT /v1/datasets` | the owner whom the header names | a sealed file | `{"id"}` |
//! | `GET /v1/datasets` | orchestrators: all; an owner: its own | | `[{id, owner, ...}]` |
//! | `GET /v1/datasets/{id}/proof` | the same | | `DatasetProof` in CBOR |
//! | `PUT /v1/code` | authors, owners, orchestrators | a file of signed code | `{"id"}` |
//! | `PUT /v1/public-sets` | orchestrators | Arrow IPC | `{"digest", "length"}` |
//! | `POST /v1/jobs` | an orchestrator, for a job that it signed | a signed job | `{"job", "state"}` |
//! | `GET /v1/jobs` | an orchestrator: its own, the newest 1000 | | `[job]`, long messages cut |
//! | `GET /v1/jobs/{id}` | the job's orchestrator | | a job |
//! | `GET /v1/jobs/{id}/wait?have=N` | the same | | a job, once there are more than N releases or it has ended; after 20 s as it is |
//! | `DELETE /v1/jobs/{id}` | the same; before any grant was asked for | | a job |
//! | `GET /v1/jobs/{id}/releases/{n}/receipt` | the same | | the receipt |
//! | `GET /v1/jobs/{id}/releases/{n}/tensors` | the same | | the safetensors file |
//! | `GET /v1/status` | everyone enrolled | | `{version, platform, enclave, ...}` |
//!
//! Somebody else's job or dataset is answered like one that does not exist. Every
//! refusal is a [`Refused`]: a stable code and a sentence. Other hosts are enrolled
//! with brokers, not here, and may ask for the status only.

mod code;
mod datasets;
mod jobs;
mod public_sets;
mod refusals;
mod releases;
mod status;
mod upload;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    routing::{get, post, put},
};
use cloister_party::{Home, Peer, Refused, Role};
use tokio::sync::Semaphore;

use crate::{launch::Enclave, queue::Queue, store::Store};

/// Bodies that are held in memory at one time.
const BODIES: usize = 2;
/// Datasets that stream in at one time.
const STREAMS: usize = 16;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct Api {
    /// The host's home, for its peers' names.
    pub home: Arc<Home>,
    /// The files.
    pub store: Arc<Store>,
    /// The jobs.
    pub queue: Queue,
    /// The enclave, for its status.
    pub enclave: Enclave,
    /// The platform that host.toml names.
    pub platform: String,
    bodies: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Api {
    /// The API over these parts.
    #[must_use]
    pub fn new(
        home: Arc<Home>,
        store: Arc<Store>,
        queue: Queue,
        enclave: Enclave,
        platform: String,
    ) -> Self {
        let (bodies, streams) = (Semaphore::new(BODIES), Semaphore::new(STREAMS));
        let (bodies, streams) = (Arc::new(bodies), Arc::new(streams));
        Self { home, store, queue, enclave, platform, bodies, streams }
    }

    /// The routes, to be served by [`cloister_party::serve`].
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/datasets", put(datasets::put).get(datasets::list))
            .route("/v1/datasets/{id}/proof", get(datasets::proof))
            .route("/v1/code", put(code::put))
            .route("/v1/public-sets", put(public_sets::put))
            .route("/v1/jobs", post(jobs::submit).get(jobs::list))
            .route("/v1/jobs/{id}", get(jobs::get).delete(jobs::cancel))
            .route("/v1/jobs/{id}/wait", get(jobs::wait))
            .route("/v1/jobs/{id}/releases/{number}/receipt", get(releases::receipt))
            .route("/v1/jobs/{id}/releases/{number}/tensors", get(releases::tensors))
            .route("/v1/status", get(status::get))
            .fallback(refusals::no_such_path)
            .method_not_allowed_fallback(refusals::no_such_method)
            // Each upload reads its body itself, with the limit of its kind.
            .layer(DefaultBodyLimit::disable())
            .with_state(self)
    }
}

/// Requires the caller to have one of these roles.
fn require(peer: &Peer, roles: &[Role], what: &str) -> Result<(), Refused> {
    if roles.contains(&peer.role()) {
        return Ok(());
    }
    let allowed = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    let message =
        format!("{what} is for: {allowed}; {} is enrolled as {}", peer.name(), peer.role());
    Err(Refused::new(StatusCode::FORBIDDEN, "role", message))
}
