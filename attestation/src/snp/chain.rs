//! The chain of certificates from a pinned root (ARK) over AMD's signing key (ASK, or ASVK for
//! a VLEK) to the key that signed the report.

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

use super::collateral::Collateral;
use super::path::Path;
use super::report::{Report, SigningKey};
use super::roots::Roots;
use super::{Product, pss, revocation, rules};
use crate::Platform;
use crate::cache::{Cache, ChainId, Validity};
use crate::certificate::{AnyPurpose, Certificate, Leaf, fingerprint, reason, root_itself};
use crate::verdict::{Checks, Stop};

/// A chain that was looked at. Not to be relied on before the step has ended without a failure.
pub(super) struct Chain<'a> {
    pub(super) product: Product,
    pub(super) leaf_der: &'a [u8],
    pub(super) leaf: Leaf,
    pub(super) root_sha256: [u8; 32],
    /// Whether a revocation list showed that none is revoked.
    pub(super) unrevoked: bool,
}

/// Finds the chain of the key that signed, and checks it.
pub(super) fn verify<'a>(
    report: Report<'_>,
    signature: &[u8; 96],
    collateral: &'a Collateral,
    expected: (&Roots, UnixTime),
    cache: &mut Cache,
    checks: &mut Checks,
) -> Result<Chain<'a>, Stop> {
    let (roots, now) = expected;
    let path = Path::find(report, signature, collateral, roots, now);
    let kind = report.signing_key();
    let (leaf, intermediate, root) = complete(&path, kind, checks)?;
    let (product, root_sha256) = pinned(&path, root, roots, checks)?;
    let right = path.has_intermediate(kind, product);
    checks.judge(
        &rules::CHAIN_KIND,
        right,
        format!("the intermediate of a {} for {product}", key_name(kind)),
        if right { "this one" } else { "another one" },
    );
    let expected = "an authority for 1 intermediate".to_owned();
    root_itself(root, 1, expected, now, [&rules::ROOT_VALIDITY, &rules::ROOT_USAGE], checks);
    let usage = Certificate::parse(intermediate).is_some_and(|one| one.may_sign_certificates);
    let found = if usage { "certificate signing" } else { "no permission to sign certificates" };
    checks.judge(&rules::CHAIN_USAGE, usage, "certificate signing", found);
    let unrevoked = signatures([leaf, intermediate, root], collateral, now, cache, checks);

    match Certificate::parse(leaf).and_then(Certificate::into_leaf) {
        Some(key) => {
            checks.pass(&rules::LEAF_KEY, "a key on P-384", "a key on P-384");
            Ok(Chain { product, leaf_der: leaf, leaf: key, root_sha256, unrevoked })
        }
        None => Err(checks.stop(&rules::LEAF_KEY, "a key on P-384", "another key")),
    }
}

/// The signatures of certificates and revocation lists, unless they were verified before. Says
/// whether a list showed that none is revoked.
fn signatures(
    chain: [&[u8]; 3],
    collateral: &Collateral,
    now: UnixTime,
    cache: &mut Cache,
    checks: &mut Checks,
) -> bool {
    let [_, intermediate, root] = chain;
    let lists = revocation::lists_of(root, collateral.lists());
    let id = ChainId::of("snp", chain.into_iter().chain(lists.iter().copied()));
    if cache.knows(&id, now) {
        checks.pass(&rules::CHAIN_PATH, PATH, "a path that was verified before");
        if lists.is_empty() {
            revocation::none(checks);
        } else {
            revocation::known(checks);
        }
        return !lists.is_empty();
    }
    let valid = valid_path(chain, now, checks);
    let until = if lists.is_empty() {
        revocation::none(checks);
        Some(Validity::always())
    } else {
        revocation::check(&lists, root, intermediate, now, checks)
    };
    let parsed = chain.iter().map(|der| Certificate::parse(der));
    if let (true, Some(until), Some(parsed)) = (valid, until, parsed.collect::<Option<Vec<_>>>()) {
        let all = parsed.iter().map(Certificate::validity).chain([until]);
        cache.remember(id, Validity::of_all(all));
    }
    until.is_some() && !lists.is_empty()
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
            Ok((&leaf.der, &intermediate.der, &root.der))
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

const PATH: &str = "a valid path from the root to the leaf";

/// RFC 5280 path validation by webpki, of leaf, intermediate and root.
fn valid_path(chain: [&[u8]; 3], now: UnixTime, checks: &mut Checks) -> bool {
    let [leaf, intermediate, root] = chain.map(CertificateDer::from);
    let intermediates = [intermediate];
    let validate = || {
        let anchors = [anchor_from_trusted_cert(&root)?];
        let leaf = EndEntityCert::try_from(&leaf)?;
        leaf.verify_for_usage(
            pss::ALGORITHMS,
            &anchors,
            &intermediates,
            now,
            AnyPurpose,
            None,
            None,
        )
        .map(drop)
    };
    match validate() {
        Ok(()) => {
            checks.pass(&rules::CHAIN_PATH, PATH, "a valid path over 3 certificates");
            true
        }
        Err(error) => checks.judge(&rules::CHAIN_PATH, false, PATH, reason(&error)),
    }
}
