//! Opening a sealed body as it streams in.

use std::sync::Arc;

use arrow_buffer::Buffer;
use cloister_protocol::{
    Digest,
    dataset::{
        BodyHash, ChunkError, ChunkOpener, DataKey, DatasetManifest, PREFIX, SEALED_CHUNK,
        sealed_length,
    },
    limits,
};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Why a sealed body was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// Longer or shorter than the manifest says.
    #[error("the sealed body has {found} bytes, the manifest says {expected}")]
    Length {
        /// What the manifest says.
        expected: u64,
        /// What came or was announced.
        found: u64,
    },
    /// A chunk was altered, moved, repeated, left out, or sealed under another key.
    #[error("{0}")]
    Chunk(#[from] ChunkError),
    /// Every chunk opens, and still it is not the body that the owner signed.
    #[error("the sealed body is not the one whose hash the owner signed")]
    Hash,
    /// The enclave has not enough memory.
    #[error("the enclave has no room for the {0} bytes of this dataset: give it more memory")]
    Memory(u64),
}

/// Takes a sealed body in pieces of any size; the plaintext comes out only at the end,
/// when all of it has been compared with what the owner signed.
pub struct BodyReader {
    key: Arc<DataKey>,
    header: Digest,
    expected: BodyHash,
    length: u64,
    received: u64,
    hasher: blake3::Hasher,
    opener: Option<ChunkOpener>,
    /// The sealed bytes of the next chunk so far; of the prefix first.
    pending: Zeroizing<Vec<u8>>,
    plaintext: Zeroizing<Vec<u8>>,
}

/// The plaintext of a dataset whose whole hash matched. Erased when dropped.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Memory that arrow reads in place and that is erased when the last view is gone.
    pub(super) fn into_buffer(self) -> Buffer {
        Buffer::from(bytes::Bytes::from_owner(self.0))
    }

    #[cfg(test)]
    pub(super) fn for_test(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl BodyReader {
    /// Begins to read the body that `manifest` describes and `header` is bound to.
    ///
    /// # Errors
    ///
    /// [`BodyError::Length`] if it is larger than any dataset may be,
    /// [`BodyError::Memory`] if it does not fit.
    pub fn new(
        key: Arc<DataKey>,
        header: Digest,
        manifest: &DatasetManifest,
    ) -> Result<Self, BodyError> {
        let length = manifest.length;
        let most = sealed_length(limits::DATASET);
        if length > most {
            return Err(BodyError::Length { expected: most, found: length });
        }
        // Never more than the plaintext takes, and never moved, so that no copy is left.
        let mut plaintext = Vec::new();
        let bytes = usize::try_from(length).map_err(|_| BodyError::Memory(length))?;
        plaintext.try_reserve_exact(bytes).map_err(|_| BodyError::Memory(length))?;
        Ok(Self {
            key,
            header,
            expected: manifest.body,
            length,
            received: 0,
            hasher: blake3::Hasher::new(),
            opener: None,
            pending: Zeroizing::new(Vec::with_capacity(SEALED_CHUNK)),
            plaintext: Zeroizing::new(plaintext),
        })
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    ///
    /// [`BodyError`]; nothing more may be given to this reader then.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), BodyError> {
        self.received += bytes.len() as u64;
        if self.received > self.length {
            return Err(BodyError::Length { expected: self.length, found: self.received });
        }
        self.hasher.update(bytes);
        while !bytes.is_empty() {
            let whole = if self.opener.is_none() { PREFIX } else { SEALED_CHUNK };
            let missing = whole - self.pending.len();
            let (now, rest) = bytes.split_at(missing.min(bytes.len()));
            self.pending.extend_from_slice(now);
            bytes = rest;
            if self.pending.len() == whole {
                self.open_pending()?;
            }
        }
        Ok(())
    }

    /// Ends the body: its last chunk, its length, its hash.
    ///
    /// # Errors
    ///
    /// [`BodyError`]. The plaintext is erased then.
    pub fn finish(mut self) -> Result<Plaintext, BodyError> {
        if self.received != self.length {
            return Err(BodyError::Length { expected: self.length, found: self.received });
        }
        if !self.pending.is_empty() {
            self.open_pending()?;
        }
        self.opener.ok_or(BodyError::Chunk(ChunkError::Truncated(0)))?.finish()?;
        // The comparison of blake3's own type takes constant time.
        if self.hasher.finalize() != blake3::Hash::from_bytes(*self.expected.0) {
            return Err(BodyError::Hash);
        }
        Ok(Plaintext(self.plaintext))
    }

    fn open_pending(&mut self) -> Result<(), BodyError> {
        if let Some(opener) = &mut self.opener {
            let plaintext = opener.open(&mut self.pending)?;
            self.plaintext.extend_from_slice(plaintext);
        } else {
            let prefix = self.pending.as_slice().try_into();
            let prefix = prefix.map_err(|_| BodyError::Chunk(ChunkError::Truncated(0)))?;
            self.opener = Some(ChunkOpener::new(&self.key, prefix, &self.header)?);
        }
        // What was a sealed chunk is plaintext now.
        self.pending.zeroize();
        Ok(())
    }
}
