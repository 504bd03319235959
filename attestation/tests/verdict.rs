//! What a verdict says: all failures, every opt-out, as a page and as JSON.

mod common;

use cloister_attestation::nitro::{self, PcrIndex, Reference, ReferenceValues};
use cloister_attestation::{Binding, Freshness, Outcome};
use cloister_simulated::mutations::Value;
use common::{Case, NOW, approved, bytes};

#[test]
fn all_failures_of_a_step_are_listed() {
    let mut case = Case::new();
    case.on_draft(|draft| draft.set("timestamp", ((NOW - 999) * 1000).into()));
    case.on_registers(|registers| bytes(&mut registers[0].1)[0] ^= 1);
    case.on_expectations(|expectations| expectations.binding = Binding::Exactly([9; 64]));
    let verdict = case.verify();
    let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
    assert_eq!(failed, ["pcrs.image", "time.age", "binding"]);
    let denial = verdict.accept().unwrap_err().to_string();
    for name in failed {
        assert!(denial.contains(name), "{denial}");
    }
}

#[test]
fn a_debug_enclave_is_accepted_only_visibly() {
    let mut case = Case::new();
    case.on_registers(|registers| {
        for (_, value) in &mut registers[..3] {
            *value = Value::Bytes(vec![0; 48]);
        }
    });
    case.on_expectations(|expectations| {
        let debug = nitro::DebugReference::new("staging", nitro::Pcrs::new()).unwrap();
        expectations.reference = expectations.reference.clone().or_debug(debug);
    });
    let verdict = case.verify();
    assert!(verdict.accepted(), "{verdict}");
    let opted_out: Vec<_> = verdict.opted_out().map(|check| check.name).collect();
    assert_eq!(opted_out, ["root.pinned", "debug", "pcrs.image"]);
}

#[test]
fn every_opt_out_is_in_the_verdict() {
    let mut case = Case::new();
    case.on_expectations(|expectations| {
        expectations.freshness = Freshness::AcceptAnyNonce;
        expectations.binding = Binding::AcceptAnyBinding;
    });
    let verdict = case.verify();
    assert!(verdict.accepted(), "{verdict}");
    let opted_out: Vec<_> = verdict.opted_out().map(|check| check.name).collect();
    assert_eq!(opted_out, ["root.pinned", "nonce", "binding"]);
}

#[test]
fn any_of_several_approved_enclaves_will_do_but_only_as_a_whole() {
    let approve = |image: u8, kernel: u8| {
        let mut pcrs = approved(&[0, 1, 2]);
        for (index, seed) in [(0, image), (1, kernel)] {
            let value = nitro::Pcr::new(cloister_simulated::pcr(&[seed])).unwrap();
            pcrs.insert(PcrIndex::new(index).unwrap(), value);
        }
        Reference::new(format!("{image}{kernel}"), pcrs).unwrap()
    };
    let values = |references: [Reference; 2]| {
        let [first, second] = references;
        ReferenceValues::production(first).or(second)
    };
    let mut case = Case::new();
    case.on_expectations(move |e| e.reference = values([approve(50, 51), approve(0, 1)]));
    assert!(case.verify().accepted());
    // PCR0 of the one and PCR1 of the other are not enough.
    let mut case = Case::new();
    case.on_expectations(move |e| e.reference = values([approve(0, 51), approve(50, 1)]));
    let verdict = case.verify();
    assert_eq!(verdict.failed().map(|check| check.name).collect::<Vec<_>>(), ["pcrs.image"]);
}

#[test]
fn the_verdict_is_json_and_a_page() {
    let mut case = Case::new();
    case.on_expectations(|expectations| expectations.binding = Binding::Exactly([8; 64]));
    let verdict = case.verify();
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["accepted"], false);
    assert_eq!(json["platform"], "simulated");
    let binding = json["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(binding["name"], "binding");
    assert_eq!(binding["outcome"], "failed");
    for part in ["rule", "expected", "found", "remedy"] {
        assert!(!binding[part].as_str().unwrap().is_empty(), "{part}");
    }
    assert_eq!(json["claims"]["user_data"], "07".repeat(64));
    assert_eq!(json["claims"]["public_key"], serde_json::Value::Null);

    let page = verdict.to_string();
    assert!(page.starts_with("DENIED: SIMULATED"), "{page}");
    assert!(page.contains("binding: user_data is the binding"), "{page}");
    let outcome = verdict.checks().last().unwrap().outcome;
    assert_eq!(outcome, Outcome::Failed);
}
