//! The chain of certificates from the pinned root to the leaf.

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
};

use super::certificate::{Certificate, Leaf};
use super::envelope::Envelope;
use super::{Roots, rules};
use crate::verdict::{Checks, Stop};
use crate::{Platform, text};

/// Checks the chain, and gives the leaf if its key can have signed a document. The leaf is
/// not to be relied on before the step has ended without a failure.
pub(super) fn verify(
    envelope: &Envelope,
    roots: &Roots,
    now: UnixTime,
    checks: &mut Checks,
) -> Result<Leaf, Stop> {
    pinned(envelope, roots, checks)?;
    root_itself(envelope, now, checks);
    path(envelope, now, checks);
    key_usage(envelope, checks);

    match Certificate::parse(&envelope.certificate).and_then(Certificate::into_leaf) {
        Some(leaf) => {
            checks.pass(&rules::LEAF_KEY, "a key on P-384", "a key on P-384");
            Ok(leaf)
        }
        None => Err(checks.stop(&rules::LEAF_KEY, "a key on P-384", "another key")),
    }
}

/// Compares the root with the pinned one.
fn pinned(envelope: &Envelope, roots: &Roots, checks: &mut Checks) -> Result<(), Stop> {
    let sha256 = envelope.root_sha256();
    let (expected, name) = match roots.platform() {
        Platform::Nitro => ("AWS's root", "AWS's root"),
        Platform::Simulated => ("a hardware vendor's root", "the simulated root"),
    };
    if sha256 != *roots.sha256() {
        let expected = format!("{name}, SHA-256 {}", hex::encode(roots.sha256()));
        let found = format!("a root with SHA-256 {}", hex::encode(sha256));
        return Err(checks.stop(&rules::ROOT_PINNED, expected, found));
    }
    let found = format!("{name}, SHA-256 {}", hex::encode(sha256));
    match roots.platform() {
        Platform::Nitro => checks.pass(&rules::ROOT_PINNED, expected, found),
        Platform::Simulated => checks.opt_out(&rules::ROOT_PINNED, expected, found),
    }
    Ok(())
}

/// What webpki does not look at: the trust anchor's own certificate.
fn root_itself(envelope: &Envelope, now: UnixTime, checks: &mut Checks) {
    let Some(root) = Certificate::parse(&envelope.cabundle[0]) else {
        checks.judge(&rules::ROOT_USAGE, false, "a certificate authority", "no certificate");
        return;
    };
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    checks.judge(
        &rules::ROOT_VALIDITY,
        (root.not_before..=root.not_after).contains(&seconds),
        format!("valid at {}", text::time(now.as_secs())),
        format!("valid from {} to {}", moment(root.not_before), moment(root.not_after)),
    );
    let intermediates = envelope.cabundle.len() - 1;
    let long_enough = root
        .path_length
        .is_none_or(|limit| usize::try_from(limit).is_ok_and(|limit| intermediates <= limit));
    let found = match (root.is_authority, root.may_sign_certificates, root.path_length) {
        (false, _, _) => "not a certificate authority".to_owned(),
        (_, false, _) => "no permission to sign certificates".to_owned(),
        (_, _, Some(limit)) => format!("an authority for at most {limit} intermediates"),
        (_, _, None) => "an authority".to_owned(),
    };
    checks.judge(
        &rules::ROOT_USAGE,
        root.is_authority && root.may_sign_certificates && long_enough,
        format!("an authority for {intermediates} intermediates"),
        found,
    );
}

/// RFC 5280 path validation by webpki, and that the path is the one that the document gives.
fn path(envelope: &Envelope, now: UnixTime, checks: &mut Checks) {
    const EXPECTED: &str = "a valid path from the root to the leaf";
    let root = CertificateDer::from(&envelope.cabundle[0][..]);
    let leaf = CertificateDer::from(&envelope.certificate[..]);
    let intermediates: Vec<_> =
        envelope.cabundle[1..].iter().map(|der| CertificateDer::from(&der[..])).collect();
    let leaf = EndEntityCert::try_from(&leaf);
    let result = anchor_from_trusted_cert(&root).and_then(|anchor| {
        let leaf = leaf.as_ref().map_err(Clone::clone)?;
        let anchors = [anchor];
        let path = leaf.verify_for_usage(
            &[webpki::ring::ECDSA_P384_SHA384],
            &anchors,
            &intermediates,
            now,
            AnyPurpose,
            None,
            None,
        )?;
        // From the leaf towards the root; cabundle runs the other way.
        let used: Vec<_> = path.intermediate_certificates().map(webpki::Cert::der).collect();
        Ok(used.iter().eq(intermediates.iter().rev()))
    });
    match result {
        Ok(in_order) => {
            let found = format!("a valid path over {} certificates", envelope.cabundle.len() + 1);
            checks.pass(&rules::CHAIN_PATH, EXPECTED, found);
            let found =
                if in_order { "all, in order" } else { "other certificates, or another order" };
            checks.judge(&rules::CHAIN_ORDER, in_order, "all, in order", found);
        }
        Err(error) => {
            checks.judge(&rules::CHAIN_PATH, false, EXPECTED, reason(&error));
        }
    }
}

/// Key usage, which webpki ignores.
fn key_usage(envelope: &Envelope, checks: &mut Checks) {
    let intermediates = envelope.cabundle[1..].iter().all(|der| {
        Certificate::parse(der).is_some_and(|certificate| certificate.may_sign_certificates)
    });
    let leaf = Certificate::parse(&envelope.certificate)
        .is_some_and(|certificate| certificate.may_sign_documents);
    let found = match (intermediates, leaf) {
        (true, true) => "certificate signing, and digital signature for the leaf",
        (false, _) => "an intermediate that may not sign certificates",
        (true, false) => "a leaf that may not sign",
    };
    checks.judge(
        &rules::CHAIN_USAGE,
        intermediates && leaf,
        "certificate signing, and digital signature for the leaf",
        found,
    );
}

/// Nitro certificates name no extended key usage, and none is asked for.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// webpki's errors that an operator meets, in words.
fn reason(error: &webpki::Error) -> String {
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
        other => format!("{other:?}"),
    }
}

fn moment(seconds: i64) -> String {
    u64::try_from(seconds).map_or_else(|_| "before 1970".to_owned(), text::time)
}
