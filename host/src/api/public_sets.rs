//! `/v1/public-sets`

use axum::{Json, body::Body, extract::State, http::StatusCode};
use cloister_party::{Peer, Refused, Role};
use cloister_protocol::limits;
use serde::Serialize;

use super::{Api, refusals, require, upload};

/// The answer to an upload: what the job has to say.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    digest: String,
    length: u64,
}

/// `PUT /v1/public-sets`
pub(super) async fn put(
    State(api): State<Api>,
    peer: Peer,
    body: Body,
) -> Result<(StatusCode, Json<Stored>), Refused> {
    require(&peer, &[Role::Orchestrator], "uploading a public set")?;
    let bytes = upload::body(&api, body, "public set", limits::PUBLIC_SET).await?;
    let store = api.store.clone();
    let set = crate::blocking(move || store.put_public_set(&bytes)).await;
    let set = set.map_err(|error| refusals::store(&error))?;
    tracing::info!(set = set.digest.short(), from = %peer.name(), "public-set-stored");
    let stored = Stored { digest: set.digest.to_hex(), length: set.length };
    Ok((StatusCode::CREATED, Json(stored)))
}
