//! Bodies of requests: bounded in size and in time.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::StatusCode,
};
use bytes::Bytes;
use cloister_party::Refused;
use cloister_protocol::limits;
use futures::StreamExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc},
    time::{Instant, timeout},
};

use super::{Api, refusals};
use crate::store::{DatasetUpload, StoreError, StoredDataset};

/// A sender that sends nothing for this long is dropped.
const STALL: Duration = Duration::from_secs(30);
/// A body may take this long, and a second for each [`PACE`] bytes that have come: one
/// that comes drop by drop would keep its place for ever.
const HEAD_START: Duration = Duration::from_secs(30);
const PACE: u64 = 100_000;
/// How long a request waits for a place.
const ROOM: Duration = Duration::from_secs(30);
/// A body of at most this size needs no place: a job does not wait for datasets.
const SMALL: u64 = limits::SIGNED_OBJECT as u64;
/// How long a refused sender is listened to.
const DRAIN: Duration = Duration::from_secs(30);
/// Pieces of a dataset between the network and the disk.
const PIECES: usize = 16;

/// A body as it comes, not too slowly.
struct Incoming {
    stream: BodyDataStream,
    /// How long was waited for the sender; the disk's time is not the sender's.
    waited: Duration,
    received: u64,
}

impl Incoming {
    fn new(body: Body) -> Self {
        Self { stream: body.into_data_stream(), waited: Duration::ZERO, received: 0 }
    }

    /// The next bytes, or none when that was all.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let began = Instant::now();
        let patience = patience(self.waited, self.received);
        let next = timeout(patience, self.stream.next()).await;
        self.waited += began.elapsed();
        match next {
            Ok(Some(Ok(bytes))) => {
                self.received += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) | Err(_) => Err(StoreError::Aborted),
        }
    }

    /// Reads and drops what a refused sender still sends, for a while: many clients read
    /// the answer only when they have sent everything, and would see a broken connection.
    async fn drain(mut self) {
        let _ = timeout(DRAIN, async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
    }
}

/// How long the next bytes may take to come.
fn patience(waited: Duration, received: u64) -> Duration {
    let allowed = HEAD_START.saturating_add(Duration::from_secs(received / PACE));
    allowed.saturating_sub(waited).min(STALL)
}

/// A place among those who send, if one becomes free in time.
async fn place(places: &Semaphore, within: Duration) -> Result<SemaphorePermit<'_>, Refused> {
    if let Ok(Ok(place)) = timeout(within, places.acquire()).await {
        return Ok(place);
    }
    let message = format!("others have been uploading for {within:?}: try again later");
    Err(refusals::host(StatusCode::SERVICE_UNAVAILABLE, "uploads-busy", message))
}

/// Reads a whole body of at most `limit` bytes into memory, when there is room.
pub(super) async fn body(
    api: &Api,
    body: Body,
    what: &'static str,
    limit: u64,
) -> Result<Vec<u8>, Refused> {
    let _place = if limit > SMALL { Some(place(&api.bodies, ROOM).await?) } else { None };
    let mut incoming = Incoming::new(body);
    let mut bytes = Vec::new();
    while let Some(piece) = incoming.next().await.map_err(|error| refusals::store(&error))? {
        if incoming.received > limit {
            incoming.drain().await;
            return Err(refusals::store(&StoreError::TooLarge { what, limit }));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// What goes from the network to the thread that verifies and writes.
enum Piece {
    Bytes(Bytes),
    /// The sender said that this was all. Without it the upload is thrown away.
    End,
}

/// Streams a dataset to the disk. A refusal comes as soon as it is certain.
pub(super) async fn dataset(
    api: &Api,
    body: Body,
    upload: DatasetUpload,
) -> Result<Arc<StoredDataset>, Refused> {
    let _place = place(&api.streams, ROOM).await?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let writing = tokio::task::spawn_blocking(move || write(upload, pieces));
    let mut incoming = Incoming::new(body);
    loop {
        let piece = match incoming.next().await {
            Ok(Some(bytes)) => Piece::Bytes(bytes),
            Ok(None) => Piece::End,
            // Dropping the sender tells the thread.
            Err(_) => break,
        };
        let end = matches!(piece, Piece::End);
        // A closed channel means that the thread has refused: its reason follows.
        if sender.send(piece).await.is_err() {
            incoming.drain().await;
            break;
        }
        if end {
            break;
        }
    }
    drop(sender);
    match writing.await {
        Ok(written) => written.map_err(|error| refusals::store(&error)),
        Err(panicked) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(refusals::host(status, "internal", panicked.to_string()))
        }
    }
}

fn write(
    mut upload: DatasetUpload,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<Arc<StoredDataset>, StoreError> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => upload.write(&bytes)?,
            Piece::End => return upload.finish(),
        }
    }
    Err(StoreError::Aborted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_comes_in_drops_runs_out_of_time() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(seconds(0), 0), STALL);
        assert_eq!(patience(seconds(29), 0), seconds(1));
        // A byte each second: the head start is used up, and nothing was earned.
        assert_eq!(patience(seconds(30), 30), seconds(0));
        // A slow line that keeps the pace goes on, however long it takes.
        assert_eq!(patience(seconds(36_000), 36_000 * PACE), STALL);
        assert_eq!(patience(seconds(36_020), 36_000 * PACE), seconds(10));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_place_for_ever() {
        let places = Semaphore::new(1);
        let short = Duration::from_millis(20);
        let taken = place(&places, short).await.unwrap();
        let refused = place(&places, short).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.refusal.code, "uploads-busy");
        drop(taken);
        assert!(place(&places, short).await.is_ok());
    }

    #[tokio::test]
    async fn a_sender_of_drops_is_dropped_when_its_time_is_over() {
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let mut incoming = Incoming::new(Body::from_stream(drops));
        incoming.waited = HEAD_START.saturating_sub(Duration::from_millis(100));
        let until_refused = async { while incoming.next().await.is_ok() {} };
        timeout(Duration::from_secs(5), until_refused).await.unwrap();
    }
}
