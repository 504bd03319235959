//! The chain of certificates from a pinned root (ARK) over AMD's signing key (ASK, or ASVK for
//! a VLEK) to the key that signed the report.

use ring::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    UnixTime, alg_id,
};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExpirationPolicy,
    RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
    anchor_from_trusted_cert,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::collateral::{Collateral, Path};
use super::report::{Report, SigningKey};
use super::roots::{Roots, fingerprint};
use super::{Product, rules};
use crate::cache::{Cache, ChainId, Validity};
use crate::certificate::{AnyPurpose, Certificate, Leaf, reason};
use crate::verdict::{Checks, Stop};
use crate::{Platform, text};

/// A chain that was looked at. Not to be relied on before the step has ended without a failure.
pub(super) struct Chain<'a> {
    pub(super) product: Product,
    pub(super) leaf_der: &'a [u8],
    pub(super) leaf: Leaf,
    pub(super) root_sha256: [u8; 32],
}

/// Finds the chain of the key that signed, and checks it.
pub(super) fn verify<'a>(
    report: Report<'_>,
    collateral: &'a Collateral,
    roots: &Roots,
    now: UnixTime,
    cache: &mut Cache,
    checks: &mut Checks,
) -> Result<Chain<'a>, Stop> {
    let path = collateral.path(report);
    let (leaf, intermediate, root) = complete(&path, report.signing_key(), checks)?;
    let (product, root_sha256) = pinned(&path, root, roots, checks)?;
    let kind = report.signing_key();
    checks.judge(
        &rules::CHAIN_KIND,
        path.has_intermediate(kind, product),
        format!("the intermediate of a {} for {product}", key_name(kind)),
        if path.has_intermediate(kind, product) { "this one" } else { "another one" },
    );
    root_itself(root, now, checks);
    let lists: Vec<_> = collateral.lists_of(root).collect();
    let known = ChainId::of("snp", [leaf, intermediate, root].into_iter().chain(lists.clone()));
    if cache.knows(&known, now) {
        checks.pass(&rules::CHAIN_PATH, PATH, "a path that was verified before");
        if !lists.is_empty() {
            checks.pass(&rules::CHAIN_CRL, UNREVOKED, "none of them is revoked");
        }
    } else if valid_path([leaf, intermediate, root], &lists, now, checks) {
        remember([leaf, intermediate, root], &lists, known, cache);
    }
    if lists.is_empty() {
        checks.opt_out(&rules::CHAIN_CRL, UNREVOKED, "no revocation list in the collateral");
    }
    let usage = Certificate::parse(intermediate).is_some_and(|one| one.may_sign_certificates);
    let found = if usage { "certificate signing" } else { "no permission to sign certificates" };
    checks.judge(&rules::CHAIN_USAGE, usage, "certificate signing", found);

    match Certificate::parse(leaf).and_then(Certificate::into_leaf) {
        Some(key) => {
            checks.pass(&rules::LEAF_KEY, "a key on P-384", "a key on P-384");
            Ok(Chain { product, leaf_der: leaf, leaf: key, root_sha256 })
        }
        None => Err(checks.stop(&rules::LEAF_KEY, "a key on P-384", "another key")),
    }
}

/// What AMD calls a key.
pub(super) fn key_name(kind: SigningKey) -> &'static str {
    match kind {
        SigningKey::Vcek => "VCEK",
        SigningKey::Vlek => "VLEK",
        SigningKey::Other(_) => "unknown key",
    }
}

/// Leaf, intermediate and root, in DER.
type Three<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Requires the three certificates, the leaf of the kind that signed.
fn complete<'a>(path: &Path<'a>, kind: SigningKey, checks: &mut Checks) -> Result<Three<'a>, Stop> {
    let expected = format!("the certificate of a {}", key_name(kind));
    let found = match path.kind() {
        Some(found) => format!("that of a {}", key_name(found)),
        None => "no certificate of such a key".to_owned(),
    };
    let right = path.kind() == Some(kind);
    checks.require(&rules::COLLATERAL_LEAF, right, expected, found)?;
    let found = match (path.intermediate, path.root) {
        (Some(_), Some(_)) => "all three certificates",
        (Some(_), None) => "no certificate of the root (ARK) that issued the intermediate",
        (None, _) => "no certificate of the intermediate (ASK or ASVK) that issued the leaf",
    };
    match (path.leaf, path.intermediate, path.root) {
        (Some(leaf), Some(intermediate), Some(root)) => {
            checks.pass(&rules::COLLATERAL_CHAIN, "all three certificates", found);
            Ok((leaf, intermediate, root))
        }
        _ => Err(checks.stop(&rules::COLLATERAL_CHAIN, "all three certificates", found)),
    }
}

/// Compares the root with the pinned one of the product that it names.
fn pinned(
    path: &Path<'_>,
    root: &[u8],
    roots: &Roots,
    checks: &mut Checks,
) -> Result<(Product, [u8; 32]), Stop> {
    let sha256 = fingerprint(root);
    let found = format!("a root with SHA-256 {}", hex::encode(sha256));
    let Some(product) = path.product() else {
        let expected = "the root of a known product";
        return Err(checks.stop(&rules::ROOT_PINNED, expected, found));
    };
    let Some(pinned) = roots.sha256(product) else {
        let expected = "a root that is pinned for this product";
        return Err(checks.stop(&rules::ROOT_PINNED, expected, format!("a root for {product}")));
    };
    if sha256 != pinned {
        let expected = format!("the root for {product}, SHA-256 {}", hex::encode(pinned));
        return Err(checks.stop(&rules::ROOT_PINNED, expected, found));
    }
    if roots.platform() == Platform::Simulated {
        let found = format!("the simulated root, SHA-256 {}", hex::encode(sha256));
        checks.opt_out(&rules::ROOT_PINNED, "a hardware vendor's root", found);
    } else {
        let found = format!("AMD's root for {product}, SHA-256 {}", hex::encode(sha256));
        checks.pass(&rules::ROOT_PINNED, "AMD's root", found);
    }
    Ok((product, sha256))
}

/// What webpki does not look at: the trust anchor's own certificate.
fn root_itself(root: &[u8], now: UnixTime, checks: &mut Checks) {
    let Some(root) = Certificate::parse(root) else {
        checks.judge(&rules::ROOT_USAGE, false, "a certificate authority", "no certificate");
        return;
    };
    checks.judge(
        &rules::ROOT_VALIDITY,
        root.is_valid_at(now.as_secs()),
        format!("valid at {}", text::time(now.as_secs())),
        root.valid(),
    );
    let (holds, found) = root.authority(1);
    checks.judge(&rules::ROOT_USAGE, holds, "an authority for 1 intermediate", found);
}

const PATH: &str = "a valid path from the root to the leaf";
const UNREVOKED: &str = "a current revocation list of the root that has none of them";

/// RFC 5280 path validation by webpki, of leaf, intermediate and root. Says whether the path is
/// valid and, if there are revocation lists of the root, unrevoked.
fn valid_path(chain: [&[u8]; 3], lists: &[&[u8]], now: UnixTime, checks: &mut Checks) -> bool {
    let [leaf, intermediate, root] = chain.map(CertificateDer::from);
    let intermediates = [intermediate];
    let validate = |revocation: Option<RevocationOptions<'_>>| {
        let anchors = [anchor_from_trusted_cert(&root)?];
        let leaf = EndEntityCert::try_from(&leaf)?;
        leaf.verify_for_usage(
            ALGORITHMS,
            &anchors,
            &intermediates,
            now,
            AnyPurpose,
            revocation,
            None,
        )
        .map(drop)
    };
    if let Err(error) = validate(None) {
        checks.judge(&rules::CHAIN_PATH, false, PATH, reason(&error));
        return false;
    }
    checks.pass(&rules::CHAIN_PATH, PATH, "a valid path over 3 certificates");
    if lists.is_empty() {
        return true;
    }
    let unrevoked = || {
        let lists: Vec<CertRevocationList<'_>> = lists
            .iter()
            .map(|der| BorrowedCertRevocationList::from_der(der).map(CertRevocationList::from))
            .collect::<Result<_, _>>()?;
        let lists: Vec<_> = lists.iter().collect();
        // It fails only without any list.
        let Ok(options) = RevocationOptionsBuilder::new(&lists) else { return Ok(()) };
        let options = options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(ExpirationPolicy::Enforce);
        validate(Some(options.build()))
    };
    match unrevoked() {
        Ok(()) => {
            checks.pass(&rules::CHAIN_CRL, UNREVOKED, "none of them is revoked");
            true
        }
        Err(error) => checks.judge(&rules::CHAIN_CRL, false, UNREVOKED, reason(&error)),
    }
}

/// Remembers a valid path while all of it is valid and no revocation list is due.
fn remember(chain: [&[u8]; 3], lists: &[&[u8]], known: ChainId, cache: &mut Cache) {
    let certificates = chain.iter().map(|der| Some(Certificate::parse(der)?.validity()));
    let lists = lists.iter().map(|der| {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let until = list.next_update()?.timestamp();
        Some(Validity { from: i64::MIN, until })
    });
    if let Some(all) = certificates.chain(lists).collect::<Option<Vec<_>>>() {
        cache.remember(known, Validity::of_all(all));
    }
}

/// RSA-PSS with SHA-384 as AMD encodes it: in the certificates of keys that sign certificates
/// with an explicit trailer field, which is the default and by DER's rules left out.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[&ExplicitTrailer, webpki::ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY];

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
