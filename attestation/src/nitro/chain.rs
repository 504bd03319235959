//! The chain of certificates from the pinned root to the leaf.

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

use super::envelope::Envelope;
use super::{Roots, rules};
use crate::Platform;
use crate::cache::{Cache, ChainId, Validity};
use crate::certificate::{AnyPurpose, Certificate, Leaf, reason, root_itself};
use crate::verdict::{Checks, Stop};

/// Checks the chain, and gives the leaf if its key can have signed a document. The leaf is
/// not to be relied on before the step has ended without a failure.
pub(super) fn verify(
    envelope: &Envelope,
    roots: &Roots,
    now: UnixTime,
    cache: &mut Cache,
    checks: &mut Checks,
) -> Result<Leaf, Stop> {
    pinned(envelope, roots, checks)?;
    let intermediates = envelope.cabundle.len() - 1;
    let expected = format!("an authority for {intermediates} intermediates");
    let root_rules = [&rules::ROOT_VALIDITY, &rules::ROOT_USAGE];
    root_itself(&envelope.cabundle[0], intermediates, expected, now, root_rules, checks);
    path(envelope, now, cache, checks);
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
        _ => ("a hardware vendor's root", "the simulated root"),
    };
    if sha256 != *roots.sha256() {
        let expected = format!("{name}, SHA-256 {}", hex::encode(roots.sha256()));
        let found = format!("a root with SHA-256 {}", hex::encode(sha256));
        return Err(checks.stop(&rules::ROOT_PINNED, expected, found));
    }
    let found = format!("{name}, SHA-256 {}", hex::encode(sha256));
    match roots.platform() {
        Platform::Nitro => checks.pass(&rules::ROOT_PINNED, expected, found),
        _ => checks.opt_out(&rules::ROOT_PINNED, expected, found),
    }
    Ok(())
}

/// RFC 5280 path validation by webpki, and that the path is the one that the document gives.
fn path(envelope: &Envelope, now: UnixTime, cache: &mut Cache, checks: &mut Checks) {
    const EXPECTED: &str = "a valid path from the root to the leaf";
    let authorities = ChainId::of("nitro", envelope.cabundle.iter().map(Vec::as_slice));
    let known = cache.knows(&authorities, now);
    // The last of the authorities stands in for all of them if they are known: then the
    // leaf's signature is the only one left to verify.
    let skipped = if known { envelope.cabundle.len() - 1 } else { 0 };
    let anchor = CertificateDer::from(&envelope.cabundle[skipped][..]);
    let leaf = CertificateDer::from(&envelope.certificate[..]);
    let intermediates: Vec<_> =
        envelope.cabundle[skipped + 1..].iter().map(|der| CertificateDer::from(&der[..])).collect();
    let leaf = EndEntityCert::try_from(&leaf);
    let result = anchor_from_trusted_cert(&anchor).and_then(|anchor| {
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
            if in_order && !known {
                remember(envelope, authorities, cache);
            }
        }
        Err(error) => {
            checks.judge(&rules::CHAIN_PATH, false, EXPECTED, reason(&error));
        }
    }
}

/// Remembers authorities that a valid path leads over, unless one of them limits the names
/// below it: another leaf would have to be held against that.
fn remember(envelope: &Envelope, authorities: ChainId, cache: &mut Cache) {
    let parsed: Option<Vec<_>> =
        envelope.cabundle.iter().map(|der| Certificate::parse(der)).collect();
    if let Some(parsed) = parsed
        && parsed.iter().all(|one| !one.limits_names)
    {
        let validity = Validity::of_all(parsed.iter().map(Certificate::validity));
        cache.remember(authorities, validity);
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
