//! Which of the certificates in a collateral lead to the key that signed a report.
//!
//! The choice proves nothing: what is chosen is verified afterwards. It only has to find the
//! right ones where there are several of a name, as after a renewal, and what the caller gave
//! goes before what came with the evidence.

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::UnixTime;
use x509_parser::parse_x509_certificate;

use super::collateral::{Collateral, Stored};
use super::leaf::{self, Endorsed};
use super::report::{Report, SigningKey};
use super::roots::Roots;
use super::{Product, Tcb, pss};
use crate::certificate::{Certificate, fingerprint};

/// How many certificates of one name are tried.
const TRIED: usize = 64;

/// The certificates that lead to one report's key, as found.
#[derive(Clone, Copy, Default)]
pub(super) struct Path<'a> {
    pub(super) leaf: Option<&'a Stored>,
    pub(super) intermediate: Option<&'a Stored>,
    pub(super) root: Option<&'a Stored>,
}

impl<'a> Path<'a> {
    /// Looks for the path.
    pub(super) fn find(
        report: Report<'_>,
        signature: &[u8; 96],
        collateral: &'a Collateral,
        roots: &Roots,
        now: UnixTime,
    ) -> Self {
        let Some(leaf) = leaf(report, signature, collateral, now) else { return Self::default() };
        let intermediate = best(
            &collateral.of_subject(&leaf.issuer),
            |one| issued(&one.der, &leaf.der),
            |one| is_valid(&one.der, now),
        );
        let root = intermediate.and_then(|intermediate| {
            let pinned = |one: &Stored| {
                let pinned = Product::of_root(&one.subject).and_then(|of| roots.sha256(of));
                pinned == Some(fingerprint(&one.der))
            };
            best(&collateral.of_subject(&intermediate.issuer), pinned, |_| true)
        });
        Self { leaf: Some(leaf), intermediate, root }
    }

    /// The product whose root this path begins at, by the root's name.
    pub(super) fn product(&self) -> Option<Product> {
        Product::of_root(&self.root?.subject)
    }

    /// Which kind of key the leaf is for.
    pub(super) fn kind(&self) -> Option<SigningKey> {
        leaf::kind(&self.leaf?.subject)
    }

    /// Whether the intermediate has the name that a chain of this kind and product has.
    pub(super) fn has_intermediate(&self, kind: SigningKey, product: Product) -> bool {
        let expected = match kind {
            SigningKey::Vlek => format!("SEV-VLEK-{product}"),
            SigningKey::Vcek | SigningKey::Other(_) => format!("SEV-{product}"),
        };
        self.intermediate.is_some_and(|intermediate| intermediate.subject == expected)
    }
}

/// The leaf whose key has signed, valid ones first; else one of this kind, else any.
fn leaf<'a>(
    report: Report<'_>,
    signature: &[u8; 96],
    collateral: &'a Collateral,
    now: UnixTime,
) -> Option<&'a Stored> {
    let leaves = |kind: fn(SigningKey, SigningKey) -> bool| {
        let wanted = report.signing_key();
        let is = move |one: &&Stored| leaf::kind(&one.subject).is_some_and(|of| kind(of, wanted));
        collateral.stored().iter().filter(is)
    };
    let mut candidates: Vec<_> = leaves(|kind, wanted| kind == wanted).collect();
    if candidates.len() > 1 {
        // Of a fleet's certificates those of this chip and firmware, in their order. One alone
        // needs no trying: the verification that follows tries it.
        let fit = |one: &Stored| Endorsed::read(&one.der).is_ok_and(|leaf| fits(&leaf, report));
        candidates.sort_by_cached_key(|one| !fit(one));
        if candidates.get(1).is_some_and(|second| !fit(second)) && fit(candidates[0]) {
            candidates.truncate(1);
        }
    }
    let signed = |one: &Stored| has_signed(&one.der, report, signature);
    let found = best(&candidates, signed, |one| is_valid(&one.der, now));
    found.or_else(|| leaves(|_, _| true).next())
}

/// The first for which both hold, else the first for which the first does, else the first. The
/// second is asked for only where the first holds.
fn best<'a>(
    candidates: &[&'a Stored],
    first: impl Fn(&Stored) -> bool,
    second: impl Fn(&Stored) -> bool,
) -> Option<&'a Stored> {
    if let [only] = candidates {
        return Some(only);
    }
    let mut found = None;
    for one in candidates.iter().take(TRIED).copied().filter(|one| first(one)) {
        if second(one) {
            return Some(one);
        }
        found = found.or(Some(one));
    }
    found.or(candidates.first().copied())
}

/// Whether a leaf is for the chip and the firmware that a report names. Hosts may mask the
/// chip's id.
fn fits(leaf: &Endorsed, report: Report<'_>) -> bool {
    let id = report.chip_id();
    let chip = leaf.chip.as_ref().is_none_or(|chip| id.starts_with(chip) || id == [0; 64]);
    chip && leaf.tcb == Tcb::from_bytes(report.reported_tcb(), leaf.product)
}

fn has_signed(leaf: &[u8], report: Report<'_>, signature: &[u8; 96]) -> bool {
    Certificate::parse(leaf).and_then(Certificate::into_leaf).is_some_and(|leaf| {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &leaf.public_key);
        key.verify(report.signed(), signature).is_ok()
    })
}

fn is_valid(der: &[u8], now: UnixTime) -> bool {
    Certificate::parse(der).is_some_and(|one| one.is_valid_at(now.as_secs()))
}

fn issued(issuer: &[u8], der: &[u8]) -> bool {
    let (Ok((_, issuer)), Ok((_, certificate))) =
        (parse_x509_certificate(issuer), parse_x509_certificate(der))
    else {
        return false;
    };
    pss::signed(&issuer, certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
}
