//! ES384 keys: ECDSA on P-384 with SHA-384 (RFC 9053 section 2.1).
//!
//! One algorithm for every signature, the one Nitro documents use.

use std::fmt;

use ring::{
    rand::SystemRandom,
    signature::{self, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, KeyPair},
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::digest::{Digest, Id};

/// Length of an uncompressed SEC1 point on P-384.
pub const PUBLIC_KEY_LEN: usize = 97;
/// Length of `r || s`.
pub const SIGNATURE_LEN: usize = 96;

/// Identifies a public key: the digest of its SEC1 point.
pub type KeyId = Id<PublicKey>;

/// Why a key or signature was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a PKCS#8 document with a P-384 key.
    #[error("not a P-384 private key in PKCS#8: make one with `cloister ... init`")]
    Pkcs8,
    /// Not an uncompressed SEC1 point.
    #[error("not a P-384 public key: 97 bytes beginning with 04 are expected")]
    Point,
    /// The system gave no random bytes.
    #[error("the system's random number generator failed")]
    Random,
    /// The signature does not belong to these bytes and this key.
    #[error("the signature does not verify under key {0:?}")]
    Signature(KeyId),
}

/// A public ES384 key, as its uncompressed SEC1 point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(ByteArray<PUBLIC_KEY_LEN>);

impl PublicKey {
    /// Takes an uncompressed point. Whether it is on the curve shows when it verifies something.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; PUBLIC_KEY_LEN] = bytes.try_into().map_err(|_| KeyError::Point)?;
        if bytes[0] != 4 {
            return Err(KeyError::Point);
        }
        Ok(Self(ByteArray::new(bytes)))
    }

    /// The 97 bytes of the point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    /// The identifier of this key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        Id::new(Digest::of("key", &[&self.0[..]]))
    }

    /// Verifies `r || s` over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        signature::UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.0[..])
            .verify(message, signature)
            .map_err(|_| KeyError::Signature(self.id()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.id())
    }
}

/// A private ES384 key. It shows nothing of itself and cannot be copied.
pub struct SigningKey {
    pair: signature::EcdsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a new key and returns it with its PKCS#8 document, to be stored.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let document = signature::EcdsaKeyPair::generate_pkcs8(
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            &SystemRandom::new(),
        )
        .map_err(|_| KeyError::Random)?;
        let document = Zeroizing::new(document.as_ref().to_vec());
        Ok((Self::from_pkcs8(&document)?, document))
    }

    /// Reads a PKCS#8 document.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        let pair = signature::EcdsaKeyPair::from_pkcs8(
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            document,
            &SystemRandom::new(),
        )
        .map_err(|_| KeyError::Pkcs8)?;
        let public = PublicKey::from_bytes(pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The identifier of the public half.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// Signs `message`; the result is `r || s`.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], KeyError> {
        let signature =
            self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Random)?;
        signature.as_ref().try_into().map_err(|_| KeyError::Random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_refuses_the_altered() {
        let (key, document) = SigningKey::generate().unwrap();
        let signature = key.sign(b"message").unwrap();
        key.public().verify(b"message", &signature).unwrap();
        assert!(key.public().verify(b"massage", &signature).is_err());
        let again = SigningKey::from_pkcs8(&document).unwrap();
        assert_eq!(again.id(), key.id());
        assert_eq!(SigningKey::from_pkcs8(&document[1..]).err(), Some(KeyError::Pkcs8));
        assert_eq!(PublicKey::from_bytes(&[4; 96]), Err(KeyError::Point));
        assert_eq!(PublicKey::from_bytes(&[3; 97]), Err(KeyError::Point));
    }
}
