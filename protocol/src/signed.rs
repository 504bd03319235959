//! One envelope for everything that is signed: `COSE_Sign1` (RFC 9052 section 4.2).
//!
//! The protected header holds the algorithm (always ES384), the content type
//! `application/cloister-KIND+cbor` and, as `kid`, the signer's public key. The
//! external AAD is `cloister/v1/KIND`, so an object of one kind can never be
//! replayed as another even by a reader that ignores headers. The unprotected
//! header is empty. Because the key travels with the object, every object can be
//! checked by itself; *whose* key it has to be is the caller's question, asked by
//! [`Signed::open_by`].

use std::marker::PhantomData;

use coset::{
    CborSerializable, ContentType, CoseSign1, CoseSign1Builder, Header, HeaderBuilder,
    RegisteredLabelWithPrivate, iana,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    digest::{Digest, Id},
    keys::{KeyError, KeyId, PublicKey, SIGNATURE_LEN, SigningKey},
    limits,
};

/// A kind of signed object: its payload type, name and largest size.
pub trait Kind: Serialize + DeserializeOwned {
    /// The kind's name, in the content type, the external AAD and the digest.
    const KIND: &'static str;
    /// The most bytes an envelope of this kind has.
    const LIMIT: usize = limits::SIGNED_OBJECT;
}

/// Why a signed object was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignedError {
    /// Larger than its kind allows.
    #[error("a {kind} of {found} bytes, where at most {limit} are allowed")]
    TooLarge {
        /// The kind expected.
        kind: &'static str,
        /// Its limit.
        limit: usize,
        /// The length found.
        found: usize,
    },
    /// Not a `COSE_Sign1` as we write it.
    #[error("not a signed {kind}: {why}")]
    Envelope {
        /// The kind expected.
        kind: &'static str,
        /// The rule that was broken.
        why: &'static str,
    },
    /// Signed, but as something else.
    #[error("a signed {expected} was expected, this says it is a {found:?}")]
    WrongKind {
        /// The kind expected.
        expected: &'static str,
        /// The content type found.
        found: String,
    },
    /// The payload is not of the kind's shape.
    #[error("the {kind} cannot be read: {source}")]
    Payload {
        /// The kind expected.
        kind: &'static str,
        /// What is wrong with it.
        source: CborError,
    },
    /// The signature does not verify.
    #[error("the {kind} was altered or not signed by the key it names: {source}")]
    Signature {
        /// The kind expected.
        kind: &'static str,
        /// The key's complaint.
        source: KeyError,
    },
    /// The signature verifies, but under a key other than the one required.
    #[error("the {kind} is signed by key {found:?}, where key {expected:?} is required")]
    WrongSigner {
        /// The kind expected.
        kind: &'static str,
        /// The key required.
        expected: KeyId,
        /// The key found.
        found: KeyId,
    },
}

/// The bytes of a signed `T`, not yet verified.
pub struct Signed<T> {
    bytes: Vec<u8>,
    of: PhantomData<fn() -> T>,
}

/// A `T` whose signature was verified, with who signed it.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    /// The payload.
    pub value: T,
    /// Digest of payload and signer: the object's identifier. (ECDSA signatures
    /// are not unique, so the signature itself does not count.)
    pub id: Id<T>,
    /// The key it verified under.
    pub signer: PublicKey,
}

impl<T: Kind> Signed<T> {
    /// Signs `value`.
    ///
    /// # Panics
    /// When `value`'s `Serialize` fails, which none of our types does.
    pub fn sign(value: &T, key: &SigningKey) -> Result<Self, KeyError> {
        let bytes = CoseSign1Builder::new()
            .protected(protected(T::KIND, key.public()))
            .payload(cbor::encode(value))
            .try_create_signature(&aad(T::KIND), |message| {
                key.sign(message).map(|signature| signature.to_vec())
            })?
            .build()
            .to_vec()
            .expect("a COSE_Sign1 of ours serializes");
        Ok(Self { bytes, of: PhantomData })
    }

    /// Takes bytes that claim to be a signed `T`; nothing is verified yet.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// The bytes of the envelope.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies the signature and requires it to be by `signer`.
    pub fn open_by(&self, signer: &KeyId) -> Result<Verified<T>, SignedError> {
        let verified = self.open_by_anyone()?;
        if verified.signer.id() != *signer {
            return Err(SignedError::WrongSigner {
                kind: T::KIND,
                expected: *signer,
                found: verified.signer.id(),
            });
        }
        Ok(verified)
    }

    /// Verifies the signature under the key the object itself names. The caller
    /// has to decide what that key may do.
    pub fn open_by_anyone(&self) -> Result<Verified<T>, SignedError> {
        let (sign1, signer) = self.envelope()?;
        let payload = sign1.payload.as_deref().unwrap_or_default();
        sign1
            .verify_signature(&aad(T::KIND), |signature, message| signer.verify(message, signature))
            .map_err(|source| SignedError::Signature { kind: T::KIND, source })?;
        let value = cbor::decode(payload, T::LIMIT)
            .map_err(|source| SignedError::Payload { kind: T::KIND, source })?;
        Ok(Verified { value, id: identify(payload, &signer), signer })
    }

    /// Step one of opening: structure and header, before any signature.
    fn envelope(&self) -> Result<(CoseSign1, PublicKey), SignedError> {
        let refuse = |why| SignedError::Envelope { kind: T::KIND, why };
        if self.bytes.len() > T::LIMIT {
            let found = self.bytes.len();
            return Err(SignedError::TooLarge { kind: T::KIND, limit: T::LIMIT, found });
        }
        let sign1 = CoseSign1::from_slice(&self.bytes)
            .map_err(|_| refuse("not a COSE_Sign1 structure (RFC 9052 section 4.2)"))?;
        let header = &sign1.protected.header;
        let expected = content_type(T::KIND);
        match &header.content_type {
            Some(ContentType::Text(found)) if *found == expected => {}
            Some(ContentType::Text(found)) => {
                let found = found.clone();
                return Err(SignedError::WrongKind { expected: T::KIND, found });
            }
            _ => return Err(refuse("no content type in the protected header")),
        }
        let es384 = RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES384);
        if header.alg != Some(es384) {
            return Err(refuse("the algorithm is not ES384"));
        }
        let signer = PublicKey::from_bytes(&header.key_id)
            .map_err(|_| refuse("the key id is not a P-384 point"))?;
        if sign1.signature.len() != SIGNATURE_LEN {
            return Err(refuse("the signature is not 96 bytes"));
        }
        if sign1.unprotected != Header::default() {
            return Err(refuse("the unprotected header is not empty"));
        }
        if sign1.payload.is_none() {
            return Err(refuse("the payload is detached"));
        }
        // One encoding only: whatever else coset tolerates is caught here. The protected
        // header is a byte string, so its own encoding is compared by itself.
        let ours = protected(T::KIND, &signer).to_vec().ok();
        if ours.is_none() || sign1.protected.original_data != ours {
            return Err(refuse("the protected header is not the one of this kind and signer"));
        }
        if sign1.clone().to_vec().ok().as_deref() != Some(&self.bytes[..]) {
            return Err(refuse("the envelope is not in its one deterministic form"));
        }
        Ok((sign1, signer))
    }
}

/// The one protected header of a kind and signer.
fn protected(kind: &str, signer: &PublicKey) -> Header {
    HeaderBuilder::new()
        .algorithm(iana::Algorithm::ES384)
        .content_type(content_type(kind))
        .key_id(signer.as_bytes().to_vec())
        .build()
}

fn content_type(kind: &str) -> String {
    format!("application/cloister-{kind}+cbor")
}

fn aad(kind: &str) -> Vec<u8> {
    format!("cloister/v1/{kind}").into_bytes()
}

fn identify<T: Kind>(payload: &[u8], signer: &PublicKey) -> Id<T> {
    Id::new(Digest::of(T::KIND, &[payload, signer.as_bytes()]))
}

/// The kind that a file claims to be (`job`, `policy` ...), if it looks like one of
/// our signed objects. For display; nothing is verified.
#[must_use]
pub fn claimed_kind(bytes: &[u8]) -> Option<String> {
    let sign1 = CoseSign1::from_slice(bytes).ok()?;
    let Some(ContentType::Text(text)) = sign1.protected.header.content_type else { return None };
    Some(text.strip_prefix("application/cloister-")?.strip_suffix("+cbor")?.to_owned())
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), of: PhantomData }
    }
}

/// For the kinds that hold a secret.
impl<T> zeroize::Zeroize for Signed<T> {
    fn zeroize(&mut self) {
        self.bytes.zeroize();
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T: Kind> std::fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signed<{}>({} bytes)", T::KIND, self.bytes.len())
    }
}

impl<T> Serialize for Signed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de, T> Deserialize<'de> for Signed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec();
        Ok(Self { bytes, of: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Apple {
        weight: u32,
    }
    impl Kind for Apple {
        const KIND: &'static str = "apple";
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pear {
        weight: u32,
    }
    impl Kind for Pear {
        const KIND: &'static str = "pear";
    }

    #[test]
    fn opens_what_was_signed_and_names_the_signer() {
        let (key, _) = SigningKey::generate().unwrap();
        let signed = Signed::sign(&Apple { weight: 7 }, &key).unwrap();
        let opened = signed.open_by(&key.id()).unwrap();
        assert_eq!(opened.value, Apple { weight: 7 });
        let again = Signed::sign(&Apple { weight: 7 }, &key).unwrap();
        assert_ne!(again.as_bytes(), signed.as_bytes(), "ECDSA signatures are randomised");
        assert_eq!(again.open_by_anyone().unwrap().id, opened.id);
    }

    #[test]
    fn refuses_another_key_and_another_kind() {
        let (key, _) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        let signed = Signed::sign(&Apple { weight: 7 }, &key).unwrap();
        assert!(matches!(signed.open_by(&other.id()), Err(SignedError::WrongSigner { .. })));
        let pear = Signed::<Pear>::from_bytes(signed.as_bytes().to_vec());
        assert!(matches!(pear.open_by_anyone(), Err(SignedError::WrongKind { .. })));
    }

    /// An apple whose signature is right, under these bytes as its protected header.
    fn with_header(key: &SigningKey, protected: Vec<u8>) -> Signed<Apple> {
        let header = coset::ProtectedHeader::from_cbor_bstr(protected.into()).unwrap();
        let payload = cbor::encode(&Apple { weight: 7 });
        let mut sign1 =
            CoseSign1 { protected: header, payload: Some(payload), ..CoseSign1::default() };
        sign1.signature = key.sign(&sign1.tbs_data(&aad("apple"))).unwrap().to_vec();
        Signed::from_bytes(sign1.to_vec().unwrap())
    }

    #[test]
    fn refuses_every_other_protected_header() {
        let (key, _) = SigningKey::generate().unwrap();
        let ours = protected("apple", key.public());
        let bytes = ours.clone().to_vec().unwrap();
        with_header(&key, bytes.clone()).open_by_anyone().unwrap();

        let more = |change: &dyn Fn(&mut Header)| {
            let mut header = ours.clone();
            change(&mut header);
            header.to_vec().unwrap()
        };
        let extra = more(&|header| {
            header.rest.push((coset::Label::Int(99), ciborium::Value::from(1)));
        });
        let critical = more(&|header| {
            header
                .crit
                .push(RegisteredLabelWithPrivate::Assigned(iana::HeaderParameter::ContentType));
        });
        // The map's length in two bytes, where one does.
        let long = [&[0xb8, bytes[0] & 0x1f], &bytes[1..]].concat();
        for (what, header) in [("extra", extra), ("crit", critical), ("long form", long)] {
            let error = with_header(&key, header).open_by_anyone().unwrap_err();
            assert!(error.to_string().contains("protected header"), "{what}: {error}");
        }
    }

    #[test]
    fn refuses_every_single_flipped_bit() {
        let (key, _) = SigningKey::generate().unwrap();
        let signed = Signed::sign(&Apple { weight: 7 }, &key).unwrap();
        for position in 0..signed.as_bytes().len() {
            for bit in 0..8 {
                let mut bytes = signed.as_bytes().to_vec();
                bytes[position] ^= 1 << bit;
                let altered = Signed::<Apple>::from_bytes(bytes);
                assert!(altered.open_by(&key.id()).is_err(), "byte {position} bit {bit}");
            }
        }
    }
}
