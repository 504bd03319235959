//! HPKE (RFC 9180) in base mode with X-Wing, HKDF-SHA-512 and AES-256-GCM.
//!
//! Medical data recorded today must stay secret when quantum computers exist, so
//! the key encapsulation is hybrid: ML-KEM-768 and X25519 (KEM 0x647a). Signatures
//! are classical: forging one needs a quantum computer at the time of the job.

use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha512,
    kem::XWing, single_shot_open, single_shot_seal,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;
use zeroize::Zeroizing;

/// The suite's name, part of the transcript. There is one per protocol version.
pub const SUITE: &str = "X-Wing/HKDF-SHA512/AES-256-GCM";
/// Length of an encapsulation key.
pub const PUBLIC_KEY_LEN: usize = 1216;
const ENCAPSULATED_LEN: usize = 1120;

/// Why sealing or opening failed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HpkeError {
    /// Not an X-Wing encapsulation key.
    #[error("not an X-Wing public key: {PUBLIC_KEY_LEN} bytes are expected")]
    PublicKey,
    /// Sealed for another key or purpose, or altered.
    #[error("the sealed message is not for this key and purpose, or was altered")]
    Open,
}

/// A key pair that lives as long as one transcript.
pub struct HpkeKeyPair {
    private: <XWing as Kem>::PrivateKey,
    public: Vec<u8>,
}

/// A sealed message: what encapsulates the key, and the ciphertext.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    encapsulated: ByteBuf,
    ciphertext: ByteBuf,
}

impl HpkeKeyPair {
    /// Makes a fresh pair from the system's random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let (private, public) = XWing::gen_keypair();
        Self { private, public: public.to_bytes().to_vec() }
    }

    /// The encapsulation key, [`PUBLIC_KEY_LEN`] bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Opens what was sealed to this pair with the same `info`.
    pub fn open(&self, info: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(&sealed.encapsulated)
            .map_err(|_| HpkeError::Open)?;
        single_shot_open::<AesGcm256, HkdfSha512, XWing>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            info,
            &sealed.ciphertext,
            &[],
        )
        .map(Zeroizing::new)
        .map_err(|_| HpkeError::Open)
    }
}

impl Sealed {
    /// Seals `plaintext` to an encapsulation key, for the purpose `info`.
    pub fn to(public: &[u8], info: &[u8], plaintext: &[u8]) -> Result<Self, HpkeError> {
        let public =
            <XWing as Kem>::PublicKey::from_bytes(public).map_err(|_| HpkeError::PublicKey)?;
        let (encapsulated, ciphertext) = single_shot_seal::<AesGcm256, HkdfSha512, XWing>(
            &OpModeS::Base,
            &public,
            info,
            plaintext,
            &[],
        )
        .map_err(|_| HpkeError::PublicKey)?;
        let encapsulated = encapsulated.to_bytes().to_vec();
        debug_assert_eq!(encapsulated.len(), ENCAPSULATED_LEN);
        Ok(Self { encapsulated: encapsulated.into(), ciphertext: ciphertext.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_the_right_key_and_purpose() {
        let pair = HpkeKeyPair::generate();
        assert_eq!(pair.public().len(), PUBLIC_KEY_LEN);
        let sealed = Sealed::to(pair.public(), b"grant", b"secret").unwrap();
        assert_eq!(sealed.encapsulated.len(), ENCAPSULATED_LEN);
        assert_eq!(&pair.open(b"grant", &sealed).unwrap()[..], b"secret");
        assert_eq!(pair.open(b"partial", &sealed), Err(HpkeError::Open));
        assert_eq!(HpkeKeyPair::generate().open(b"grant", &sealed), Err(HpkeError::Open));
        for position in [0, ENCAPSULATED_LEN - 1] {
            let mut altered = sealed.clone();
            altered.encapsulated[position] ^= 1;
            assert_eq!(pair.open(b"grant", &altered), Err(HpkeError::Open));
        }
        let mut altered = sealed.clone();
        altered.ciphertext[0] ^= 1;
        assert_eq!(pair.open(b"grant", &altered), Err(HpkeError::Open));
        assert_eq!(Sealed::to(&[0; 5], b"", b""), Err(HpkeError::PublicKey));
    }
}
