//! Bodies of requests: bounded in size and in time.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::StatusCode,
};
use bytes::Bytes;
use cloister_party::Refused;
use futures::StreamExt;
use tokio::{sync::mpsc, time::timeout};

use super::{Api, refusals};
use crate::store::{DatasetUpload, StoreError, StoredDataset};

/// A sender that sends nothing for this long is dropped.
const STALL: Duration = Duration::from_secs(30);
/// How long a refused sender is listened to.
const DRAIN: Duration = Duration::from_secs(30);
/// Pieces of a dataset between the network and the disk.
const PIECES: usize = 16;

/// Reads a whole body of at most `limit` bytes into memory, when there is room.
pub(super) async fn body(
    api: &Api,
    body: Body,
    what: &'static str,
    limit: u64,
) -> Result<Vec<u8>, Refused> {
    let _room = api.bodies.acquire().await;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        match timeout(STALL, stream.next()).await {
            Ok(Some(Ok(piece))) if (bytes.len() + piece.len()) as u64 <= limit => {
                bytes.extend_from_slice(&piece);
            }
            Ok(Some(Ok(_))) => {
                drain(stream).await;
                return Err(refusals::store(&StoreError::TooLarge { what, limit }));
            }
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(_))) | Err(_) => return Err(refusals::store(&StoreError::Aborted)),
        }
    }
}

/// Reads and drops what a refused sender still sends, for a while: many clients read
/// the answer only when they have sent everything, and would see a broken connection.
async fn drain(mut stream: BodyDataStream) {
    let _ = timeout(DRAIN, async { while let Some(Ok(_)) = stream.next().await {} }).await;
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
    let _room = api.streams.acquire().await;
    let (sender, pieces) = mpsc::channel(PIECES);
    let writing = tokio::task::spawn_blocking(move || write(upload, pieces));
    let mut stream = body.into_data_stream();
    loop {
        let piece = match timeout(STALL, stream.next()).await {
            Ok(Some(Ok(bytes))) => Piece::Bytes(bytes),
            Ok(None) => Piece::End,
            // Dropping the sender tells the thread.
            Ok(Some(Err(_))) | Err(_) => break,
        };
        let end = matches!(piece, Piece::End);
        // A closed channel means that the thread has refused: its reason follows.
        if sender.send(piece).await.is_err() {
            drain(stream).await;
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
