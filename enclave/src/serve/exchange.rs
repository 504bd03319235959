//! One connection: one request, its bulk data, the reply.

use std::time::Duration;

use cloister_link::{Link, LinkError};
use cloister_protocol::{
    frames::{Offer, Reply, Request},
    limits,
    transcript::TranscriptId,
};
use tokio::{task::spawn_blocking, time::Instant};

use super::{Enclave, follow};
use crate::{
    admission::{Admitted, Vetted},
    events::{Event, emit},
    refusal::{Code, Refused},
    session::Offered,
};

/// How long a whole exchange may take, but for following: 8 GiB at 10 MB/s.
const DEADLINE: Duration = Duration::from_mins(15);

/// Why an exchange ended early.
pub(super) enum Interrupted {
    /// By us: the host is told why.
    Refused(Refused),
    /// By the host, or what is between us.
    Link,
}

impl From<Refused> for Interrupted {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
impl From<LinkError> for Interrupted {
    fn from(_: LinkError) -> Self {
        Self::Link
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(enclave: &Enclave, mut link: Link, exchange: u64) {
    link.set_deadline(Some(Instant::now() + DEADLINE));
    match answer(enclave, &mut link).await {
        Ok(()) => {}
        Err(Interrupted::Refused(refused)) => {
            emit(Event::Refused { exchange, code: refused.code });
            // Whether the host still listens is its own affair.
            let _ = link.send(&Reply::Refused(refused.into())).await;
        }
        Err(Interrupted::Link) => emit(Event::Disconnected { exchange }),
    }
    link.finish().await;
}

async fn answer(enclave: &Enclave, link: &mut Link) -> Result<(), Interrupted> {
    let request = link.receive().await.map_err(|error| match error {
        LinkError::Message(why) => Interrupted::Refused(Refused::new(Code::Request, why)),
        _ => Interrupted::Link,
    })?;
    let desk = &enclave.desk;
    let reply = match request {
        Request::Status => Reply::Status(desk.status(enclave.attester.platform())),
        Request::Offer(offer) => offered(enclave, link, *offer).await?,
        Request::Grant { transcript, grants } => {
            desk.grant(transcript, &grants)?;
            Reply::Granted
        }
        Request::Load { transcript, index, length } => {
            let missing = load(enclave, link, transcript, index, length).await?;
            Reply::Loaded { missing }
        }
        Request::Follow { transcript, from } => {
            let followed = desk.follow(transcript, from)?;
            link.set_deadline(None);
            return follow::follow(link, followed, from).await;
        }
        Request::Abandon { transcript } => {
            desk.abandon(transcript)?;
            Reply::Abandoned
        }
    };
    Ok(link.send(&reply).await?)
}

async fn offered(enclave: &Enclave, link: &mut Link, offer: Offer) -> Result<Reply, Interrupted> {
    enclave.desk.vacant()?;
    let vetted = Vetted::new(offer)?;
    let offer = vetted.offer();
    let (component, public) = (offer.component_length, offer.public_set_length);
    let component = link.receive_bulk_bytes(component, limits::COMPONENT).await?;
    let public = link.receive_bulk_bytes(public, limits::PUBLIC_SET).await?;
    // From here on the host cannot stall, so nobody waits for it.
    let admitting = enclave.admitting.lock().await;
    enclave.desk.vacant()?;
    let workshop = std::sync::Arc::clone(&enclave.workshop);
    let admitted = blocking(move || Admitted::new(vetted, &component, public, &workshop)).await??;
    let session = Offered::new(admitted).attest(&*enclave.attester)?;
    let reply = Reply::Attested {
        transcript: session.transcript().to_vec().into(),
        evidence: session.evidence().to_vec().into(),
    };
    enclave.desk.attested(session)?;
    drop(admitting);
    Ok(reply)
}

async fn load(
    enclave: &Enclave,
    link: &mut Link,
    transcript: TranscriptId,
    index: u32,
    length: u64,
) -> Result<u32, Interrupted> {
    let mut loading = enclave.desk.begin_load(transcript, index, length)?;
    let mut bulk = link.bulk(length, length)?;
    while let Some(frame) = bulk.next().await? {
        loading.take(&frame)?;
    }
    drop(bulk);
    let dataset = blocking(move || loading.finish()).await??;
    Ok(enclave.desk.complete_load(transcript, index, dataset)?)
}

/// Runs what computes apart from what waits. A panic in it is a refusal without a reason.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    spawn_blocking(work).await.map_err(|_| Refused::new(Code::Internal, "a fault of the enclave"))
}
