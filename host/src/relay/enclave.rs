//! Steps 4, 6 and 7: what the enclave is asked.

use std::time::Duration;

use cloister_link::{Address, Link, LinkError, connect};
use cloister_protocol::{
    frames::{Offer, Reply, Request, Status},
    grant::SealedGrant,
    limits,
    transcript::{Transcript, TranscriptId},
};
use tokio::{io::AsyncRead, time::Instant};

use super::{Broker, Deadlines, Material, RelayError, Source};
use cloister_protocol::brokering::Challenge;

/// The enclave's answer to an offer.
#[derive(Clone, Debug)]
pub struct Attested {
    /// The transcript's bytes, as the enclave wrote them.
    pub transcript: Vec<u8>,
    /// The transcript's id, which the evidence binds.
    pub id: TranscriptId,
    /// The platform's evidence.
    pub evidence: Vec<u8>,
}

/// Asks the enclave what it is and what it is doing.
pub async fn status(enclave: &Address, within: Duration) -> Result<Status, RelayError> {
    const DOING: &str = "asking for its status";
    let mut exchange = Exchange::open(enclave, within, DOING).await?;
    match exchange.ask(&Request::Status).await? {
        Reply::Status(status) => Ok(status),
        other => Err(exchange.refusal_or_unexpected(other)),
    }
}

/// Step 4a: what is offered to the enclave, from the material and each broker's
/// challenge.
#[must_use]
pub fn offer(material: &Material, challenges: &[(&Broker, Challenge)]) -> Offer {
    let mut policies = vec![None; material.datasets.len()];
    for (broker, challenge) in challenges {
        for &place in &broker.places {
            if let Some(policy) = policies.get_mut(place) {
                *policy = Some(challenge.policy);
            }
        }
    }
    Offer {
        job: material.signed.clone(),
        code: material.code.manifest.clone(),
        datasets: material.proofs(),
        policies: policies.into_iter().flatten().collect(),
        nonces: challenges.iter().map(|(_, c)| (c.broker.id(), c.nonce)).collect(),
        component_length: material.code.component.len() as u64,
        public_set_length: material.public_set.len() as u64,
    }
}

/// Step 4b: offers the job; component and public set follow, as long as the offer
/// announces them.
pub async fn attest(
    enclave: &Address,
    offer: Offer,
    component: &[u8],
    public_set: &[u8],
    deadlines: &Deadlines,
) -> Result<Attested, RelayError> {
    const DOING: &str = "checking the offer";
    let mut exchange = Exchange::open(enclave, deadlines.frame, DOING).await?;
    exchange.send(&Request::Offer(Box::new(offer))).await?;
    exchange.bulk_bytes(component).await?;
    exchange.bulk_bytes(public_set).await?;
    match exchange.reply().await? {
        Reply::Attested { transcript, evidence } => {
            if evidence.len() > limits::EVIDENCE {
                return Err(RelayError::Unexpected { doing: DOING, found: "too much evidence" });
            }
            let (_, id) = Transcript::from_bytes(&transcript)?;
            let (transcript, evidence) = (transcript.into_vec(), evidence.into_vec());
            Ok(Attested { transcript, id, evidence })
        }
        other => Err(exchange.refusal_or_unexpected(other)),
    }
}

/// Step 6: hands the grants over, in the job's order.
pub async fn hand_over(
    enclave: &Address,
    transcript: TranscriptId,
    grants: Vec<SealedGrant>,
    deadlines: &Deadlines,
) -> Result<(), RelayError> {
    let mut exchange = Exchange::open(enclave, deadlines.frame, "opening the grants").await?;
    match exchange.ask(&Request::Grant { transcript, grants }).await? {
        Reply::Granted => Ok(()),
        other => Err(exchange.refusal_or_unexpected(other)),
    }
}

/// Step 7: sends the sealed body of the dataset in place `index`. Returns how many
/// datasets are still to come.
pub async fn load<R: AsyncRead + Unpin>(
    enclave: &Address,
    transcript: TranscriptId,
    index: u32,
    body: &mut R,
    length: u64,
    deadlines: &Deadlines,
) -> Result<u32, RelayError> {
    let mut exchange = Exchange::open(enclave, deadlines.frame, "loading a dataset").await?;
    exchange.link.set_deadline(Some(Instant::now() + deadlines.load(length)));
    exchange.send(&Request::Load { transcript, index, length }).await?;
    let sent = exchange.link.send_bulk(body, length).await;
    exchange.unless_refused(sent).await?;
    // Rows are decoded and grouped now: that takes as long as there are many.
    exchange.link.set_patience(deadlines.load(length));
    match exchange.reply().await? {
        Reply::Loaded { missing } => Ok(missing),
        other => Err(exchange.refusal_or_unexpected(other)),
    }
}

/// Makes the enclave forget a transcript.
pub async fn abandon(
    enclave: &Address,
    transcript: TranscriptId,
    deadlines: &Deadlines,
) -> Result<(), RelayError> {
    let mut exchange = Exchange::open(enclave, deadlines.frame, "abandoning a job").await?;
    match exchange.ask(&Request::Abandon { transcript }).await? {
        Reply::Abandoned => Ok(()),
        other => Err(exchange.refusal_or_unexpected(other)),
    }
}

/// One connection, one exchange, with a word for what it is about.
pub(super) struct Exchange {
    pub(super) link: Link,
    doing: &'static str,
}

impl Exchange {
    pub(super) async fn open(
        enclave: &Address,
        patience: Duration,
        doing: &'static str,
    ) -> Result<Self, RelayError> {
        match connect(enclave, patience).await {
            Ok(link) => Ok(Self { link, doing }),
            Err(source) => Err(RelayError::Enclave { doing, source }),
        }
    }

    pub(super) async fn send(&mut self, request: &Request) -> Result<(), RelayError> {
        let sent = self.link.send(request).await;
        sent.map_err(|source| match source {
            LinkError::MessageTooLong { limit, found } => {
                RelayError::TooLarge { what: "a message", found, limit }
            }
            source => self.lost(source),
        })
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, RelayError> {
        self.send(request).await?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply, RelayError> {
        self.link.receive().await.map_err(|source| self.lost(source))
    }

    async fn bulk_bytes(&mut self, bytes: &[u8]) -> Result<(), RelayError> {
        let sent = self.link.send_bulk_bytes(bytes).await;
        self.unless_refused(sent).await
    }

    /// When the enclave stops reading in the middle of bulk data, it has said why.
    async fn unless_refused(&mut self, sent: Result<(), LinkError>) -> Result<(), RelayError> {
        let Err(source) = sent else { return Ok(()) };
        // Our own file failed: the enclave is still waiting for the rest of it.
        if let LinkError::Source { source, .. } = source {
            return Err(RelayError::Io(source));
        }
        match self.link.receive().await {
            Ok(Reply::Refused(refusal)) => {
                Err(RelayError::Refused { from: Source::Enclave, refusal })
            }
            _ => Err(self.lost(source)),
        }
    }

    pub(super) fn lost(&self, source: LinkError) -> RelayError {
        RelayError::Enclave { doing: self.doing, source }
    }

    pub(super) fn refusal_or_unexpected(&self, reply: Reply) -> RelayError {
        let found = match reply {
            Reply::Refused(refusal) => {
                return RelayError::Refused { from: Source::Enclave, refusal };
            }
            Reply::Status(_) => "its status",
            Reply::Attested { .. } => "with evidence",
            Reply::Granted => "that grants were opened",
            Reply::Loaded { .. } => "that data is loaded",
            Reply::Heartbeat => "with a heartbeat",
            Reply::Release { .. } => "with a release",
            Reply::Ended => "that there are no more releases",
            Reply::Abandoned => "that it forgot a job",
        };
        RelayError::Unexpected { doing: self.doing, found }
    }
}
