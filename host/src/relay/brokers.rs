//! Steps 2, 3 and 5: what the owners' brokers are asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloister_party::{Client, ClientError, Home, Peers};
use cloister_protocol::{
    Id, KeyId,
    brokering::{Challenge, ChallengeRequest, GrantRequest, GrantResponse, REQUEST_LIMIT},
    dataset::DatasetManifest,
    grant::SealedGrant,
    limits,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{task::spawn_blocking, time::timeout};

use super::{Attested, Material, RelayError, Source};

/// The broker of one owner, and what a job wants from it.
#[derive(Clone)]
pub struct Broker {
    /// The owner's name.
    pub name: String,
    /// The key that it signs grants with, by the datasets' headers.
    pub key: KeyId,
    /// Places of its datasets in the job.
    pub places: Vec<usize>,
    /// Its datasets, in the same order.
    pub datasets: Vec<Id<DatasetManifest>>,
    client: Arc<Client>,
}

/// Step 2: the brokers of a job, each once, in the order of the job's datasets.
pub fn brokers(home: &Home, peers: &Peers, material: &Material) -> Result<Vec<Broker>, RelayError> {
    let mut brokers: Vec<Broker> = Vec::new();
    for (place, dataset) in material.datasets.iter().enumerate() {
        let header = &dataset.proof.header;
        let found = brokers.iter_mut().find(|broker| broker.key == header.broker);
        if let Some(broker) = found {
            broker.places.push(place);
            broker.datasets.push(dataset.id);
            continue;
        }
        let unknown = || RelayError::OwnerUnknown { owner: header.owner, dataset: dataset.id };
        let peer = peers.by_id(&header.owner).ok_or_else(unknown)?;
        let name = peer.name().to_string();
        let client = Client::new(home, peer).map_err(|error| failed(&name, error))?;
        brokers.push(Broker {
            name,
            key: header.broker,
            places: vec![place],
            datasets: vec![dataset.id],
            client: Arc::new(client),
        });
    }
    Ok(brokers)
}

/// Step 3: asks for a challenge. Nothing is charged for it.
pub async fn challenge(broker: &Broker, within: Duration) -> Result<Challenge, RelayError> {
    let request = ChallengeRequest { datasets: broker.datasets.clone() };
    let limit = limits::SIGNED_OBJECT;
    let challenge: Challenge = post(broker, "/v1/challenge", request, limit, within).await?;
    let found = challenge.broker.id();
    if found != broker.key {
        let why = format!(
            "it signs with key {found:?}, the dataset names {:?}; seal the dataset again for this broker",
            broker.key
        );
        return Err(RelayError::BrokerAnswer { name: broker.name.clone(), why });
    }
    Ok(challenge)
}

/// Step 5a: what every broker is asked: the same request for all.
#[must_use]
pub fn grant_request(material: &Material, attested: &Attested) -> GrantRequest {
    GrantRequest {
        transcript: attested.transcript.clone().into(),
        evidence: attested.evidence.clone().into(),
        job: material.signed.clone(),
        code: material.code.manifest.clone(),
        datasets: material.proofs(),
    }
}

/// Step 5b: asks for the grants of a broker's datasets. From here on budget may be
/// spent. The same request again returns the same grants.
pub async fn grant(
    broker: &Broker,
    request: GrantRequest,
    within: Duration,
) -> Result<GrantResponse, RelayError> {
    let answer: GrantResponse = post(broker, "/v1/grant", request, REQUEST_LIMIT, within).await?;
    if answer.grants.len() != broker.places.len() {
        let (found, expected) = (answer.grants.len(), broker.places.len());
        let why = format!("{found} grants for {expected} datasets");
        return Err(RelayError::BrokerAnswer { name: broker.name.clone(), why });
    }
    Ok(answer)
}

/// Step 5c: all grants in the order of the job's datasets.
#[must_use]
pub fn in_job_order(answers: Vec<(&Broker, GrantResponse)>) -> Vec<SealedGrant> {
    let mut by_place = BTreeMap::new();
    for (broker, answer) in answers {
        by_place.extend(broker.places.iter().copied().zip(answer.grants));
    }
    by_place.into_values().collect()
}

/// One request. The thread that makes it ends with the same deadline, whatever the
/// broker sends: a thread for each request that was given up would add up.
async fn post<Q, A>(
    broker: &Broker,
    path: &'static str,
    request: Q,
    limit: usize,
    within: Duration,
) -> Result<A, RelayError>
where
    Q: Serialize + Send + 'static,
    A: Serialize + DeserializeOwned + Send + 'static,
{
    let client = Arc::clone(&broker.client);
    let asking = spawn_blocking(move || client.post_cbor_within(path, &request, limit, within));
    match timeout(within, asking).await {
        Ok(Ok(answer)) => answer.map_err(|error| failed(&broker.name, error)),
        Ok(Err(panicked)) => {
            let why = panicked.to_string();
            Err(RelayError::BrokerAnswer { name: broker.name.clone(), why })
        }
        Err(_) => Err(RelayError::BrokerUnreachable {
            name: broker.name.clone(),
            address: broker.client.address().to_string(),
            why: format!("no answer within {within:?}"),
        }),
    }
}

fn failed(name: &str, error: ClientError) -> RelayError {
    let name = name.to_owned();
    match error {
        ClientError::Unreachable { address, why, .. } => {
            RelayError::BrokerUnreachable { name, address, why }
        }
        ClientError::Refused { status, refusal, .. } if status < 500 => {
            RelayError::Refused { from: Source::Broker(name), refusal }
        }
        error @ (ClientError::Answer { .. }
        | ClientError::Refused { .. }
        | ClientError::Status { .. }) => RelayError::BrokerAnswer { name, why: error.to_string() },
        error => RelayError::BrokerIdentity { name, why: error.to_string() },
    }
}
