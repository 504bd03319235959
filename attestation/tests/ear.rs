//! Verdicts as signed attestation results.

mod common;
mod snp_common;

use cloister_attestation::snp::Allowance;
use cloister_attestation::{AttestationResult, EarError, Freshness, Tier};
use common::NOW;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

fn key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
}

fn result(case: snp_common::Case) -> AttestationResult {
    AttestationResult::of(&case.verify(), common::at(NOW), "measurements.toml")
}

#[test]
fn a_signed_result_is_what_was_signed() {
    let result = result(snp_common::Case::new());
    let key = key();
    let signed = result.sign(&key, &SystemRandom::new()).unwrap();
    let public = key.public_key().as_ref();
    assert_eq!(AttestationResult::open(&signed, public), Ok(result));

    let other = self::key();
    let opened = AttestationResult::open(&signed, other.public_key().as_ref());
    assert_eq!(opened, Err(EarError::Signature));
    for at in 0..signed.len() {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        assert!(AttestationResult::open(&changed, public).is_err(), "byte {at}");
        assert!(AttestationResult::open(&signed[..at], public).is_err());
    }
    assert!(AttestationResult::open(&[&signed[..], &[0]].concat(), public).is_err());
}

#[test]
fn the_claims_have_the_numbers_of_the_drafts() {
    let key = key();
    let signed = result(snp_common::Case::new()).sign(&key, &SystemRandom::new()).unwrap();
    let envelope: ciborium::Value = ciborium::from_reader(&signed[..]).unwrap();
    let parts = envelope.as_array().unwrap();
    assert_eq!(parts[0].as_bytes().unwrap(), &[0xa1, 0x01, 0x38, 0x22], "ES384");
    let claims: ciborium::Value = ciborium::from_reader(&parts[2].as_bytes().unwrap()[..]).unwrap();
    let keys: Vec<i64> = claims
        .as_map()
        .unwrap()
        .iter()
        .map(|(key, _)| key.as_integer().unwrap().try_into().unwrap())
        .collect();
    assert_eq!(keys, [6, 10, 265, 266, 1004]);
    let appraisal = &claims.as_map().unwrap()[3].1.as_map().unwrap()[0].1;
    let keys: Vec<i64> = appraisal
        .as_map()
        .unwrap()
        .iter()
        .map(|(key, _)| key.as_integer().unwrap().try_into().unwrap())
        .collect();
    assert_eq!(keys, [1000, 1001, 1003]);
}

#[test]
fn a_simulated_platform_is_never_affirmed() {
    let accepted = snp_common::Case::new().verify();
    assert!(accepted.accepted());
    let result = result(snp_common::Case::new());
    assert_eq!((result.status, result.vector.hardware), (Tier::Contraindicated, 97));
    assert_eq!((result.vector.instance_identity, result.vector.executables), (2, 3));
}

#[test]
fn each_aspect_follows_its_rules() {
    let vector = |change: &dyn Fn(&mut snp_common::Case)| {
        let mut case = snp_common::Case::new();
        change(&mut case);
        result(case).vector
    };
    assert_eq!(vector(&|c| c.report(0x090, &[0])).executables, 33);
    assert_eq!(vector(&|c| c.report(0x00a, &[0x0b])).configuration, 96);
    let allowed = vector(&|c| {
        c.report(0x00a, &[0x0b]);
        c.allow(Allowance::Debug);
    });
    assert_eq!((allowed.configuration, allowed.runtime_opaque), (32, 96));
    let forged = vector(&|c| c.on_signed(|s| s.report[0x50] ^= 1));
    assert_eq!((forged.instance_identity, forged.executables, forged.hardware), (99, 0, 0));
    let replayed = vector(&|c| c.on_expectations(|e| e.freshness = Freshness::AcceptAnyNonce));
    assert_eq!(replayed.instance_identity, 0);
    let other = vector(&|c| c.report(0x1a0, &[0xc6]));
    assert_eq!(other.instance_identity, 97);
}
