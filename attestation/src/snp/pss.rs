//! RSA-PSS with SHA-384, as AMD signs certificates and revocation lists.

use ring::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use x509_parser::certificate::X509Certificate;

/// For webpki. In the certificates of keys that sign certificates, AMD encodes the trailer
/// field, which is the default and by DER's rules left out; in leaves it is.
pub(super) const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[&ExplicitTrailer, webpki::ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY];

/// Whether the key of `issuer` has signed `contents`.
pub(super) fn signed(issuer: &X509Certificate<'_>, contents: &[u8], signature: &[u8]) -> bool {
    let key = &issuer.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key).verify(contents, signature).is_ok()
}

#[derive(Debug)]
struct ExplicitTrailer;

impl SignatureVerificationAlgorithm for ExplicitTrailer {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, public_key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        AlgorithmIdentifier::from_slice(&[
            0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x39, 0xa0,
            0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02,
            0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
            0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
            0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30, 0xa3, 0x03, 0x02, 0x01, 0x01,
        ])
    }
}
