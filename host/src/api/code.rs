//! `/v1/code`

use axum::{Json, body::Body, extract::State, http::StatusCode};
use cloister_party::{Peer, Refused, Role};
use serde::Serialize;

use super::{Api, refusals, require, upload};
use crate::store::CODE_LIMIT;

/// The answer to an upload.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    id: String,
}

/// `PUT /v1/code`. The author's signature says who wrote it, so it does not matter
/// who brings it; whether it may run is for the owners.
pub(super) async fn put(
    State(api): State<Api>,
    peer: Peer,
    body: Body,
) -> Result<(StatusCode, Json<Stored>), Refused> {
    require(&peer, &[Role::Author, Role::Owner, Role::Orchestrator], "uploading code")?;
    let bytes = upload::body(&api, body, "file of code", CODE_LIMIT).await?;
    let store = api.store.clone();
    let id = crate::blocking(move || store.put_code(&bytes)).await;
    let id = id.map_err(|error| refusals::store(&error))?;
    tracing::info!(code = id.digest().short(), from = %peer.name(), "code-stored");
    Ok((StatusCode::CREATED, Json(Stored { id: id.to_string() })))
}
