//! Domain-separated SHA-512 and typed identifiers.

use std::{fmt, marker::PhantomData};

use ring::digest::{Context, SHA512};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use subtle::ConstantTimeEq;

/// SHA-512 over `"cloister/v1/" || kind || 0x00`, then each field behind its
/// length in eight bytes, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(ByteArray<64>);

impl Digest {
    /// The digest of `fields` in the domain `kind`.
    #[must_use]
    pub fn of(kind: &str, fields: &[&[u8]]) -> Self {
        let mut hasher = Hasher::new(kind);
        for field in fields {
            hasher.field(field);
        }
        hasher.finish()
    }

    /// Takes 64 bytes that are a digest already.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(ByteArray::new(bytes))
    }

    /// The 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Reads 128 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text.trim(), &mut bytes).ok()?;
        Some(Self::from_bytes(bytes))
    }

    /// The 128 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(*self.0)
    }

    /// The first 16 hexadecimal digits: for people, never for a decision.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }

    /// Compares in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0[..].ct_eq(&other.0[..]).into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// A [`Digest`] that is fed piece by piece.
pub struct Hasher(Context);

impl Hasher {
    /// Begins a digest in the domain `kind`.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        let mut context = Context::new(&SHA512);
        context.update(b"cloister/v1/");
        context.update(kind.as_bytes());
        context.update(&[0]);
        Self(context)
    }

    /// Adds one whole field.
    pub fn field(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    /// The digest of the fields so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest::from_bytes(bytes)
    }
}

/// The identifier of a `T`: the digest of its bytes, with its type.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Id<T: ?Sized> {
    digest: Digest,
    #[serde(skip)]
    of: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized> Id<T> {
    /// Says that `digest` identifies a `T`.
    #[must_use]
    pub const fn new(digest: Digest) -> Self {
        Self { digest, of: PhantomData }
    }

    /// The digest without its type.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl<T: ?Sized> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for Id<T> {}
impl<T: ?Sized> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
impl<T: ?Sized> Eq for Id<T> {}
impl<T: ?Sized> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T: ?Sized> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.digest.cmp(&other.digest)
    }
}
impl<T: ?Sized> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}
impl<T: ?Sized> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.fmt(f)
    }
}
impl<T: ?Sized> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.digest, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_and_field_boundaries_matter() {
        let digest = Digest::of("a", &[b"bc", b"d"]);
        assert_ne!(digest, Digest::of("a", &[b"b", b"cd"]));
        assert_ne!(digest, Digest::of("ab", &[b"c", b"d"]));
        assert_ne!(digest, Digest::of("a", &[b"bcd"]));
        assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
    }

    /// The bytes are those of the formula in docs/formats.md, hashed by hand.
    #[test]
    fn follows_the_written_formula() {
        let mut input = b"cloister/v1/job\0".to_vec();
        input.extend_from_slice(&3u64.to_be_bytes());
        input.extend_from_slice(b"xyz");
        let expected = ring::digest::digest(&SHA512, &input);
        assert_eq!(Digest::of("job", &[b"xyz"]).as_bytes().as_slice(), expected.as_ref());
    }
}
