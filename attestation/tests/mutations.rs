//! For every rule, documents that are correctly made and signed but for one thing, and that
//! this rule alone refuses.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use cloister_attestation::nitro::{self, ReferenceValues, Roots};
use cloister_attestation::{Binding, Cache, Clock, Freshness, Nonce};
use cloister_simulated::mutations::rcgen::{
    BasicConstraints, CustomExtension, IsCa, KeyUsagePurpose,
};
use cloister_simulated::mutations::{Issued, Plan, Value, set_validity, to_cbor};
use cloister_simulated::{LEAF_LIFETIME, Pcrs, pcr};
use common::{BINDING, Carried, Case, NONCE, NOW, approved, bytes, field, now, other_root};

/// What is wrong, the rule that refuses it, and the change that makes it so.
type Mutation = (&'static str, &'static str, fn(&mut Case));

const DAY: Duration = Duration::from_hours(24);

#[rustfmt::skip] // a table
const MUTATIONS: &[Mutation] = &[
    ("a certificate without a document", "certificate.document", |c| c.in_certificate(Carried::NoDocument)),
    ("a certificate with two documents", "certificate.document", |c| c.in_certificate(Carried::TwoDocuments)),
    ("a document in a certificate of another key", "certificate.key", |c| c.in_certificate(Carried::Nothing)),

    ("no bytes", "evidence.size", |c| c.on_bytes(Vec::clear)),
    ("16385 bytes", "evidence.size", |c| c.on_bytes(|b| b.resize(16 * 1024 + 1, 0))),

    ("an array of three", "cose.structure", |c| c.on_parts(|p| { p.pop(); })),
    ("an array of five", "cose.structure", |c| c.on_parts(|p| p.push(Value::Null))),
    ("tag 17", "cose.structure", |c| c.on_bytes(|b| b.insert(0, 0xd1))),
    ("tag 18 twice", "cose.structure", |c| c.on_bytes(|b| { b.insert(0, 0xd2); b.insert(0, 0xd2); })),
    ("a detached payload", "cose.structure", |c| c.on_parts(|p| p[2] = Value::Null)),
    ("a signature in text", "cose.structure", |c| c.on_parts(|p| p[3] = Value::Text("r, s".into()))),
    ("the end cut off", "cose.structure", |c| c.on_bytes(|b| b.truncate(b.len() - 1))),
    ("a length that is not there", "cose.structure", |c| c.on_bytes(|b| *b = vec![0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),

    ("a byte appended", "cose.trailing", |c| c.on_bytes(|b| b.push(0))),

    ("ES256", "cose.algorithm", |c| c.on_draft(|d| d.protected = vec![0xa1, 0x01, 0x26])),
    ("ES512", "cose.algorithm", |c| c.on_draft(|d| d.protected = vec![0xa1, 0x01, 0x38, 0x23])),
    ("an algorithm in text", "cose.algorithm", |c| c.on_draft(|d| d.protected = vec![0xa1, 0x01, 0x65, b'E', b'S', b'3', b'8', b'4'])),
    ("no protected header", "cose.algorithm", |c| c.on_draft(|d| d.protected = Vec::new())),
    ("an algorithm only in the unprotected header", "cose.algorithm", |c| c.on_draft(|d| {
        d.protected = vec![0xa0];
        d.unprotected = Value::Map(vec![(1.into(), (-35).into())]);
    })),
    ("an algorithm twice", "cose.algorithm", |c| c.on_draft(|d| d.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22])),
    ("bytes after the protected header", "cose.algorithm", |c| c.on_draft(|d| d.protected.push(0))),

    ("a critical header", "cose.critical", |c| c.on_draft(|d| d.protected = vec![0xa3, 0x01, 0x38, 0x22, 0x02, 0x81, 0x04, 0x04, 0x41, 0x00])),
    ("an empty list of critical headers", "cose.critical", |c| c.on_draft(|d| d.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x02, 0x80])),

    ("a key id in the unprotected header", "cose.unprotected", |c| c.on_draft(|d| d.unprotected = Value::Map(vec![(4.into(), Value::Bytes(vec![0]))]))),
    ("the algorithm in the unprotected header, too", "cose.unprotected", |c| c.on_draft(|d| d.unprotected = Value::Map(vec![(1.into(), (-35).into())]))),
    ("something in the unprotected header after signing", "cose.unprotected", |c| c.on_parts(|p| p[1] = Value::Map(vec![(Value::Text("x".into()), Value::Null)]))),

    ("a signature of 95 bytes", "cose.signature-size", |c| c.on_parts(|p| { bytes(&mut p[3]).pop(); })),
    ("a signature of 97 bytes", "cose.signature-size", |c| c.on_parts(|p| bytes(&mut p[3]).push(0))),

    ("an empty payload", "payload.size", |c| c.on_draft(|d| d.payload = Some(Vec::new()))),

    ("a field twice", "payload.structure", |c| c.on_draft(|d| { let last = d.fields[0].clone(); d.fields.push(last); })),
    ("an unknown field twice", "payload.structure", |c| c.on_draft(|d| for _ in 0..2 { d.fields.push((Value::from(99), Value::Null)); })),
    ("65 fields", "payload.structure", |c| c.on_draft(|d| for key in 0..56 { d.fields.push((Value::from(key), Value::Null)); })),
    ("bytes after the payload's map", "payload.structure", |c| c.on_draft(|d| { let mut p = d.encoded_fields(); p.push(0); d.payload = Some(p); })),
    ("an array as payload", "payload.structure", |c| c.on_draft(|d| d.payload = Some(vec![0x80]))),
    ("a payload that is no CBOR", "payload.structure", |c| c.on_draft(|d| d.payload = Some(vec![0xff; 20]))),
    ("a field nested 40 deep", "payload.structure", |c| c.on_draft(|d| d.set("new", (0..40).fold(Value::Null, |v, _| Value::Array(vec![v]))))),

    ("a NitroTPM document", "payload.kind", |c| c.on_draft(|d| for (key, _) in &mut d.fields {
        if *key == Value::Text("pcrs".into()) { *key = Value::Text("nitrotpm_pcrs".into()); }
    })),
    ("an enclave's document where an instance's is expected", "payload.kind", |c| { c.of_instance(); c.on_draft(|d| for (key, _) in &mut d.fields {
        if *key == Value::Text("nitrotpm_pcrs".into()) { *key = Value::Text("pcrs".into()); }
    }); }),
    ("an instance that booted something else", "pcrs.tpm", |c| { c.on_registers(|r| bytes(&mut r[4].1)[0] ^= 1); c.of_instance(); }),
    ("both kinds of registers", "payload.kind", |c| c.on_draft(|d| d.set("nitrotpm_pcrs", Value::Map(Vec::new())))),

    ("no certificate", "payload.certificates", |c| c.on_draft(|d| d.remove("certificate"))),
    ("a null certificate", "payload.certificates", |c| c.on_draft(|d| d.set("certificate", Value::Null))),
    ("a certificate in text", "payload.certificates", |c| c.on_draft(|d| d.set("certificate", Value::Text("PEM".into())))),
    ("a certificate of 1025 bytes", "payload.certificates", |c| c.on_draft(|d| d.set("certificate", Value::Bytes(vec![0; 1025])))),
    ("no cabundle", "payload.certificates", |c| c.on_draft(|d| d.remove("cabundle"))),
    ("a null cabundle", "payload.certificates", |c| c.on_draft(|d| d.set("cabundle", Value::Null))),
    ("an empty cabundle", "payload.certificates", |c| c.on_chain(|i| i.cabundle().clear())),
    ("an empty entry of cabundle", "payload.certificates", |c| c.on_chain(|i| i.cabundle().push(Vec::new()))),
    ("an entry of 1025 bytes", "payload.certificates", |c| c.on_chain(|i| i.cabundle().push(vec![0; 1025]))),
    ("seven entries of cabundle", "payload.certificates", |c| c.on_chain(|i| i.cabundle().resize(7, vec![0]))),

    ("a root of the same name", "root.pinned", |c| c.on_expectations(|e| e.roots = other_root())),
    ("simulated evidence where AWS's root is pinned", "root.pinned", |c| c.on_expectations(|e| e.roots = Roots::aws())),
    ("cabundle reversed", "root.pinned", |c| c.on_chain(|i| i.cabundle().reverse())),

    ("a root that has expired", "root.validity", |c| c.on_plan(|p| set_validity(&mut p.root, earlier(864_000), DAY).unwrap())),
    ("a root of the future", "root.validity", |c| c.on_plan(|p| set_validity(&mut p.root, later(86_400), 10 * DAY).unwrap())),

    ("a root that is no authority", "root.usage", |c| c.on_plan(|p| p.root.is_ca = IsCa::ExplicitNoCa)),
    ("a root that may not sign certificates", "root.usage", |c| c.on_plan(|p| p.root.key_usages = vec![KeyUsagePurpose::CrlSign])),
    ("a root without key usage", "root.usage", |c| c.on_plan(|p| p.root.key_usages.clear())),
    ("a root for no intermediates", "root.usage", |c| c.on_plan(|p| p.root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)))),

    ("a leaf that has expired", "chain.path", |c| c.on_plan(|p| set_validity(&mut p.leaf, earlier(10_801), LEAF_LIFETIME).unwrap())),
    ("a leaf of the future", "chain.path", |c| c.on_plan(|p| set_validity(&mut p.leaf, later(10), LEAF_LIFETIME).unwrap())),
    ("a leaf that is an authority", "chain.path", |c| c.on_plan(|p| p.leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
    ("a leaf with an unknown critical extension", "chain.path", |c| c.on_plan(|p| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        p.leaf.custom_extensions.push(extension);
    })),
    ("a leaf whose signature was changed", "chain.path", |c| c.on_chain(|i| *i.certificate().last_mut().unwrap() ^= 1)),
    ("an intermediate that is no authority", "chain.path", |c| c.on_plan(|p| p.intermediates[0].is_ca = IsCa::ExplicitNoCa)),
    ("an intermediate that has expired", "chain.path", |c| c.on_plan(|p| set_validity(&mut p.intermediates[0], earlier(864_000), DAY).unwrap())),
    ("an intermediate that is not there", "chain.path", |c| c.on_chain(|i| { i.cabundle().remove(1); })),
    ("an intermediate of another vendor", "chain.path", |c| c.on_chain(|i| i.cabundle()[1] = foreign_intermediate())),
    ("more intermediates than one allows", "chain.path", |c| c.on_plan(|p| {
        p.root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let second = p.intermediates[0].clone();
        p.intermediates.push(second);
    })),

    ("an intermediate twice", "chain.order", |c| { c.on_plan(unlimited_root); c.on_chain(|i| { let again = i.cabundle()[1].clone(); i.cabundle().push(again); }); }),
    ("an intermediate of another vendor as well", "chain.order", |c| { c.on_plan(unlimited_root); c.on_chain(|i| i.cabundle().push(foreign_intermediate())); }),

    ("a leaf that may not sign", "chain.usage", |c| c.on_plan(|p| p.leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement])),
    ("a leaf without key usage", "chain.usage", |c| c.on_plan(|p| p.leaf.key_usages.clear())),
    ("an intermediate that may not sign certificates", "chain.usage", |c| c.on_plan(|p| p.intermediates[0].key_usages = vec![KeyUsagePurpose::DigitalSignature])),

    ("a leaf on P-256", "leaf.key", |c| { c.on_plan(|p| p.leaf_on_p256 = true); c.on_parts(|p| bytes(&mut p[3]).resize(96, 0)); }),

    ("a bit of the payload", "cose.signature", |c| c.on_parts(|p| {
        let payload = bytes(&mut p[2]);
        let at = payload.windows(9).position(|w| w == b"simulated").unwrap();
        payload[at] ^= 1;
    })),
    ("another protected header", "cose.signature", |c| c.on_parts(|p| *bytes(&mut p[0]) = vec![0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x00])),
    ("a bit of r", "cose.signature", |c| c.on_parts(|p| bytes(&mut p[3])[47] ^= 1)),
    ("a bit of s", "cose.signature", |c| c.on_parts(|p| bytes(&mut p[3])[95] ^= 1)),
    ("r of 0", "cose.signature", |c| c.on_parts(|p| bytes(&mut p[3])[..48].fill(0))),
    ("s beyond the order", "cose.signature", |c| c.on_parts(|p| bytes(&mut p[3])[48..].fill(0xff))),
    ("the key of another leaf", "cose.signature", |c| c.on_parts(|p| p[3] = Value::Bytes(Case::new().signature()))),

    ("no module_id", "field.module_id", |c| c.on_draft(|d| d.remove("module_id"))),
    ("an empty module_id", "field.module_id", |c| c.on_draft(|d| d.set("module_id", Value::Text(String::new())))),
    ("a module_id in bytes", "field.module_id", |c| c.on_draft(|d| d.set("module_id", Value::Bytes(vec![1])))),
    ("a module_id of 257 bytes", "field.module_id", |c| c.on_draft(|d| d.set("module_id", Value::Text("i".repeat(257))))),

    ("SHA256", "field.digest", |c| c.on_draft(|d| d.set("digest", Value::Text("SHA256".into())))),
    ("no digest", "field.digest", |c| c.on_draft(|d| d.remove("digest"))),

    ("a timestamp of 0", "field.timestamp", |c| c.on_draft(|d| d.set("timestamp", 0.into()))),
    ("a negative timestamp", "field.timestamp", |c| c.on_draft(|d| d.set("timestamp", (-1).into()))),
    ("a fraction as timestamp", "field.timestamp", |c| c.on_draft(|d| d.set("timestamp", Value::Float(1.5e12)))),
    ("no timestamp", "field.timestamp", |c| c.on_draft(|d| d.remove("timestamp"))),

    ("no pcrs", "field.pcrs", |c| c.on_draft(|d| d.remove("pcrs"))),
    ("empty pcrs", "field.pcrs", |c| c.on_draft(|d| d.set("pcrs", Value::Map(Vec::new())))),
    ("33 registers", "field.pcrs", |c| c.on_registers(|r| for index in 16..33 { r.push((index.into(), Value::Bytes(vec![0; 48]))); })),
    ("register 32", "field.pcrs", |c| c.on_registers(|r| r.push((32.into(), Value::Bytes(vec![0; 48]))))),
    ("register -1", "field.pcrs", |c| c.on_registers(|r| r.push(((-1).into(), Value::Bytes(vec![0; 48]))))),
    ("register 0 twice", "field.pcrs", |c| c.on_registers(|r| { let again = r[0].clone(); r.push(again); })),
    ("a register of 47 bytes", "field.pcrs", |c| c.on_registers(|r| r[9].1 = Value::Bytes(vec![0; 47]))),
    ("a register in text", "field.pcrs", |c| c.on_registers(|r| r[9].1 = Value::Text("00".into()))),

    ("an empty public_key", "field.public_key", |c| c.on_draft(|d| d.set("public_key", Value::Bytes(Vec::new())))),
    ("a public_key of 1025 bytes", "field.public_key", |c| c.on_draft(|d| d.set("public_key", Value::Bytes(vec![0; 1025])))),
    ("user_data of 1025 bytes", "field.user_data", |c| c.on_draft(|d| d.set("user_data", Value::Bytes(vec![0; 1025])))),
    ("user_data in text", "field.user_data", |c| c.on_draft(|d| d.set("user_data", Value::Text("07".into())))),
    ("a nonce of 1025 bytes", "field.nonce", |c| c.on_draft(|d| d.set("nonce", Value::Bytes(vec![0; 1025])))),
    ("a nonce that is a number", "field.nonce", |c| c.on_draft(|d| d.set("nonce", 7.into()))),

    ("PCR0, PCR1 and PCR2 zero", "debug", |c| c.on_registers(|r| for (_, value) in &mut r[..3] { *value = Value::Bytes(vec![0; 48]); })),
    ("no PCR2, which nobody asked for", "debug", |c| { c.approve(&[0, 1]); c.on_registers(|r| { r.remove(2); }); }),

    ("another PCR0", "pcrs.image", |c| c.on_registers(|r| bytes(&mut r[0].1)[47] ^= 1)),
    ("another PCR1", "pcrs.image", |c| c.on_registers(|r| bytes(&mut r[1].1)[0] ^= 1)),
    ("another PCR2", "pcrs.image", |c| c.on_registers(|r| bytes(&mut r[2].1)[0] ^= 1)),
    ("a PCR0 that only begins right", "pcrs.image", |c| c.on_registers(|r| bytes(&mut r[0].1).truncate(32))),
    ("an enclave in production where only debug is accepted", "pcrs.image", |c| c.on_expectations(|e| {
        e.reference = ReferenceValues::debug_only(nitro::DebugReference::new("debug", nitro::Pcrs::new()).unwrap());
    })),
    ("another PCR8", "pcrs.signer", |c| c.on_registers(|r| bytes(&mut r[8].1)[47] ^= 1)),
    ("no PCR8", "pcrs.signer", |c| c.on_registers(|r| { r.remove(8); })),
    ("another PCR3", "pcrs.deployment", |c| c.on_registers(|r| bytes(&mut r[3].1)[0] ^= 1)),
    ("another PCR4", "pcrs.deployment", |c| c.on_registers(|r| bytes(&mut r[4].1)[0] ^= 1)),
    ("another PCR5", "pcrs.other", |c| c.on_registers(|r| bytes(&mut r[5].1)[0] ^= 1)),
    ("no PCR5", "pcrs.other", |c| c.on_registers(|r| { r.remove(5); })),

    ("a document of 301 seconds ago", "time.age", |c| c.on_draft(|d| d.set("timestamp", ((NOW - 301) * 1000).into()))),
    ("a document of 1970", "time.age", |c| c.on_draft(|d| d.set("timestamp", 1.into()))),
    ("a document from in 61 seconds", "time.skew", |c| c.on_draft(|d| d.set("timestamp", ((NOW + 61) * 1000).into()))),
    ("a document from the end of time", "time.skew", |c| c.on_draft(|d| d.set("timestamp", u64::MAX.into()))),

    ("another nonce", "nonce", |c| c.on_expectations(|e| e.freshness = Freshness::Nonce(Nonce::new([9; 32]).unwrap()))),
    ("a null nonce", "nonce", |c| c.on_draft(|d| d.set("nonce", Value::Null))),
    ("no nonce", "nonce", |c| c.on_draft(|d| d.remove("nonce"))),
    ("a nonce that only begins right", "nonce", |c| c.on_draft(|d| d.set("nonce", Value::Bytes(NONCE[..31].to_vec())))),
    ("a nonce within a binding that is not compared", "nonce", |c| c.on_expectations(|e| {
        e.freshness = Freshness::WithinBinding;
        e.binding = Binding::AcceptAnyBinding;
    })),

    ("another binding", "binding", |c| c.on_expectations(|e| e.binding = Binding::Exactly([8; 64]))),
    ("null user_data", "binding", |c| c.on_draft(|d| d.set("user_data", Value::Null))),
    ("user_data that only begins right", "binding", |c| c.on_draft(|d| d.set("user_data", Value::Bytes(BINDING[..63].to_vec())))),
    ("user_data that goes on", "binding", |c| c.on_draft(|d| d.set("user_data", Value::Bytes([&BINDING[..], &[0]].concat())))),
];

#[test]
fn the_case_that_is_mutated_passes_every_rule() {
    assert!(Case::new().verify().accepted());
    let mut carried = Case::new();
    carried.in_certificate(Carried::Key);
    let verdict = carried.verify();
    assert!(verdict.accepted(), "{verdict}");
    let made: BTreeSet<_> = verdict.checks().iter().map(|check| check.name).collect();
    let mut rules: BTreeSet<_> = nitro::RULES.iter().map(|rule| rule.name).collect();
    // Of an instance, not of an enclave.
    rules.remove("pcrs.tpm");
    assert_eq!(made, rules, "each rule is checked once in a complete verification");
    assert_eq!(verdict.checks().len(), rules.len());
    let opted_out: Vec<_> = verdict.opted_out().map(|check| check.name).collect();
    assert_eq!(opted_out, ["root.pinned"], "the simulated root is always visible");
}

#[test]
fn each_mutation_is_refused_by_its_rule_alone() {
    let mut wrong = Vec::new();
    for (what, rule, mutate) in MUTATIONS {
        let mut case = Case::new();
        mutate(&mut case);
        let verdict = case.verify();
        let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
        if failed != [*rule] || verdict.accepted() {
            wrong.push(format!("{what}: expected {rule} to fail, found {failed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_mutation() {
    let rules: BTreeSet<_> = nitro::RULES.iter().map(|rule| rule.name).collect();
    let mutated: BTreeSet<_> = MUTATIONS.iter().map(|(_, rule, _)| *rule).collect();
    assert_eq!(rules.len(), nitro::RULES.len(), "names are unique");
    assert_eq!(rules, mutated, "rules and mutations match");
}

/// What is unusual, and the change that makes it so.
type Variation = (&'static str, fn(&mut Case));

#[rustfmt::skip] // a table
const VARIATIONS: &[Variation] = &[
    ("an instance's document, as such", Case::of_instance),
    ("a certificate whose key the document names", |c| c.in_certificate(Carried::Key)),
    ("a certificate whose key's digest is in the user data", |c| c.in_certificate(Carried::Digest)),
    ("tag 18", |c| c.on_draft(|d| d.tagged = true)),
    ("a payload of indefinite length", |c| c.on_draft(|d| { d.use_indefinite_length(); })),
    ("an unknown field", |c| c.on_draft(|d| d.set("new", Value::Array(vec![1.into(), Value::Null])))),
    ("an unknown field that is no text", |c| c.on_draft(|d| d.fields.push((7.into(), Value::Bytes(vec![0; 100]))))),
    ("an unknown header that is not critical", |c| c.on_draft(|d| d.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x00])),
    ("an algorithm marked as critical", |c| c.on_draft(|d| d.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x01])),
    ("an absent public_key", |c| c.on_draft(|d| d.remove("public_key"))),
    ("a public_key of 1024 bytes", |c| c.on_draft(|d| d.set("public_key", Value::Bytes(vec![1; 1024])))),
    ("an absent nonce that nobody asked for", |c| { c.on_draft(|d| d.remove("nonce")); c.on_expectations(|e| e.freshness = Freshness::WithinBinding); }),
    ("empty user_data that nobody compares", |c| { c.on_draft(|d| d.set("user_data", Value::Bytes(Vec::new()))); c.on_expectations(|e| e.binding = Binding::AcceptAnyBinding); }),
    ("user_data of 1024 bytes that nobody compares", |c| { c.on_draft(|d| d.set("user_data", Value::Bytes(vec![1; 1024]))); c.on_expectations(|e| e.binding = Binding::AcceptAnyBinding); }),
    ("exactly 300 seconds old", |c| c.on_draft(|d| d.set("timestamp", ((NOW - 300) * 1000).into()))),
    ("exactly 60 seconds ahead", |c| c.on_draft(|d| d.set("timestamp", ((NOW + 60) * 1000).into()))),
    ("two intermediates", |c| c.on_plan(|p| { unlimited_root(p); let mut first = p.intermediates[0].clone(); first.is_ca = IsCa::Ca(BasicConstraints::Constrained(1)); p.intermediates.insert(0, first); })),
    ("an intermediate with a path length that suffices", |c| c.on_plan(|p| p.intermediates[0].is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
];

#[test]
fn what_real_documents_may_do_is_accepted() {
    for (what, vary) in VARIATIONS {
        let mut case = Case::new();
        vary(&mut case);
        let verdict = case.verify();
        assert!(verdict.accepted(), "{what}:\n{verdict}");
    }
}

#[test]
fn authorities_that_were_verified_before_stand_for_themselves_only() {
    let mut chain = Plan::new(now()).unwrap().issue().unwrap();
    let roots = Roots::simulated(&chain.root_der).unwrap();
    let mut cache = Cache::new();
    let mut verify = |issued: &Issued, at: u64| {
        let pcrs: Pcrs = (0..5).map(|index| (index, pcr(&[index]))).collect();
        let draft = issued.draft(&BINDING, Some(&NONCE), &pcrs, NOW * 1000).unwrap();
        let (_, mut expectations) = Case::new().document();
        expectations.roots = roots;
        expectations.reference =
            ReferenceValues::production(nitro::Reference::new("any", approved(&[0])).unwrap());
        expectations.clock = Clock::at(common::at(at)).max_age(100 * DAY);
        let verdict = nitro::verify_with(&draft.sign().unwrap(), &expectations, &mut cache);
        verdict.failed().map(|check| check.name).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert!(verify(&chain, NOW).is_empty());
    }
    // A leaf that has ended, though its authorities are known.
    assert_eq!(verify(&chain, NOW + 10_801), ["chain.path"]);
    // The known authorities with a leaf that another vendor has issued.
    let mut mixed = Plan::new(now()).unwrap().issue().unwrap();
    *mixed.cabundle() = chain.cabundle().clone();
    assert_eq!(verify(&mixed, NOW), ["chain.path"]);
}

#[test]
fn a_splice_of_two_documents_is_refused() {
    let mut other = Plan::new(now()).unwrap().issue().unwrap();
    let other = other.certificate().clone();
    let mut case = Case::new();
    case.on_draft(move |draft| draft.set("certificate", Value::Bytes(other)));
    let verdict = case.verify();
    let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
    assert_eq!(failed, ["chain.path", "cose.signature"]);
    assert!(verdict.claims().is_none(), "unverified claims are not handed out");
}

#[test]
fn no_prefix_and_no_flipped_byte_panics_or_passes() {
    let (document, expectations) = Case::new().document();
    for length in 0..document.len() {
        assert!(!nitro::verify(&document[..length], &expectations).accepted());
    }
    // Every bit matters; a flip in each byte, with the bit varying, samples them all.
    for at in (0..document.len()).step_by(31) {
        let mut changed = document.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!nitro::verify(&changed, &expectations).accepted(), "byte {at}");
    }
}

fn earlier(seconds: u64) -> cloister_simulated::UnixTime {
    common::at(NOW - seconds)
}

fn later(seconds: u64) -> cloister_simulated::UnixTime {
    common::at(NOW + seconds)
}

fn unlimited_root(plan: &mut Plan) {
    plan.root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn foreign_intermediate() -> Vec<u8> {
    let mut issued = Plan::new(now()).unwrap().issue().unwrap();
    issued.cabundle()[1].clone()
}

#[test]
fn the_case_is_built_as_it_says() {
    let (document, _) = Case::new().document();
    let Ok(Value::Array(parts)) = ciborium::from_reader(&document[..]) else {
        panic!("an untagged array")
    };
    assert_eq!(parts.len(), 4);
    assert_eq!(to_cbor(&Value::Array(parts.clone())), document);
    let payload: Value = ciborium::from_reader(&parts[2].as_bytes().unwrap()[..]).unwrap();
    assert_eq!(field(&payload, "digest"), &Value::Text("SHA384".into()));
    assert_eq!(field(&payload, "user_data"), &Value::Bytes(BINDING.to_vec()));
}
