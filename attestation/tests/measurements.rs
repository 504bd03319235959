//! `measurements.toml`: round trips, what it refuses, and how it chooses.

mod common;
mod snp_common;

use cloister_attestation::nitro::{DebugReference, Pcrs, Reference};
use cloister_attestation::snp::{self, ReferenceValues};
use cloister_attestation::{
    Binding, Claims, Clock, Freshness, Hex, Measurements, Platform, RootCertificate,
    SimulatedReference,
};
use cloister_simulated::{LEAF_LIFETIME, Vendor, pcr};
use common::{BINDING, Case, NOW, approved, now};
use serde::{Deserialize, Serialize};

/// Stands for the policy of another crate.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Policy {
    enclaves: Measurements,
}

fn simulated(vendor: &Vendor) -> SimulatedReference {
    let root = RootCertificate::from_der(vendor.root_der()).unwrap();
    SimulatedReference::new("simulated enclave", root, approved(&[0, 1, 2])).unwrap()
}

fn everything() -> Measurements {
    let vendor = Vendor::generate(now()).unwrap();
    let mut all = Measurements::nitro(Reference::new("enclave", approved(&[0, 1, 2, 8])).unwrap());
    all.merge(Measurements::simulated(simulated(&vendor)));
    let debug = DebugReference::new("staging", Pcrs::new()).unwrap();
    all.merge(Measurements::nitro_debug(debug));
    all
}

#[test]
fn toml_cbor_and_json_hold_the_same() {
    let policy = Policy { enclaves: everything() };
    let text = toml::to_string(&policy).unwrap();
    assert!(text.contains("BEGIN CERTIFICATE"), "{text}");
    assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy);
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);

    let mut cbor = Vec::new();
    ciborium::into_writer(&policy, &mut cbor).unwrap();
    assert_eq!(ciborium::from_reader::<Policy, _>(&cbor[..]).unwrap(), policy);
    // Bytes, not text: the register itself is in there.
    assert!(cbor.windows(48).any(|window| window == pcr(&[8])));
    assert!(cbor.len() < text.len() * 2 / 3, "{} against {}", cbor.len(), text.len());
}

#[test]
fn what_is_revoked_is_refused_whatever_approves_it() {
    let (document, _) = Case::new().document();
    let revoke = |list: &str, value: &str| {
        let text = everything_for(&document) + &format!("[revoked]\n{list} = [\"{value}\"]\n");
        let measurements = Measurements::from_toml(&text).unwrap();
        assert_eq!(Measurements::from_toml(&measurements.to_toml()).unwrap(), measurements);
        let verdict = measurements.appraise(
            &document,
            Clock::at(now()),
            Freshness::WithinBinding,
            Binding::Exactly(BINDING),
        );
        verdict.failed().map(|check| check.name).collect::<Vec<_>>()
    };
    assert_eq!(revoke("images", &hex::encode(pcr(&[0]))), ["revoked"]);
    assert_eq!(revoke("signers", &hex::encode(pcr(&[8]))), ["revoked"]);
    assert!(revoke("images", &hex::encode(pcr(&[1]))).is_empty());
    let error = Measurements::from_toml("[revoked]\nimages = []\n").unwrap_err();
    assert!(error.to_string().starts_with("[measurements-"), "{error}");

    let (signed, mut expectations) = snp_common::Case::new().signed();
    expectations.reference =
        ReferenceValues::new(snp::Reference::new(snp_common::Case::guest()).unwrap());
    let claims = snp::verify(&signed.report, &expectations).accept().unwrap();
    let Claims::SevSnp(claims) = claims else { panic!() };
    assert_eq!(claims.certified_chip(), Some(Hex([0xc5; 64])));
}

/// Measurements that approve the mutated case's document, by its own root.
fn everything_for(document: &[u8]) -> String {
    let envelope: ciborium::Value = ciborium::from_reader(document).unwrap();
    let payload = envelope.as_array().unwrap()[2].as_bytes().unwrap();
    let payload: ciborium::Value = ciborium::from_reader(&payload[..]).unwrap();
    let bundle = common::field(&payload, "cabundle").as_array().unwrap();
    let root = RootCertificate::from_der(bundle[0].as_bytes().unwrap().as_slice()).unwrap();
    let reference = SimulatedReference::new("case", root, approved(&[0, 1, 2, 8])).unwrap();
    Measurements::simulated(reference).to_toml()
}

#[test]
fn evidence_of_a_platform_that_is_not_approved_is_named() {
    let (signed, _) = snp_common::Case::new().signed();
    let (document, _) = Case::new().document();
    let nitro = Measurements::nitro(Reference::new("enclave", approved(&[0])).unwrap());
    let guest = snp::Reference::new(snp_common::Case::guest()).unwrap();
    let approved_guest = Measurements::snp(guest);
    for (measurements, evidence, platform) in
        [(&nitro, &signed.report, Platform::SevSnp), (&approved_guest, &document, Platform::Nitro)]
    {
        let verdict = measurements.appraise(
            evidence,
            Clock::at(now()),
            Freshness::WithinBinding,
            Binding::Exactly(BINDING),
        );
        let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
        assert_eq!((verdict.platform(), &failed[..]), (platform, &["platform.approved"][..]));
    }
    // And one that is, is verified under AMD's roots.
    let mut collateral = snp::Collateral::new();
    for der in [&signed.leaf, &signed.intermediate, &signed.root] {
        collateral.add(der).unwrap();
    }
    let verdict = approved_guest.appraise_with(
        &signed.report,
        &collateral,
        Clock::at(now()),
        Freshness::WithinBinding,
        Binding::Exactly(BINDING),
    );
    let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
    assert_eq!(failed, ["root.pinned"]);
    assert_eq!(Measurements::from_toml(&approved_guest.to_toml()).unwrap(), approved_guest);
    let mut cbor = Vec::new();
    ciborium::into_writer(&approved_guest, &mut cbor).unwrap();
    assert_eq!(ciborium::from_reader::<Measurements, _>(&cbor[..]).unwrap(), approved_guest);
}

#[test]
fn merging_adds_each_enclave_once() {
    let mut measurements = everything();
    let before = measurements.clone();
    measurements.merge(before.clone());
    assert_eq!(measurements, before);
    assert_eq!(before.platforms(), [Platform::Nitro, Platform::Simulated]);
}

#[test]
fn base64_without_pem_is_a_root_too() {
    let vendor = Vendor::generate(now()).unwrap();
    let pem = vendor.root_pem();
    let bare: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let root = RootCertificate::from_text(&bare).unwrap();
    assert_eq!(root.as_der(), vendor.root_der());
    assert_eq!(root, RootCertificate::from_text(&pem).unwrap());
    assert_eq!(root.to_pem(), pem);
}

#[test]
fn mistakes_are_named() {
    let good = "00112233445566778899aabbccddeeff".repeat(3);
    let zero = "0".repeat(96);
    let nitro = |pcrs: &str| format!("[[nitro]]\nname = \"n\"\n[nitro.pcrs]\n{pcrs}\n");
    let debug = |pcrs: &str| format!("[[nitro-debug]]\nname = \"n\"\n[nitro-debug.pcrs]\n{pcrs}\n");
    for (text, expected) in [
        (String::new(), "measurements-empty"),
        ("nitro = []".to_owned(), "measurements-empty"),
        (nitro(""), "reference-code"),
        (nitro(&format!("3 = \"{good}\"")), "reference-code"),
        (nitro(&format!("0 = \"{zero}\"")), "reference-zero"),
        (nitro(&format!("0 = \"{good}\"\n8 = \"{zero}\"")), "reference-zero"),
        (nitro(&format!("0 = \"{}\"", &good[2..])), "pcr-length"),
        (nitro(&format!("0 = \"{}\"", &good[..64])), "reference-length"),
        (nitro(&format!("0 = \"x{}\"", &good[1..])), "pcr-hex"),
        (nitro(&format!("32 = \"{good}\"")), "pcr-index"),
        (nitro(&format!("00 = \"{good}\"")), "pcr-index"),
        (nitro(&format!("pcr0 = \"{good}\"")), "pcr-index"),
        (debug(&format!("0 = \"{good}\"")), "reference-debug"),
        (
            format!("[[nitro]]\nname = \"n\"\ndebug = true\npcrs = {{ 0 = \"{good}\" }}"),
            "unknown field",
        ),
        (format!("[[nitre]]\nname = \"n\"\npcrs = {{ 0 = \"{good}\" }}"), "unknown field"),
        (format!("[[nitro]]\npcrs = {{ 0 = \"{good}\" }}"), "missing field `name`"),
        (
            format!("[[simulated]]\nname = \"n\"\npcrs = {{ 0 = \"{good}\" }}"),
            "missing field `root`",
        ),
        (
            format!("[[simulated]]\nname = \"n\"\nroot = \"AAAA\"\npcrs = {{ 0 = \"{good}\" }}"),
            "root-format",
        ),
    ] {
        let error = Measurements::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\nexpected {expected}, found {error}");
    }
}

#[test]
fn the_root_of_the_evidence_chooses_the_section_and_nothing_else() {
    let vendor = Vendor::generate(now()).unwrap();
    let attester = vendor.leaf(now(), LEAF_LIFETIME).unwrap();
    let pcrs = [0, 1, 2].map(|index| (index, pcr(&[index]))).into();
    let evidence = attester.document(&BINDING, None, &pcrs, NOW * 1000).unwrap();
    let appraise = |measurements: &Measurements| {
        let clock = Clock::at(now());
        measurements.appraise(&evidence, clock, Freshness::WithinBinding, Binding::Exactly(BINDING))
    };

    let mut ours = everything();
    let refused = appraise(&ours);
    assert_eq!(refused.failed().map(|check| check.name).collect::<Vec<_>>(), ["root.pinned"]);

    ours.merge(Measurements::simulated(simulated(&vendor)));
    let verdict = appraise(&ours);
    assert!(verdict.accepted(), "{verdict}");
    assert_eq!(verdict.platform(), Platform::Simulated);
    assert!(verdict.to_string().contains("SIMULATED"));

    // The same registers, approved for AWS only, do not help a simulated enclave.
    let nitro = Measurements::nitro(Reference::new("n", approved(&[0, 1, 2])).unwrap());
    let refused = appraise(&nitro);
    assert_eq!(refused.platform(), Platform::Nitro);
    assert_eq!(refused.failed().map(|check| check.name).collect::<Vec<_>>(), ["root.pinned"]);
}

#[test]
fn a_restored_vendor_goes_on_under_the_same_root() {
    let vendor = Vendor::generate(now()).unwrap();
    let restored = Vendor::from_pem(&vendor.to_pem()).unwrap();
    let pcrs = [0, 1, 2].map(|index| (index, pcr(&[index]))).into();
    let later = common::at(NOW + 86_400);
    let evidence = restored
        .leaf(later, LEAF_LIFETIME)
        .unwrap()
        .document(&BINDING, None, &pcrs, (NOW + 86_400) * 1000)
        .unwrap();
    let verdict = Measurements::simulated(simulated(&vendor)).appraise(
        &evidence,
        Clock::at(later),
        Freshness::WithinBinding,
        Binding::Exactly(BINDING),
    );
    assert!(verdict.accepted(), "{verdict}");
}

#[test]
fn the_aws_root_is_not_taken_for_a_simulated_one() {
    // Our own root is, AWS's fingerprint is not something that can be simulated.
    let (document, expectations) = Case::new().document();
    assert_eq!(expectations.roots.platform(), Platform::Simulated);
    assert!(cloister_attestation::nitro::claimed_root(&document).is_some());
    assert!(RootCertificate::from_der(vec![0; 1025]).is_err());
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/vectors/nitro/root/AWS_NitroEnclaves_Root-G1.pem"
    );
    if let Ok(pem) = std::fs::read_to_string(path) {
        let error = RootCertificate::from_text(&pem).unwrap_err().to_string();
        assert!(error.contains("root-not-simulated"), "{error}");
    }
}
