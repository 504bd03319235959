//! `/v1/datasets`

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
};
use cloister_party::{Cbor, Peer, Refused, Role};
use cloister_protocol::{Id, release::DatasetProof};
use serde::Serialize;

use super::{Api, refusals, require, upload};
use crate::store::StoredDataset;

/// The answer to an upload.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    id: String,
}

/// A dataset in a list: all of it is public.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    id: String,
    owner: String,
    /// What the owner calls itself, where that is known to this host.
    owner_name: Option<String>,
    name: String,
    population: String,
    units: u64,
    rows: u64,
    /// Bytes of the sealed body.
    length: u64,
}

/// `PUT /v1/datasets`
pub(super) async fn put(
    State(api): State<Api>,
    peer: Peer,
    body: Body,
) -> Result<(StatusCode, Json<Stored>), Refused> {
    require(&peer, &[Role::Owner], "uploading a dataset")?;
    let (store, caller) = (api.store.clone(), *peer.id());
    let upload = crate::blocking(move || store.receive_dataset(caller)).await;
    let upload = upload.map_err(|error| refusals::store(&error))?;
    let stored = upload::dataset(&api, body, upload).await?;
    tracing::info!(dataset = stored.id.digest().short(), owner = %peer.name(), "dataset-stored");
    Ok((StatusCode::CREATED, Json(Stored { id: stored.id.to_string() })))
}

/// `GET /v1/datasets`
pub(super) async fn list(State(api): State<Api>, peer: Peer) -> Result<Json<Vec<Listed>>, Refused> {
    require(&peer, &[Role::Owner, Role::Orchestrator], "the list of datasets")?;
    let home = api.home.clone();
    // Names are for people: where the peers cannot be read, the list has none.
    let peers = crate::blocking(move || home.peers()).await.unwrap_or_default();
    let visible = api.store.datasets().into_iter().filter(|dataset| may_see(&peer, dataset));
    let listed = visible.map(|dataset| {
        let header = &dataset.proof.header;
        Listed {
            id: dataset.id.to_string(),
            owner: header.owner.to_string(),
            owner_name: peers.by_id(&header.owner).map(|peer| peer.name().to_string()),
            name: header.name.clone(),
            population: header.population.clone(),
            units: dataset.manifest.units,
            rows: dataset.manifest.rows,
            length: dataset.manifest.length,
        }
    });
    Ok(Json(listed.collect()))
}

/// `GET /v1/datasets/{id}/proof`
pub(super) async fn proof(
    State(api): State<Api>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Cbor<DatasetProof>, Refused> {
    require(&peer, &[Role::Owner, Role::Orchestrator], "a dataset's proof")?;
    let id = Id::new(refusals::digest(&id)?);
    let found = api.store.dataset(&id).filter(|dataset| may_see(&peer, dataset));
    let found = found.ok_or_else(|| {
        let message = format!("there is no dataset {id} here");
        refusals::host(StatusCode::NOT_FOUND, "dataset-unknown", message)
    })?;
    Ok(Cbor(found.proof.clone()))
}

/// Headers and manifests are public to those who order jobs; an owner sees its own.
fn may_see(peer: &Peer, dataset: &StoredDataset) -> bool {
    peer.role() == Role::Orchestrator || dataset.proof.header.owner == *peer.id()
}
