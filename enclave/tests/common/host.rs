//! An honest host, exchange by exchange.

use std::{sync::Arc, time::Duration};

use cloister_enclave::{
    attester::{Attester, Simulated},
    serve::{Enclave, PATIENCE},
};
use cloister_link::{Address, Link, Listener, connect};
use cloister_protocol::{
    frames::{Offer, Reply, Request, Status},
    grant::SealedGrant,
    limits,
    transcript::{Transcript, TranscriptId},
};
use tempfile::TempDir;

use super::{Fixture, Owned, workshop};

/// A running enclave in this process, and where it listens.
pub struct Running {
    pub address: Address,
    pub home: TempDir,
}

impl Running {
    pub async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let vendor = home.path().join("vendor");
        Simulated::create(&vendor).unwrap();
        let attester: Box<dyn Attester> = Box::new(Simulated::open(&vendor).unwrap());
        let address = Address::Unix(home.path().join("enclave.sock"));
        let listener = Listener::bind(&address, PATIENCE).await.unwrap();
        tokio::spawn(Arc::clone(&Enclave::new(attester, workshop())).serve(listener));
        Self { address, home }
    }

    pub async fn link(&self) -> Link {
        connect(&self.address, Duration::from_secs(20)).await.unwrap()
    }

    pub async fn ask(&self, request: Request) -> Reply {
        let mut link = self.link().await;
        link.send(&request).await.unwrap();
        link.receive().await.unwrap()
    }

    pub async fn status(&self) -> Status {
        match self.ask(Request::Status).await {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub async fn offer(&self, fixture: &Fixture) -> Result<Session, String> {
        self.offer_with(fixture, fixture.offer()).await
    }

    pub async fn offer_with(&self, fixture: &Fixture, offer: Offer) -> Result<Session, String> {
        let mut link = self.link().await;
        let public = offer.public_set_length;
        link.send(&Request::Offer(Box::new(offer))).await.unwrap();
        // Refused in the middle, the enclave may have stopped reading.
        let _ = link.send_bulk_bytes(&fixture.component).await;
        if public > 0 {
            let _ = link.send_bulk_bytes(&fixture.public).await;
        }
        match link.receive().await.unwrap() {
            Reply::Attested { transcript, evidence } => {
                let (_, id) = Transcript::from_bytes(&transcript).unwrap();
                Ok(Session { id, transcript: transcript.into_vec(), evidence: evidence.into_vec() })
            }
            Reply::Refused(refusal) => Err(refusal.code),
            other => panic!("{other:?}"),
        }
    }

    pub async fn grant(&self, id: TranscriptId, grants: Vec<SealedGrant>) -> Result<(), String> {
        match self.ask(Request::Grant { transcript: id, grants }).await {
            Reply::Granted => Ok(()),
            Reply::Refused(refusal) => Err(refusal.code),
            other => panic!("{other:?}"),
        }
    }

    pub async fn load(&self, id: TranscriptId, index: u32, body: &[u8]) -> Result<u32, String> {
        let mut link = self.link().await;
        let length = body.len() as u64;
        link.send(&Request::Load { transcript: id, index, length }).await.unwrap();
        let _ = link.send_bulk_bytes(body).await;
        match link.receive().await.unwrap() {
            Reply::Loaded { missing } => Ok(missing),
            Reply::Refused(refusal) => Err(refusal.code),
            other => panic!("{other:?}"),
        }
    }

    /// Grants and all data: the rounds begin.
    pub async fn begin(&self, fixture: &Fixture, session: &Session) {
        let grants = fixture.grants(&session.transcript);
        self.grant(session.id, grants).await.unwrap();
        let datasets = fixture.owned.len();
        for (index, Owned { body, .. }) in fixture.owned.iter().enumerate() {
            let missing = self.load(session.id, u32::try_from(index).unwrap(), body).await;
            assert_eq!(missing, Ok(u32::try_from(datasets - index - 1).unwrap()));
        }
    }

    /// Everything released from `from` on, as receipt and tensors.
    pub async fn follow(&self, id: TranscriptId, from: u32) -> Result<Vec<Released>, String> {
        let mut link = self.link().await;
        link.send(&Request::Follow { transcript: id, from }).await.unwrap();
        let mut releases = Vec::new();
        loop {
            match link.receive().await.unwrap() {
                Reply::Heartbeat => {}
                Reply::Release { number, receipt_length, tensors_length } => {
                    assert_eq!(number as usize, from as usize + releases.len());
                    let limit = limits::RECEIPT as u64;
                    let receipt = link.receive_bulk_bytes(receipt_length, limit).await.unwrap();
                    let limit = limits::TENSORS;
                    let tensors = link.receive_bulk_bytes(tensors_length, limit).await.unwrap();
                    releases.push(Released { receipt, tensors });
                }
                Reply::Ended => return Ok(releases),
                Reply::Refused(refusal) => return Err(refusal.code),
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn abandon(&self, id: TranscriptId) -> Result<(), String> {
        match self.ask(Request::Abandon { transcript: id }).await {
            Reply::Abandoned => Ok(()),
            Reply::Refused(refusal) => Err(refusal.code),
            other => panic!("{other:?}"),
        }
    }

    /// A whole job, from offer to last release.
    pub async fn run(&self, fixture: &Fixture) -> Vec<Released> {
        let session = self.offer(fixture).await.unwrap();
        self.begin(fixture, &session).await;
        self.follow(session.id, 0).await.unwrap()
    }
}

/// An attested transcript.
#[derive(Clone)]
pub struct Session {
    pub id: TranscriptId,
    pub transcript: Vec<u8>,
    pub evidence: Vec<u8>,
}

/// A release as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Released {
    pub receipt: Vec<u8>,
    pub tensors: Vec<u8>,
}
