//! The broker over HTTPS: `POST /v1/challenge`, `POST /v1/grant`, `GET /v1/status`.
//!
//! Bodies of the first two are CBOR ([`cloister_protocol::brokering`]), of the last
//! JSON. Callers are enrolled peers, and only a host may ask for challenges and grants.
//!
//! | status | when |
//! |---|---|
//! | 400 | the body cannot be read |
//! | 403 | the request was refused: asking again does not help |
//! | 409 | the owner has to do something first: no policy, or an older one |
//! | 500, 503 | the broker cannot serve now: the same request may be repeated |

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cloister_party::{Cbor, Peer, Refused, Role, reply};
use cloister_protocol::{
    brokering::{CHALLENGE_LIMIT, Challenge, ChallengeRequest, GrantRequest, REQUEST_LIMIT},
    transcript::Nonce,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteArray;
use tokio::sync::Semaphore;

use crate::broker::{Broker, BrokerError, Fault, Status};

/// Where time and randomness come from: the system, or a test.
pub trait Surroundings: Send + Sync + 'static {
    /// Seconds since 1970.
    fn now(&self) -> u64;

    /// Fills `bytes` with uniform randomness.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Random`].
    fn random(&self, bytes: &mut [u8]) -> Result<(), BrokerError>;
}

/// The system's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// How many requests are read at once: reading checks every byte of a body, and must
/// keep neither the connections of others waiting nor all processors busy.
const READERS: usize = 2;

#[derive(Clone)]
struct Shared {
    /// One request at a time: the decision and its transaction see the same ledger.
    broker: Arc<Mutex<Broker>>,
    readers: Arc<Semaphore>,
    surroundings: Arc<dyn Surroundings>,
}

/// The broker's routes, for [`cloister_party::Server`].
pub fn router(broker: Broker, surroundings: impl Surroundings) -> Router {
    let broker = Arc::new(Mutex::new(broker));
    let readers = Arc::new(Semaphore::new(READERS));
    let shared = Shared { broker, readers, surroundings: Arc::new(surroundings) };
    let limit = DefaultBodyLimit::max;
    Router::new()
        .route("/v1/challenge", post(challenge).layer(limit(CHALLENGE_LIMIT)))
        .route("/v1/grant", post(grant).layer(limit(REQUEST_LIMIT)))
        .route("/v1/status", get(status))
        .with_state(shared)
}

async fn challenge(
    State(shared): State<Shared>,
    peer: Peer,
    body: Bytes,
) -> Result<Cbor<Challenge>, Refused> {
    require_host(&peer)?;
    let request: ChallengeRequest = shared.read(body, CHALLENGE_LIMIT).await?;
    let caller = *peer.id();
    let challenge = shared
        .run("challenge", &peer, move |broker, surroundings| {
            let mut nonce = [0; 32];
            surroundings.random(&mut nonce)?;
            let nonce = Nonce(ByteArray::new(nonce));
            broker.challenge(&request, &caller, nonce, surroundings.now())
        })
        .await?;
    tracing::info!(peer = %peer.name(), policy = ?challenge.policy, "challenge issued");
    Ok(Cbor(challenge))
}

async fn grant(State(shared): State<Shared>, peer: Peer, body: Bytes) -> Result<Response, Refused> {
    require_host(&peer)?;
    let request: GrantRequest = shared.read(body, REQUEST_LIMIT).await?;
    let (response, head) = shared
        .run("grant", &peer, move |broker, surroundings| {
            let mut random = |bytes: &mut [u8]| surroundings.random(bytes);
            let response = broker.grant(&request, &mut random, surroundings.now())?;
            Ok((response, broker.ledger().head()?))
        })
        .await?;
    tracing::info!(peer = %peer.name(), ledger_head = ?head, "granted");
    Ok(([(CONTENT_TYPE, reply::CBOR)], response).into_response())
}

async fn status(State(shared): State<Shared>, peer: Peer) -> Result<Json<Status>, Refused> {
    let status = shared
        .run("status", &peer, |broker, surroundings| broker.status(surroundings.now()))
        .await?;
    Ok(Json(status))
}

/// Data keys go to enclaves, and enclaves are reached through hosts.
fn require_host(peer: &Peer) -> Result<(), Refused> {
    if peer.role() == Role::Host {
        return Ok(());
    }
    let message = format!("only a host asks for challenges and grants; {} is none", peer.name());
    Err(Refused::new(StatusCode::FORBIDDEN, "caller-role", message))
}

impl Shared {
    /// Reads a body where it may take its time.
    async fn read<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        body: Bytes,
        limit: usize,
    ) -> Result<T, Refused> {
        // Nobody closes the semaphore, and a panic in there is the request's fault.
        let turn = self.readers.clone().acquire_owned().await.map_err(|_| unread())?;
        let read = tokio::task::spawn_blocking(move || {
            // Held until it is read, even if the caller goes away.
            let _turn = turn;
            reply::read_cbor(&body, limit)
        });
        read.await.map_err(|_| unread())?
    }

    /// Does `work` on a thread that may block, one piece of work at a time.
    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        peer: &Peer,
        work: impl FnOnce(&mut Broker, &dyn Surroundings) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, Refused> {
        let Self { broker, surroundings, readers: _ } = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A panic rolled its transaction back: the broker is as it was before.
            let mut broker = broker.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut broker, &*surroundings)
        });
        match done.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let refused = refuse(&error);
                let code = &refused.refusal.code;
                match error.fault() {
                    Fault::Request => {
                        tracing::warn!(what, peer = %peer.name(), code, %error, "refused");
                    }
                    Fault::Owner | Fault::Passing => {
                        tracing::error!(what, peer = %peer.name(), code, %error, "cannot serve");
                    }
                }
                Err(refused)
            }
            Err(error) => {
                tracing::error!(what, peer = %peer.name(), %error, "failed");
                let message = "The broker failed; the same request may be repeated.";
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Err(Refused::new(status, "broker-internal", message))
            }
        }
    }
}

fn unread() -> Refused {
    let message = "the request's body could not be read";
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "broker-internal", message)
}

fn refuse(error: &BrokerError) -> Refused {
    let refusal = error.refusal();
    let status = match (error.fault(), refusal.code.as_str()) {
        (Fault::Request, _) => StatusCode::FORBIDDEN,
        (Fault::Owner, _) => StatusCode::CONFLICT,
        (Fault::Passing, "too-many-challenges") => StatusCode::SERVICE_UNAVAILABLE,
        (Fault::Passing, _) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refused { status, refusal }
}

impl Surroundings for System {
    fn now(&self) -> u64 {
        // Before 1970 everything is expired or from the future: nothing is granted.
        u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), BrokerError> {
        getrandom::fill(bytes).map_err(|_| BrokerError::Random)
    }
}
