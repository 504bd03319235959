//! Reports that real processors made, against what other implementations found in them. They
//! are not part of this repository; without them this says so.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloister_attestation::snp::{
    self, Allowance, Collateral, Expectations, Guest, LeastTcb, Product, Reference,
    ReferenceValues, Roots,
};
use cloister_attestation::{Binding, Claims, Freshness, Hex, Platform, UnixTime, Verdict};
use serde::Deserialize;
use serde_json::Value;

/// What was established about a report by two other implementations.
#[derive(Deserialize)]
struct Fact {
    dir: String,
    version: u32,
    policy: String,
    debug: bool,
    vmpl: u32,
    signing_key: String,
    current_fw: String,
    measurement: Hex<48>,
    report_data: Hex<64>,
    chip_id: Hex<64>,
    #[serde(default)]
    certs: Vec<String>,
}

impl Fact {
    fn report(&self) -> Vec<u8> {
        read(&format!("{}/report.bin", self.dir))
    }

    fn product(&self) -> Product {
        let name = self.dir.rsplit('/').next().unwrap();
        Product::ALL
            .into_iter()
            .find(|product| name.starts_with(&product.name().to_lowercase()))
            .unwrap()
    }

    /// Expects what is known of the report. Reports have no time: the leaves of all of them
    /// are valid at `now`.
    fn expectations(&self) -> Expectations {
        let mut collateral = Collateral::new();
        for leaf in &self.certs {
            collateral.add(&read(&format!("{}/{leaf}", self.dir))).unwrap();
        }
        add_authorities(&mut collateral, self.product());
        Expectations {
            roots: Roots::amd(),
            collateral,
            now: if self.signing_key == "VLEK" { seconds(1_735_689_600) } else { now() },
            freshness: Freshness::WithinBinding,
            binding: Binding::Exactly(self.report_data.0),
            reference: values(self.guest()),
        }
    }

    fn guest(&self) -> Guest {
        let mut guest =
            Guest::new(&self.dir, self.measurement, [(self.product(), LeastTcb::default())]);
        guest.vmpl = self.vmpl;
        guest.allow = [Allowance::AnyTcb, Allowance::Milan, Allowance::AnyProvider].into();
        guest
    }
}

#[test]
fn every_real_report_verifies_at_its_own_time() {
    for fact in facts("snp/reports/") {
        let verdict = snp::verify(&fact.report(), &fact.expectations());
        assert!(verdict.accepted(), "{}\n{verdict}", fact.dir);
        assert_eq!(verdict.platform(), Platform::SevSnp);
        let denied = verdict.opted_out().any(|check| check.name == "product.allowed");
        assert_eq!(denied, fact.product() == Product::Milan, "{}", fact.dir);

        let Ok(Claims::SevSnp(claims)) = verdict.accept() else { panic!("{}", fact.dir) };
        assert_eq!(claims.version, fact.version);
        assert_eq!(format!("{:#x}", claims.policy.0), fact.policy);
        assert_eq!(claims.debug, fact.debug);
        assert_eq!(claims.current_firmware.to_string(), fact.current_fw);
        assert_eq!(claims.chip_id, fact.chip_id);
        say(&format!("accepted  {} {} {}", fact.dir, claims.product, claims.reported_tcb));
    }
}

#[test]
fn every_mutation_of_a_real_report_is_refused_for_its_reason() {
    let facts = facts("snp/reports/");
    let mut refused = BTreeSet::new();
    for fact in &facts {
        for (what, rule, verdict) in mutations(fact) {
            let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
            assert!(failed.contains(&rule), "{}: {what}: {failed:?}", fact.dir);
            refused.insert((rule, what));
        }
    }
    for (rule, what) in refused {
        say(&format!("refused   {rule:<22} {what}, of each of {} reports", facts.len()));
    }
}

/// Changes that need no signing key, with the rule that has to refuse each.
fn mutations(fact: &Fact) -> Vec<(&'static str, &'static str, Verdict)> {
    let bytes = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut report = fact.report();
        change(&mut report);
        snp::verify(&report, &fact.expectations())
    };
    let expect = |change: &dyn Fn(&mut Expectations)| {
        let mut expectations = fact.expectations();
        change(&mut expectations);
        snp::verify(&fact.report(), &expectations)
    };
    let guest = |change: &dyn Fn(&mut Guest)| {
        let mut guest = fact.guest();
        change(&mut guest);
        expect(&|e| e.reference = values(guest.clone()))
    };
    let foreign = Product::ALL.into_iter().find(|one| *one != fact.product()).unwrap();
    let mut mutations = vec![
        ("1183 bytes", "evidence.size", bytes(&|r| r.truncate(1183))),
        ("1185 bytes", "evidence.table", bytes(&|r| r.push(0))),
        ("a byte in the padding of r", "report.signature-form", bytes(&|r| r[0x2a0 + 71] = 1)),
        ("a byte in the padding of s", "report.signature-form", bytes(&|r| r[0x2a0 + 143] = 1)),
        ("a byte after the signature", "report.signature-form", bytes(&|r| r[0x330] = 1)),
        ("r changed", "report.signature", bytes(&|r| r[0x2a0] ^= 1)),
        ("s changed", "report.signature", bytes(&|r| r[0x2a0 + 72] ^= 1)),
        ("r and s zero", "report.signature", bytes(&|r| r[0x2a0..].fill(0))),
        ("signature algorithm 2", "report.algorithm", bytes(&|r| r[0x34] = 2)),
        ("signed by nobody", "report.signing-key", bytes(&|r| r[0x48] = 7 << 2)),
        ("MASK_CHIP_KEY", "report.chip-key", bytes(&|r| r[0x48] |= 2)),
        ("the other kind of key", "collateral.leaf", bytes(&|r| r[0x48] ^= 1 << 2)),
        ("no collateral", "collateral.leaf", expect(&|e| e.collateral = Collateral::new())),
        (
            "no authorities",
            "collateral.chain",
            expect(&|e| {
                e.collateral = Collateral::new();
                e.collateral.add(&read(&format!("{}/{}", fact.dir, fact.certs[0]))).unwrap();
            }),
        ),
        (
            "another product's authorities",
            "collateral.chain",
            expect(&|e| {
                e.collateral = Collateral::new();
                e.collateral.add(&read(&format!("{}/{}", fact.dir, fact.certs[0]))).unwrap();
                add_authorities(&mut e.collateral, foreign);
            }),
        ),
        ("a test root", "root.pinned", expect(&|e| e.roots = test_root(fact.product()))),
        ("in 2060", "root.validity", expect(&|e| e.now = seconds(2_840_140_800))),
        ("in 2021", "chain.path", expect(&|e| e.now = seconds(1_610_000_000))),
        ("another binding", "binding", expect(&|e| e.binding = Binding::Exactly([1; 64]))),
        ("another launch digest", "measurement", guest(&|g| g.measurement = Hex([1; 48]))),
        ("another level", "vmpl", guest(&|g| g.vmpl = 3)),
        (
            "the product not approved",
            "product.allowed",
            guest(&|g| {
                g.products = [(foreign, LeastTcb::default())].into();
            }),
        ),
        ("other host data", "host-data", guest(&|g| g.host_data = Some(Hex([1; 32])))),
        ("another identity key", "id-key", guest(&|g| g.id_key = Some(Hex([1; 48])))),
    ];
    for region in (0..0x2a0).step_by(16) {
        let verdict = bytes(&|r| r[region] ^= 0x80);
        assert!(!verdict.accepted(), "{}: byte {region:#x}", fact.dir);
    }
    if fact.product() == Product::Milan {
        let verdict = guest(&|g| {
            g.allow.remove(&Allowance::Milan);
        });
        mutations.push(("Milan without an allowance", "product.allowed", verdict));
    }
    mutations
}

#[test]
fn reports_without_their_certificate_are_refused_as_another_keys() {
    let mut count = 0;
    for fact in facts("snp/unmatched/") {
        let mut collateral = Collateral::new();
        add_authorities(&mut collateral, Product::Milan);
        collateral.add(&read("snp/lone-certs/vcek_milan_12d7b050.der")).unwrap();
        let reference =
            Guest::new("any", fact.measurement, [(Product::Milan, LeastTcb::default())]);
        let reference = Guest { allow: [Allowance::AnyTcb].into(), ..reference };
        let expectations = Expectations {
            roots: Roots::amd(),
            collateral,
            now: now(),
            freshness: Freshness::WithinBinding,
            binding: Binding::Exactly(fact.report_data.0),
            reference: values(reference),
        };
        let verdict = snp::verify(&fact.report(), &expectations);
        let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
        assert_eq!(failed, ["report.signature"], "{}\n{verdict}", fact.dir);
        count += 1;
    }
    assert!(count > 0 || vectors().is_none());
}

#[test]
fn negatives_are_refused_for_their_own_reason() {
    if vectors().is_none() {
        return;
    }
    let facts = facts("snp/reports/milan_v3_microsoft");
    let fact = facts.first().unwrap();
    let damaged = read("snp/negative/lit_guest_report_bad_sig.bin");
    for (report, rule) in [(&damaged[..], "evidence.table"), (&damaged[..1184], "report.signature")]
    {
        let verdict = snp::verify(report, &fact.expectations());
        let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
        assert_eq!(failed, [rule], "{verdict}");
    }
    let mut expectations = fact.expectations();
    expectations.collateral = Collateral::new();
    expectations.collateral.add(&read("snp/negative/test-vcek-invalid-legacy.der")).unwrap();
    add_authorities(&mut expectations.collateral, Product::Milan);
    let verdict = snp::verify(&fact.report(), &expectations);
    let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
    assert_eq!(failed, ["chain.path", "report.signature"], "{verdict}");
}

#[test]
fn azures_wrapping_is_verified_with_its_runtime_claims() {
    let Some(vectors) = vectors() else { return };
    let json = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(vectors.join("snp/azure-hcl").join(name)).unwrap())
            .unwrap()
    };
    let bytes = |value: &Value| -> Vec<u8> {
        let list = value.as_array().unwrap().iter();
        list.map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect()
    };
    let mut verified = 0;
    for name in ["trustee_evidence-v0.json", "trustee_evidence-genoa.json"] {
        let evidence = json(name);
        let blob = bytes(&evidence["report"]);
        let product = if name.contains("genoa") { Product::Genoa } else { Product::Milan };
        let mut collateral = Collateral::new();
        collateral.add(evidence["vcek"].as_str().unwrap().as_bytes()).unwrap();
        add_authorities(&mut collateral, product);
        let measurement = Hex(blob[32 + 0x90..32 + 0xc0].try_into().unwrap());
        let guest = Guest::new(name, measurement, [(product, LeastTcb::default())]);
        let allow = [Allowance::AnyTcb, Allowance::Milan].into();
        let expectations = Expectations {
            roots: Roots::amd(),
            collateral,
            now: now(),
            // The paravisor asked for it at boot; no nonce can be in it.
            freshness: Freshness::AcceptAnyNonce,
            binding: Binding::Exactly(blob[32 + 0x50..32 + 0x90].try_into().unwrap()),
            reference: values(Guest { allow, ..guest }),
        };
        let verdict = snp::verify(&blob, &expectations);
        assert!(verdict.accepted(), "{name}\n{verdict}");
        let Ok(Claims::SevSnp(claims)) = verdict.accept() else { panic!("{name}") };
        assert!(claims.runtime_claims.unwrap().contains("HCLAkPub"));

        let mut changed = blob.clone();
        let at = changed.windows(8).position(|window| window == b"HCLAkPub").unwrap();
        changed[at] ^= 1;
        let verdict = snp::verify(&changed, &expectations);
        assert_eq!(verdict.failed().map(|check| check.name).collect::<Vec<_>>(), ["hcl"]);
        // A length that points past the end.
        let mut changed = blob;
        changed[1232..1236].copy_from_slice(&u32::MAX.to_le_bytes());
        let verdict = snp::verify(&changed, &expectations);
        assert_eq!(verdict.failed().map(|check| check.name).collect::<Vec<_>>(), ["evidence.size"]);
        verified += 1;
        say(&format!("accepted  snp/azure-hcl/{name}"));
    }
    assert_eq!(verified, 2);
}

fn values(guest: Guest) -> ReferenceValues {
    ReferenceValues::new(Reference::new(guest).unwrap())
}

fn add_authorities(collateral: &mut Collateral, product: Product) {
    for file in ["ark", "ask", "asvk"] {
        let path = format!("snp/ca/{}/{file}.der", product.name().to_lowercase());
        collateral.add(&read(&path)).unwrap();
    }
}

fn test_root(product: Product) -> Roots {
    let plan = cloister_simulated::mutations::snp::Plan::new(&[7; 64], &[9; 48]);
    Roots::simulated(product, &plan.sign().root).unwrap()
}

fn seconds(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// 2026-03-01, when all the VCEKs are valid.
fn now() -> UnixTime {
    seconds(1_772_323_200)
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(vectors().unwrap().join(path)).unwrap()
}

fn facts(under: &str) -> Vec<Fact> {
    let Some(vectors) = vectors() else { return Vec::new() };
    let text = std::fs::read_to_string(vectors.join("snp/facts.json")).unwrap();
    let facts: Vec<Fact> = serde_json::from_str(&text).unwrap();
    let facts: Vec<_> = facts.into_iter().filter(|fact| fact.dir.starts_with(under)).collect();
    assert!(!facts.is_empty(), "no report under {under}");
    facts
}

/// Where the real reports are, if they are.
fn vectors() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    if path.join("snp/facts.json").is_file() {
        return Some(path);
    }
    say("NOT TESTED: real SEV-SNP reports, which would be in ../shared/vectors/snp");
    None
}

/// Says it even if the test passes, which `println!` does not.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
