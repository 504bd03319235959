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

    /// Known answers of draft-connolly-cfrg-xwing-kem-06, appendix C: private seed,
    /// encapsulation seed, shared secret, SHA-256 of public key and of ciphertext.
    const DRAFT_VECTORS: [[&str; 5]; 2] = [
        [
            "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
            "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2\
             35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
            "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
            "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb",
            "17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33",
        ],
        [
            "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
            "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef\
             aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d",
            "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
            "c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916",
            "1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154",
        ],
    ];

    #[test]
    fn the_kem_is_the_one_of_the_x_wing_draft() {
        let sha256 =
            |bytes: &[u8]| hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        for [seed, encapsulation_seed, secret, public_hash, ciphertext_hash] in DRAFT_VECTORS {
            let private =
                <XWing as Kem>::PrivateKey::from_bytes(&hex::decode(seed).unwrap()).unwrap();
            let public = XWing::sk_to_pk(&private);
            assert_eq!(sha256(&public.to_bytes()), public_hash);
            let mut random = Replay(hex::decode(encapsulation_seed).unwrap());
            let (shared, ciphertext) = XWing::encap_with_rng(&public, None, &mut random).unwrap();
            assert_eq!(hex::encode(&shared.0[..]), secret);
            assert_eq!(sha256(&ciphertext.to_bytes()), ciphertext_hash);
            let opened = XWing::decap(&private, None, &ciphertext).unwrap();
            assert_eq!(hex::encode(&opened.0[..]), secret);
        }
    }

    /// Random numbers that are given, for known answers.
    struct Replay(Vec<u8>);

    impl rand_core::TryRng for Replay {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            unreachable!("encapsulation asks for bytes")
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            unreachable!("encapsulation asks for bytes")
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            let rest = self.0.split_off(bytes.len());
            bytes.copy_from_slice(&std::mem::replace(&mut self.0, rest));
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Replay {}
}
