//! What this verifier reads in certificates, beyond what webpki does.

use ring::digest::{SHA256, digest};
use rustls_pki_types::UnixTime;
use webpki::{ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384};
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

use crate::cache::Validity;
use crate::text;
use crate::verdict::{Checks, Rule};

/// The fields of a certificate that a rule is about.
#[expect(clippy::struct_excessive_bools, reason = "what X.509 says yes or no to")]
pub(crate) struct Certificate {
    /// First second of validity, since 1970.
    pub(crate) not_before: i64,
    /// Last second of validity, since 1970.
    pub(crate) not_after: i64,
    /// Whether it limits the names below it.
    pub(crate) limits_names: bool,
    /// Whether basic constraints say that it is an authority.
    pub(crate) is_authority: bool,
    /// How many intermediates may follow, if that is limited.
    pub(crate) path_length: Option<u32>,
    /// Whether key usage is there and includes signing certificates.
    pub(crate) may_sign_certificates: bool,
    /// Whether key usage is there and includes signing documents.
    pub(crate) may_sign_documents: bool,
    /// The uncompressed point, if the key is on P-384.
    pub(crate) p384_key: Option<Vec<u8>>,
}

/// The end of the chain, whose key has signed the document.
pub(crate) struct Leaf {
    /// An uncompressed point on P-384.
    pub(crate) public_key: Vec<u8>,
    /// Last second of validity, since 1970.
    pub(crate) not_after: u64,
}

impl Certificate {
    /// From when to when it is valid.
    pub(crate) fn validity(&self) -> Validity {
        Validity { from: self.not_before, until: self.not_after }
    }

    /// Whether the certificate is valid at `seconds` since 1970.
    pub(crate) fn is_valid_at(&self, seconds: u64) -> bool {
        i64::try_from(seconds).is_ok_and(|at| (self.not_before..=self.not_after).contains(&at))
    }

    /// When the certificate is valid, in words.
    pub(crate) fn valid(&self) -> String {
        let moment = |seconds: i64| {
            u64::try_from(seconds).map_or_else(|_| "before 1970".to_owned(), text::time)
        };
        format!("valid from {} to {}", moment(self.not_before), moment(self.not_after))
    }

    /// Whether it may sign a chain with `intermediates` more certificates before the leaf, and
    /// what it is in words.
    pub(crate) fn authority(&self, intermediates: usize) -> (bool, String) {
        let long_enough = self
            .path_length
            .is_none_or(|limit| usize::try_from(limit).is_ok_and(|limit| intermediates <= limit));
        let found = match (self.is_authority, self.may_sign_certificates, self.path_length) {
            (false, _, _) => "not a certificate authority".to_owned(),
            (_, false, _) => "no permission to sign certificates".to_owned(),
            (_, _, Some(limit)) => format!("an authority for at most {limit} intermediates"),
            (_, _, None) => "an authority".to_owned(),
        };
        (self.is_authority && self.may_sign_certificates && long_enough, found)
    }

    /// Reads a certificate. None if it is not one, or if bytes follow it.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
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
            limits_names: certificate.name_constraints().ok()?.is_some(),
            is_authority: constraints.as_ref().is_some_and(|found| found.value.ca),
            path_length: constraints.and_then(|found| found.value.path_len_constraint),
            may_sign_certificates: usage.as_ref().is_some_and(|found| found.value.key_cert_sign()),
            may_sign_documents: usage.is_some_and(|found| found.value.digital_signature()),
            p384_key: p384_key(&certificate),
        })
    }

    /// The certificate as a leaf, if its key is on P-384.
    pub(crate) fn into_leaf(self) -> Option<Leaf> {
        Some(Leaf { public_key: self.p384_key?, not_after: u64::try_from(self.not_after).ok()? })
    }
}

/// SHA-256 of a certificate's DER.
pub(crate) fn fingerprint(der: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, der).as_ref());
    sha256
}

/// What webpki does not look at: the trust anchor's own certificate, by the rules of its
/// platform for validity and for usage.
pub(crate) fn root_itself(
    der: &[u8],
    intermediates: usize,
    expected: String,
    now: UnixTime,
    [validity, usage]: [&Rule; 2],
    checks: &mut Checks,
) {
    let Some(root) = Certificate::parse(der) else {
        checks.judge(usage, false, "a certificate authority", "no certificate");
        return;
    };
    checks.judge(
        validity,
        root.is_valid_at(now.as_secs()),
        format!("valid at {}", text::time(now.as_secs())),
        root.valid(),
    );
    let (holds, found) = root.authority(intermediates);
    checks.judge(usage, holds, expected, found);
}

/// The common name, if there is exactly one.
pub(crate) fn common_name<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    let mut names = name.iter_common_name();
    let only = names.next()?.as_str().ok()?;
    names.next().is_none().then_some(only)
}

/// webpki's errors that an operator meets, in words.
pub(crate) fn reason(error: &webpki::Error) -> String {
    use webpki::Error as E;
    match error {
        E::CertExpired { time, not_after } => format!(
            "a certificate that expired at {}, before {}",
            text::time(not_after.as_secs()),
            text::time(time.as_secs())
        ),
        E::CertNotValidYet { time, not_before } => format!(
            "a certificate that is valid from {}, after {}",
            text::time(not_before.as_secs()),
            text::time(time.as_secs())
        ),
        E::UnknownIssuer => "a certificate that none of the others has issued".to_owned(),
        E::InvalidSignatureForPublicKey => "a certificate whose signature is invalid".to_owned(),
        E::CaUsedAsEndEntity => "an authority in the place of the leaf".to_owned(),
        E::EndEntityUsedAsCa => "an intermediate that is not an authority".to_owned(),
        E::PathLenConstraintViolated => "more intermediates than one of them allows".to_owned(),
        other => format!("what webpki calls {other:?}"),
    }
}

/// These certificates name no extended key usage, and none is asked for.
pub(crate) struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

fn p384_key(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let key = certificate.public_key();
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let is_p384 =
        key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_NIST_EC_P384;
    is_p384.then(|| key.subject_public_key.data.to_vec())
}
