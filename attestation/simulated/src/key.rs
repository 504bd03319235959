//! ECDSA keys that sign certificates (DER signatures) and documents (raw signatures).

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};
use zeroize::Zeroizing;

use crate::Error;

/// What differs between the curves.
pub(crate) struct Curve {
    certificate: &'static EcdsaSigningAlgorithm,
    document: &'static EcdsaSigningAlgorithm,
    name: &'static rcgen::SignatureAlgorithm,
}

/// The only curve that a document is signed with.
pub(crate) static P384: Curve = Curve {
    certificate: &ECDSA_P384_SHA384_ASN1_SIGNING,
    document: &ECDSA_P384_SHA384_FIXED_SIGNING,
    name: &rcgen::PKCS_ECDSA_P384_SHA384,
};

/// A curve that verifiers must refuse.
#[cfg(feature = "mutations")]
pub(crate) static P256: Curve = Curve {
    certificate: &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    document: &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    name: &rcgen::PKCS_ECDSA_P256_SHA256,
};

/// A private key. Its PKCS#8 form is wiped when it is dropped.
pub(crate) struct Key {
    pkcs8: Zeroizing<Vec<u8>>,
    certificate: EcdsaKeyPair,
    document: EcdsaKeyPair,
    curve: &'static Curve,
}

impl Key {
    /// A fresh key.
    pub(crate) fn generate(curve: &'static Curve) -> Result<Self, Error> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve.document, &SystemRandom::new())
            .map_err(|_| Error::Key)?;
        Self::from_pkcs8(Zeroizing::new(pkcs8.as_ref().to_vec()), curve)
    }

    /// A key that was kept in PKCS#8 form.
    pub(crate) fn from_pkcs8(
        pkcs8: Zeroizing<Vec<u8>>,
        curve: &'static Curve,
    ) -> Result<Self, Error> {
        let pair = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &SystemRandom::new())
                .map_err(|_| Error::Key)
        };
        Ok(Self {
            certificate: pair(curve.certificate)?,
            document: pair(curve.document)?,
            pkcs8,
            curve,
        })
    }

    /// The PKCS#8 form, secret.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The uncompressed public point.
    pub(crate) fn public(&self) -> &[u8] {
        self.document.public_key().as_ref()
    }

    /// r and s, each as long as the curve's order: the form that COSE carries.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature =
            self.document.sign(&SystemRandom::new(), message).map_err(|_| Error::Key)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.public()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.curve.name
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self
            .certificate
            .sign(&SystemRandom::new(), message)
            .map_err(|_| rcgen::Error::RingUnspecified)?;
        Ok(signature.as_ref().to_vec())
    }
}
