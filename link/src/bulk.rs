//! Bulk data: a length agreed in a control frame, then raw frames.

use bytes::{Bytes, BytesMut};
use cloister_protocol::frames::DATA_FRAME;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Link, LinkError};

const SENDING: &str = "sending bulk data";
const RECEIVING: &str = "waiting for bulk data";

impl Link {
    /// Sends exactly `length` bytes from `source`, in frames of [`DATA_FRAME`] bytes
    /// and a shorter last one. The source may hold more; the rest is left in it.
    pub async fn send_bulk<R: AsyncRead + Unpin>(
        &mut self,
        source: &mut R,
        length: u64,
    ) -> Result<(), LinkError> {
        let mut sent = 0;
        while sent < length {
            let size = frame_size(length - sent);
            let mut frame = BytesMut::zeroed(size);
            if let Err(error) = source.read_exact(&mut frame).await {
                self.break_sending();
                return Err(LinkError::Source { announced: length, found: sent, source: error });
            }
            self.send_frame(frame.freeze(), SENDING).await?;
            sent += size as u64;
        }
        Ok(())
    }

    /// Sends `bytes` as bulk data.
    pub async fn send_bulk_bytes(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        for frame in bytes.chunks(DATA_FRAME) {
            self.send_frame(Bytes::copy_from_slice(frame), SENDING).await?;
        }
        Ok(())
    }

    /// Begins to receive `length` bytes, as a peer announced them, of which at most
    /// `limit` are allowed.
    pub fn bulk(&mut self, length: u64, limit: u64) -> Result<Bulk<'_>, LinkError> {
        if length > limit {
            self.break_receiving();
            return Err(LinkError::BulkTooLong { limit, found: length });
        }
        Ok(Bulk { link: self, announced: length, received: 0 })
    }

    /// Receives bulk data and gives each frame to `take` as it comes; the next is read
    /// when `take` has returned.
    pub async fn receive_bulk<E: From<LinkError>>(
        &mut self,
        length: u64,
        limit: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bulk = self.bulk(length, limit)?;
        while let Some(frame) = bulk.next().await? {
            if let Err(error) = take(&frame) {
                bulk.link.break_receiving();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Receives bulk data into memory, which grows as the data really comes.
    pub async fn receive_bulk_bytes(
        &mut self,
        length: u64,
        limit: u64,
    ) -> Result<Vec<u8>, LinkError> {
        let mut bytes = Vec::new();
        self.receive_bulk(length, limit, |frame| {
            bytes.extend_from_slice(frame);
            Ok::<(), LinkError>(())
        })
        .await?;
        Ok(bytes)
    }
}

/// Bulk data that is being received. Dropped before its end, it leaves the link
/// unable to receive.
pub struct Bulk<'a> {
    link: &'a mut Link,
    announced: u64,
    received: u64,
}

impl Bulk<'_> {
    /// The next frame, never empty; `None` when all that was announced has come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LinkError> {
        let missing = self.announced - self.received;
        if missing == 0 {
            return Ok(None);
        }
        let frame = match self.link.receive_frame(DATA_FRAME, RECEIVING).await {
            Err(LinkError::Closed) => {
                let (announced, found) = (self.announced, self.received);
                return Err(LinkError::BulkTruncated { announced, found });
            }
            other => other?,
        };
        let error = match frame.len() as u64 {
            0 => LinkError::BulkEmptyFrame,
            length if length > missing => LinkError::BulkOverrun { announced: self.announced },
            length => {
                self.received += length;
                return Ok(Some(frame.freeze()));
            }
        };
        self.link.break_receiving();
        Err(error)
    }

    /// How many bytes have come.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How many bytes were announced.
    #[must_use]
    pub fn announced(&self) -> u64 {
        self.announced
    }
}

impl Drop for Bulk<'_> {
    fn drop(&mut self) {
        if self.received < self.announced {
            self.link.break_receiving();
        }
    }
}

fn frame_size(missing: u64) -> usize {
    usize::try_from(missing).map_or(DATA_FRAME, |missing| missing.min(DATA_FRAME))
}
