//! The body of a sealed dataset, sealed as it is written.

use std::io::{self, Write};

use cloister_protocol::{
    Digest,
    dataset::{BodyHash, CHUNK, ChunkSealer, DataKey},
    limits,
};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

/// Cuts what is written into chunks, seals each and passes it on. At most one chunk of
/// plaintext is held.
pub struct SealingWriter<W: Write> {
    to: W,
    sealer: ChunkSealer,
    chunk: Zeroizing<Vec<u8>>,
    hash: blake3::Hasher,
    plaintext: u64,
    sealed: u64,
}

impl<W: Write> SealingWriter<W> {
    /// Writes the body's prefix. `salt` is random and used once with this key.
    pub fn new(mut to: W, key: &DataKey, salt: &[u8; 24], header: &Digest) -> io::Result<Self> {
        let (sealer, prefix) = ChunkSealer::new(key, salt, header);
        let mut hash = blake3::Hasher::new();
        hash.update(&prefix);
        to.write_all(&prefix)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK + 16));
        Ok(Self { to, sealer, chunk, hash, plaintext: 0, sealed: prefix.len() as u64 })
    }

    /// Seals the last chunk; returns what the body is written to, its length and hash.
    pub fn finish(mut self) -> io::Result<(W, u64, BodyHash)> {
        self.sealer.seal_last(&mut self.chunk).map_err(io::Error::other)?;
        self.to.write_all(&self.chunk)?;
        self.hash.update(&self.chunk);
        self.sealed += self.chunk.len() as u64;
        let hash = BodyHash(ByteArray::new(*self.hash.finalize().as_bytes()));
        Ok((self.to, self.sealed, hash))
    }
}

impl<W: Write> Write for SealingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.plaintext += taken as u64;
        if self.plaintext > limits::DATASET {
            let limit = limits::DATASET;
            return Err(io::Error::other(format!(
                "more than {limit} bytes, the most that one dataset can have: split the table"
            )));
        }
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK {
            self.sealer.seal(&mut self.chunk).map_err(io::Error::other)?;
            self.to.write_all(&self.chunk)?;
            self.hash.update(&self.chunk);
            self.sealed += self.chunk.len() as u64;
            self.chunk.clear();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use cloister_protocol::dataset::{ChunkOpener, PREFIX, SEALED_CHUNK, sealed_length};

    use super::*;

    #[test]
    fn what_was_written_can_be_opened() {
        let (key, header) = (DataKey::from_bytes(&[3; 32]), Digest::of("test", &[]));
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let text: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut writer = SealingWriter::new(Vec::new(), &key, &[1; 24], &header).unwrap();
            for piece in text.chunks(1000) {
                writer.write_all(piece).unwrap();
            }
            let (body, sealed, hash) = writer.finish().unwrap();
            assert_eq!(body.len() as u64, sealed);
            assert_eq!(sealed, sealed_length(length as u64));
            assert_eq!(blake3::hash(&body).as_bytes(), &hash.0[..]);
            let prefix = body[..PREFIX].try_into().unwrap();
            let mut opener = ChunkOpener::new(&key, prefix, &header).unwrap();
            let mut opened = Vec::new();
            for chunk in body[PREFIX..].chunks(SEALED_CHUNK) {
                opened.extend_from_slice(opener.open(&mut chunk.to_vec()).unwrap());
            }
            opener.finish().unwrap();
            assert_eq!(opened, text);
        }
    }
}
