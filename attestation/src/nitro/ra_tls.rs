//! TLS certificates that carry a document, as enclaves serve them (RA-TLS).
//!
//! There is no standard for it. The form that is found puts the document in hexadecimal in
//! front of the host's name, as one more DNS name of the certificate. Who signed such a
//! certificate says nothing about an enclave: what counts is the document, and that it
//! vouches for the certificate's key. Otherwise anybody who has seen the document could put
//! it into a certificate of their own.

use ring::digest::{SHA256, SHA384, SHA512, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::{Claims, Expectations, rules};
use crate::verdict::{self, Checks};
use crate::{Cache, Verdict};

/// A certificate with a document in it is at most this long: both in hexadecimal, and room.
const LIMIT: usize = 64 * 1024;

/// Whether the document has to vouch for the key of the certificate that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKey {
    /// Its `public_key` is the certificate's key (`SubjectPublicKeyInfo` in DER), or its
    /// `user_data` begins with a SHA-2 digest of that.
    Vouched,
    /// Opting out: the certificate may be anybody's. The verdict says so.
    AcceptAny,
}

/// Verifies the document in a TLS certificate, and that it vouches for the certificate's key.
/// The certificate itself proves nothing and is not verified.
pub fn verify_certificate(
    certificate: &[u8],
    expectations: &Expectations,
    key: CertificateKey,
) -> Verdict {
    let mut checks = Checks::default();
    let platform = expectations.roots.platform();
    let Some((document, public_key)) = parts(certificate) else {
        const EXPECTED: &str = "a certificate with a document among its DNS names";
        checks.judge(&rules::CERTIFICATE_DOCUMENT, false, EXPECTED, "another certificate, or none");
        return Verdict::new(platform, checks, None);
    };
    checks.pass(&rules::CERTIFICATE_DOCUMENT, "a document", format!("{} bytes", document.len()));
    let claims = super::steps(&document, expectations, &mut Cache::new(), &mut checks).ok();
    if let Some(claims) = &claims {
        const EXPECTED: &str = "the certificate's key in public_key, or its digest in user_data";
        match (vouches(claims, &public_key), key) {
            (true, _) => checks.pass(&rules::CERTIFICATE_KEY, EXPECTED, "it"),
            (false, CertificateKey::AcceptAny) => {
                checks.opt_out(&rules::CERTIFICATE_KEY, EXPECTED, "neither");
            }
            (false, CertificateKey::Vouched) => {
                checks.judge(&rules::CERTIFICATE_KEY, false, EXPECTED, "neither");
            }
        }
    }
    Verdict::new(platform, checks, claims.map(verdict::Claims::Nitro))
}

/// The document in a certificate, if it has one.
#[must_use]
pub fn document_in_certificate(certificate: &[u8]) -> Option<Vec<u8>> {
    parts(certificate).map(|(document, _)| document)
}

/// The document in a certificate, and the certificate's key.
fn parts(certificate: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if certificate.len() > LIMIT {
        return None;
    }
    let (rest, certificate) = parse_x509_certificate(certificate).ok()?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let mut documents = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => document(name),
        _ => None,
    });
    // With two of them, two readers could take different ones.
    let only = documents.next()?;
    let alone = documents.next().is_none() && rest.is_empty();
    alone.then(|| (only, certificate.public_key().raw.to_vec()))
}

/// A document in hexadecimal, up to the first point. Host names have no labels of 64 digits.
fn document(name: &str) -> Option<Vec<u8>> {
    let label = name.split('.').next()?;
    if label.len() < 64 {
        return None;
    }
    hex::decode(label).ok()
}

fn vouches(claims: &Claims, public_key: &[u8]) -> bool {
    if claims.public_key.bytes() == Some(public_key) {
        return true;
    }
    let user_data = claims.user_data.bytes().unwrap_or_default();
    [&SHA512, &SHA384, &SHA256]
        .iter()
        .any(|algorithm| user_data.starts_with(digest(algorithm, public_key).as_ref()))
}
