//! C2SP [chunked-encryption](https://c2sp.org/chunked-encryption), instantiated
//! with HKDF-SHA-512 and AES-256-GCM.
//!
//! Streaming in both directions, committed to the key, and the last chunk is
//! always shorter than the others, so that truncation shows. Chunks are sealed
//! and opened in place, one at a time.

use ring::{
    aead::{self, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA512, KeyType, Prk},
};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::digest::Digest;

/// Plaintext bytes of every chunk but the last, which has fewer.
pub const CHUNK: usize = 16 * 1024;
/// Sealed bytes of every chunk but the last.
pub const SEALED_CHUNK: usize = CHUNK + TAG;
/// Bytes before the first chunk: salt and commitment.
pub const PREFIX: usize = SALT + COMMITMENT;

const TAG: usize = 16;
const SALT: usize = 24;
const COMMITMENT: usize = 32;
const KEY: usize = 32;
const INFO: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";
/// The specification's limit on chunks of one message.
const MAX_CHUNKS: u64 = 1 << 38;

/// The key of one dataset. It shows nothing of itself and is erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; KEY]);

impl DataKey {
    /// Takes 32 uniformly random bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEY]) -> Self {
        Self(*bytes)
    }

    /// The bytes, to be sealed into a grant or stored by the owner.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY] {
        &self.0
    }
}

/// Why a sealed body was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkError {
    /// The commitment does not belong to this key, salt and header.
    #[error("the data key does not belong to this dataset and header")]
    Commitment,
    /// A chunk was altered, moved, repeated or sealed under another key.
    #[error("chunk {0} was altered, moved, repeated or left out")]
    Chunk(u64),
    /// Something follows the last, shorter chunk.
    #[error("data after the last chunk")]
    AfterLast,
    /// The end came before a shorter chunk did.
    #[error("the dataset was cut off after chunk {0}")]
    Truncated(u64),
    /// A chunk is longer than a chunk can be.
    #[error("a chunk of {0} bytes; at most {max} are possible", max = SEALED_CHUNK)]
    TooLong(usize),
    /// More chunks than the format counts.
    #[error("the dataset has more chunks than the format counts")]
    TooMany,
}

/// The length of the sealed body of `plaintext` bytes: prefix and chunks.
#[must_use]
pub fn sealed_length(plaintext: u64) -> u64 {
    PREFIX as u64 + plaintext + (plaintext / CHUNK as u64 + 1) * TAG as u64
}

/// Seals chunks in order.
pub struct ChunkSealer(Cipher);

impl ChunkSealer {
    /// Begins a body; returns the sealer and the prefix to write first. `salt` is
    /// random and used once with this key; `header` is what the body is bound to.
    #[must_use]
    pub fn new(key: &DataKey, salt: &[u8; SALT], header: &Digest) -> (Self, [u8; PREFIX]) {
        let (cipher, commitment) = Cipher::derive(key, salt, header);
        let mut prefix = [0; PREFIX];
        prefix[..SALT].copy_from_slice(salt);
        prefix[SALT..].copy_from_slice(&commitment);
        (Self(cipher), prefix)
    }

    /// Seals one full chunk of [`CHUNK`] bytes in place; the tag is appended.
    pub fn seal(&mut self, chunk: &mut Vec<u8>) -> Result<(), ChunkError> {
        if chunk.len() == CHUNK {
            self.0.seal(chunk)
        } else {
            Err(ChunkError::TooLong(chunk.len()))
        }
    }

    /// Seals the last chunk, which is shorter than [`CHUNK`] and may be empty.
    pub fn seal_last(mut self, chunk: &mut Vec<u8>) -> Result<(), ChunkError> {
        if chunk.len() < CHUNK { self.0.seal(chunk) } else { Err(ChunkError::TooLong(chunk.len())) }
    }
}

/// Opens chunks in order.
pub struct ChunkOpener {
    cipher: Cipher,
    ended: bool,
}

impl ChunkOpener {
    /// Reads the prefix and checks its commitment to key, salt and header.
    pub fn new(key: &DataKey, prefix: &[u8; PREFIX], header: &Digest) -> Result<Self, ChunkError> {
        let (salt, claimed) = prefix.split_at(SALT);
        let salt: &[u8; SALT] = salt.try_into().map_err(|_| ChunkError::Commitment)?;
        let (cipher, commitment) = Cipher::derive(key, salt, header);
        if !bool::from(commitment.ct_eq(claimed)) {
            return Err(ChunkError::Commitment);
        }
        Ok(Self { cipher, ended: false })
    }

    /// Opens the next sealed chunk in place and returns its plaintext.
    pub fn open<'a>(&mut self, sealed: &'a mut [u8]) -> Result<&'a [u8], ChunkError> {
        if self.ended {
            return Err(ChunkError::AfterLast);
        }
        if sealed.len() > SEALED_CHUNK {
            return Err(ChunkError::TooLong(sealed.len()));
        }
        self.ended = sealed.len() < SEALED_CHUNK;
        self.cipher.open(sealed)
    }

    /// Ends the body; refuses one that stopped before its last chunk.
    pub fn finish(self) -> Result<(), ChunkError> {
        if self.ended { Ok(()) } else { Err(ChunkError::Truncated(self.cipher.next)) }
    }
}

/// The derived key and the running chunk number.
struct Cipher {
    key: LessSafeKey,
    base: [u8; NONCE_LEN],
    next: u64,
}

impl Cipher {
    fn derive(key: &DataKey, salt: &[u8; SALT], header: &Digest) -> (Self, [u8; COMMITMENT]) {
        let mut okm = Zeroizing::new([0; KEY + NONCE_LEN + COMMITMENT]);
        Prk::new_less_safe(HKDF_SHA512, &key.0)
            .expand(&[INFO, salt, header.as_bytes()], Length(okm.len()))
            .and_then(|okm_source| okm_source.fill(&mut okm[..]))
            .expect("76 bytes are within what HKDF-SHA-512 expands to");
        let key = UnboundKey::new(&AES_256_GCM, &okm[..KEY]).expect("the key has 32 bytes");
        let mut base = [0; NONCE_LEN];
        base.copy_from_slice(&okm[KEY..KEY + NONCE_LEN]);
        let mut commitment = [0; COMMITMENT];
        commitment.copy_from_slice(&okm[KEY + NONCE_LEN..]);
        (Self { key: LessSafeKey::new(key), base, next: 0 }, commitment)
    }

    /// Base nonce XOR chunk number, big-endian; then the number moves on.
    fn nonce(&mut self) -> Result<Nonce, ChunkError> {
        if self.next >= MAX_CHUNKS {
            return Err(ChunkError::TooMany);
        }
        let mut nonce = self.base;
        for (byte, count) in nonce[NONCE_LEN - 8..].iter_mut().zip(self.next.to_be_bytes()) {
            *byte ^= count;
        }
        self.next += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    fn seal(&mut self, chunk: &mut Vec<u8>) -> Result<(), ChunkError> {
        let nonce = self.nonce()?;
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), chunk)
            .map_err(|_| ChunkError::TooLong(CHUNK))
    }

    fn open<'a>(&mut self, sealed: &'a mut [u8]) -> Result<&'a [u8], ChunkError> {
        let number = self.next;
        let nonce = self.nonce()?;
        let opened = self.key.open_in_place(nonce, Aad::empty(), sealed);
        opened.map(|plaintext| &*plaintext).map_err(|_| ChunkError::Chunk(number))
    }
}

/// A length of output keying material.
struct Length(usize);
impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

const _: () = assert!(aead::MAX_TAG_LEN == TAG);

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DataKey {
        DataKey::from_bytes(&[9; 32])
    }
    fn header() -> Digest {
        Digest::of("test", &[])
    }

    /// Prefix and chunks of `length` bytes of plaintext.
    fn seal(length: usize) -> ([u8; PREFIX], Vec<Vec<u8>>) {
        let plaintext: Vec<u8> = (0u8..251).cycle().take(length).collect();
        let (mut sealer, prefix) = ChunkSealer::new(&key(), &[3; 24], &header());
        let full = length / CHUNK;
        let mut chunks = Vec::new();
        for chunk in plaintext[..full * CHUNK].chunks(CHUNK) {
            let mut chunk = chunk.to_vec();
            sealer.seal(&mut chunk).unwrap();
            chunks.push(chunk);
        }
        let mut last = plaintext[full * CHUNK..].to_vec();
        sealer.seal_last(&mut last).unwrap();
        chunks.push(last);
        (prefix, chunks)
    }

    fn open(prefix: &[u8; PREFIX], chunks: Vec<Vec<u8>>) -> Result<Vec<u8>, ChunkError> {
        let mut opener = ChunkOpener::new(&key(), prefix, &header())?;
        let mut plaintext = Vec::new();
        for mut chunk in chunks {
            plaintext.extend_from_slice(opener.open(&mut chunk)?);
        }
        opener.finish()?;
        Ok(plaintext)
    }

    #[test]
    fn opens_every_boundary_length() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5] {
            let (prefix, chunks) = seal(length);
            let sealed: usize = PREFIX + chunks.iter().map(Vec::len).sum::<usize>();
            assert_eq!(sealed as u64, sealed_length(length as u64));
            assert_eq!(open(&prefix, chunks).unwrap().len(), length);
        }
    }

    #[test]
    fn refuses_what_a_host_can_do_to_chunks() {
        let (prefix, chunks) = seal(3 * CHUNK + 5);
        let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut chunks = chunks.clone();
            change(&mut chunks);
            open(&prefix, chunks).unwrap_err()
        };
        assert_eq!(with(&|c| c[1][0] ^= 1), ChunkError::Chunk(1), "flipped");
        assert_eq!(with(&|c| c[3][0] ^= 1), ChunkError::Chunk(3), "flipped in the last");
        assert_eq!(with(&|c| c.swap(0, 1)), ChunkError::Chunk(0), "swapped");
        assert_eq!(with(&|c| drop(c.remove(1))), ChunkError::Chunk(1), "left out");
        assert_eq!(with(&|c| c.insert(1, c[0].clone())), ChunkError::Chunk(1), "repeated");
        assert_eq!(with(&|c| drop(c.pop())), ChunkError::Truncated(3), "cut off");
        assert_eq!(with(&|c| c.push(c[3].clone())), ChunkError::AfterLast, "appended");
        assert_eq!(with(&|c| c[2].truncate(9)), ChunkError::Chunk(2), "shortened below a tag");
        assert_eq!(with(&|c| c[0].push(0)), ChunkError::TooLong(SEALED_CHUNK + 1), "lengthened");
        for position in 0..PREFIX {
            let mut prefix = prefix;
            prefix[position] ^= 1;
            assert_eq!(open(&prefix, chunks.clone()), Err(ChunkError::Commitment), "{position}");
        }
    }

    #[test]
    fn is_bound_to_key_and_header() {
        let (prefix, _) = seal(5);
        let other = DataKey::from_bytes(&[8; 32]);
        assert!(ChunkOpener::new(&other, &prefix, &header()).is_err());
        let other = Digest::of("test", &[b"x"]);
        assert!(ChunkOpener::new(&key(), &prefix, &other).is_err());
    }
}
