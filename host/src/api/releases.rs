//! `/v1/jobs/{id}/releases/{number}`

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use cloister_party::{Peer, Refused};
use tokio::{fs::File, io::AsyncReadExt};

use super::{Api, jobs, refusals};
use crate::{
    queue::ReleaseRecord,
    store::{BlobId, StoreError},
};

const PIECE: usize = 64 * 1024;

/// `GET /v1/jobs/{id}/releases/{number}/receipt`
pub(super) async fn receipt(
    State(api): State<Api>,
    peer: Peer,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let release = release(&api, &peer, &id, &number).await?;
    send(&api, release.receipt).await
}

/// `GET /v1/jobs/{id}/releases/{number}/tensors`
pub(super) async fn tensors(
    State(api): State<Api>,
    peer: Peer,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let release = release(&api, &peer, &id, &number).await?;
    send(&api, release.tensors).await
}

async fn release(api: &Api, peer: &Peer, id: &str, number: &str) -> Result<ReleaseRecord, Refused> {
    let job = jobs::own_job(api, peer, id).await?.id;
    let number: u32 = number.parse().map_err(|_| {
        let message = "a release's number is expected, from 0";
        refusals::host(StatusCode::BAD_REQUEST, "number", message)
    })?;
    let found = jobs::on_queue(api, move |queue| queue.release(&job, number)).await?;
    found.ok_or_else(|| {
        let message = format!("release {number} of job {job} has not arrived");
        refusals::host(StatusCode::NOT_FOUND, "release-unknown", message)
    })
}

/// Streams a file; only a piece of it is ever in memory.
async fn send(api: &Api, id: BlobId) -> Result<Response, Refused> {
    let store = api.store.clone();
    let opened = crate::blocking(move || store.open_blob(&id)).await;
    let (file, length) = opened.map_err(|error| refusals::store(&StoreError::from(error)))?;
    let pieces = futures::stream::try_unfold(File::from_std(file), |mut file| async {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        std::io::Result::Ok((read > 0).then(|| (Bytes::from(piece), file)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
