//! What this verifier reads in certificates, beyond what webpki does.

use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384};
use x509_parser::parse_x509_certificate;

/// The fields of a certificate that a rule is about.
pub(super) struct Certificate {
    /// First second of validity, since 1970.
    pub(super) not_before: i64,
    /// Last second of validity, since 1970.
    pub(super) not_after: i64,
    /// Whether basic constraints say that it is an authority.
    pub(super) is_authority: bool,
    /// How many intermediates may follow, if that is limited.
    pub(super) path_length: Option<u32>,
    /// Whether key usage is there and includes signing certificates.
    pub(super) may_sign_certificates: bool,
    /// Whether key usage is there and includes signing documents.
    pub(super) may_sign_documents: bool,
    /// The uncompressed point, if the key is on P-384.
    p384_key: Option<Vec<u8>>,
}

/// The end of the chain, whose key has signed the document.
pub(super) struct Leaf {
    /// An uncompressed point on P-384.
    pub(super) public_key: Vec<u8>,
    /// Last second of validity, since 1970.
    pub(super) not_after: u64,
}

impl Certificate {
    /// Reads a certificate. None if it is not one, or if bytes follow it.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = parse_x509_certificate(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let constraints = certificate.basic_constraints().ok()?;
        let usage = certificate.key_usage().ok()?;
        let validity = certificate.validity();
        Some(Self {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            is_authority: constraints.as_ref().is_some_and(|found| found.value.ca),
            path_length: constraints.and_then(|found| found.value.path_len_constraint),
            may_sign_certificates: usage.as_ref().is_some_and(|found| found.value.key_cert_sign()),
            may_sign_documents: usage.is_some_and(|found| found.value.digital_signature()),
            p384_key: p384_key(&certificate),
        })
    }

    /// The certificate as a leaf, if its key is on P-384.
    pub(super) fn into_leaf(self) -> Option<Leaf> {
        Some(Leaf { public_key: self.p384_key?, not_after: u64::try_from(self.not_after).ok()? })
    }
}

fn p384_key(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let key = certificate.public_key();
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let is_p384 =
        key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_NIST_EC_P384;
    is_p384.then(|| key.subject_public_key.data.to_vec())
}
