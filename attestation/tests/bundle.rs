//! Collateral in a signed bundle.

mod snp_common;

use std::time::Duration;

use cloister_attestation::UnixTime;
use cloister_attestation::snp::{Bundle, BundleError, Collateral, EntryKind, Feature};
use cloister_simulated::mutations::snp::Plan;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use snp_common::{BINDING, Case, MEASUREMENT, NOW};

const UNTIL: u64 = NOW + 1000;

fn key() -> EcdsaKeyPair {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P384_SHA384_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
}

fn sign(bundle: &Bundle, key: &EcdsaKeyPair) -> Result<Vec<u8>, BundleError> {
    bundle.sign_with(|bytes| Some(key.sign(&SystemRandom::new(), bytes).ok()?.as_ref().to_vec()))
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// A chain and a revocation list.
fn bundle() -> Bundle {
    let signed = Plan::new(&BINDING, &MEASUREMENT).sign();
    let mut collateral = Collateral::new();
    for der in [&signed.revocation_list, &signed.leaf, &signed.intermediate, &signed.root] {
        collateral.add(der).unwrap();
    }
    Bundle { made: NOW, until: UNTIL, collateral }
}

#[test]
fn what_was_packed_comes_out_again() {
    let (bundle, key) = (bundle(), key());
    let signed = sign(&bundle, &key).unwrap();
    assert!(Bundle::is_one(&signed));
    let opened = Bundle::open(&signed, key.public_key().as_ref(), at(UNTIL)).unwrap();
    assert_eq!(opened.collateral.entries(), bundle.collateral.entries());
    assert_eq!((opened.made, opened.until), (NOW, UNTIL));
    let lists = opened.collateral.entries();
    assert_eq!(lists.last().unwrap().kind, EntryKind::RevocationList);
}

#[test]
fn a_bundle_verifies_a_report() {
    let mut case = Case::new();
    case.with_list();
    case.require(Feature::RevocationList);
    case.on_expectations(|expectations| {
        let (key, collateral) = (key(), expectations.collateral.clone());
        let signed = sign(&Bundle { made: NOW, until: UNTIL, collateral }, &key).unwrap();
        let opened = Bundle::open(&signed, key.public_key().as_ref(), at(NOW)).unwrap();
        expectations.collateral = opened.collateral;
    });
    let verdict = case.verify();
    assert!(verdict.accepted(), "{verdict}");
}

#[test]
fn nothing_can_be_taken_out_of_a_bundle_or_kept_longer() {
    let (bundle, key) = (bundle(), key());
    let signed = sign(&bundle, &key).unwrap();
    let public = key.public_key().as_ref();
    let ended = BundleError::Ended { until: UNTIL, now: UNTIL + 1 };
    assert_eq!(Bundle::open(&signed, public, at(UNTIL + 1)).unwrap_err(), ended);
    let other = self::key();
    let theirs = Bundle::open(&signed, other.public_key().as_ref(), at(NOW));
    assert_eq!(theirs.unwrap_err(), BundleError::Signature);
    for position in (0..signed.len()).step_by(37) {
        let mut changed = signed.clone();
        changed[position] ^= 1;
        assert!(Bundle::open(&changed, public, at(NOW)).is_err(), "byte {position}");
        assert!(Bundle::open(&signed[..position], public, at(NOW)).is_err());
    }
    let longer = [&signed[..], &[0]].concat();
    assert!(matches!(Bundle::unverified(&longer), Err(BundleError::Format(_))));
}

#[test]
fn payloads_that_are_no_bundle_are_refused_for_what_is_wrong() {
    let (bundle, key) = (bundle(), key());
    let entries = bundle.collateral.entries();
    let list = entries.last().unwrap().der;
    let cbor = |payload: &ciborium::Value| {
        let mut bytes = Vec::new();
        ciborium::into_writer(payload, &mut bytes).unwrap();
        bytes
    };
    let five = |version: u64, until: ciborium::Value, certificate: &[u8]| {
        let array = |der: &[u8]| ciborium::Value::Array(vec![der.to_vec().into()]);
        let parts = vec![version.into(), NOW.into(), until, array(certificate), array(list)];
        cbor(&ciborium::Value::Array(parts))
    };
    let leaf = entries[0].der;
    let good = five(1, UNTIL.into(), leaf);
    for (payload, part) in [
        (good.clone(), None),
        (Vec::new(), Some("no CBOR")),
        (cbor(&7.into()), Some("array of five")),
        (five(2, UNTIL.into(), leaf), Some("version other than 1")),
        (five(1, "soon".into(), leaf), Some("no number")),
        (five(1, UNTIL.into(), list), Some("a list among certificates")),
        (five(1, UNTIL.into(), b"junk"), Some("collateral-format")),
        ([&good[..], &[0]].concat(), Some("behind the payload")),
    ] {
        let signed = envelope(payload, "application/vnd.cloister.collateral+cbor", &key);
        match (Bundle::unverified(&signed), part) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (other, part) => panic!("{other:?} where {part:?} was expected"),
        }
    }
    let other = envelope(good, "application/cbor", &key);
    assert!(!Bundle::is_one(&other), "another content type is another kind of file");
}

/// A signed payload that says it is of this type.
fn envelope(payload: Vec<u8>, content_type: &str, key: &EcdsaKeyPair) -> Vec<u8> {
    use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, iana};
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::ES384)
        .content_type(content_type.to_owned())
        .build();
    let sign = |bytes: &[u8]| key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec();
    CoseSign1Builder::new()
        .protected(protected)
        .payload(payload)
        .create_signature(&[], sign)
        .build()
        .to_vec()
        .unwrap()
}
