//! Real Nitro documents, each verified at its own time, and each mutation of them refused.
//!
//! They are kept beside the project, not in it. Without them these tests say so and pass: the
//! same code is tested with documents of our own in `mutations.rs`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloister_attestation::nitro::{
    self, CertificateKey, DebugReference, Expectations, Pcr, PcrIndex, Pcrs, Reference,
    ReferenceValues, Roots,
};
use cloister_attestation::{Binding, Claims, Clock, Freshness, Nonce, Platform, UnixTime, Verdict};
use cloister_simulated::Vendor;
use serde::Deserialize;

/// What was established about a document by two other implementations.
#[derive(Deserialize)]
struct Fact {
    file: String,
    timestamp_ms: u64,
    module_id: String,
    debug: bool,
    pcr_count: usize,
    pcr0: String,
    public_key: Option<usize>,
    user_data: Option<usize>,
    nonce: Option<usize>,
}

impl Fact {
    fn document(&self) -> Vec<u8> {
        std::fs::read(vectors().unwrap().join(&self.file)).unwrap()
    }

    /// Expects what is known of the document, and nothing of what is not.
    fn expectations(&self) -> Expectations {
        Expectations {
            roots: Roots::aws(),
            clock: Clock::at(seconds(self.timestamp_ms / 1000)),
            freshness: Freshness::AcceptAnyNonce,
            binding: Binding::AcceptAnyBinding,
            reference: self.reference(),
        }
    }

    fn reference(&self) -> ReferenceValues {
        if self.debug {
            let debug = DebugReference::new(&self.file, Pcrs::new()).unwrap();
            ReferenceValues::debug_only(debug)
        } else {
            ReferenceValues::production(Reference::new(&self.file, image(&self.pcr0)).unwrap())
        }
    }
}

#[test]
fn every_real_document_verifies_at_its_own_time() {
    for fact in facts("nitro/docs/") {
        let verdict = nitro::verify(&fact.document(), &fact.expectations());
        assert!(verdict.accepted(), "{}\n{verdict}", fact.file);
        assert_eq!(verdict.platform(), Platform::Nitro);
        let debug_opt_out = verdict.opted_out().any(|check| check.name == "debug");
        assert_eq!(debug_opt_out, fact.debug, "{}", fact.file);

        let Ok(Claims::Nitro(claims)) = verdict.accept() else { panic!("{}", fact.file) };
        assert_eq!(claims.module_id, fact.module_id);
        assert_eq!(claims.timestamp_ms, fact.timestamp_ms);
        assert_eq!(claims.debug, fact.debug);
        assert_eq!(claims.pcrs.len(), fact.pcr_count);
        let lengths = [&claims.public_key, &claims.user_data, &claims.nonce]
            .map(|field| field.bytes().map(<[u8]>::len));
        assert_eq!(lengths, [fact.public_key, fact.user_data, fact.nonce], "{}", fact.file);
        say(&format!("accepted  {}", fact.file));
    }
}

#[test]
fn every_mutation_of_a_real_document_is_refused_for_its_reason() {
    for fact in facts("nitro/docs/") {
        let document = fact.document();
        for (what, rule, verdict) in mutations(&fact, &document) {
            let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
            assert!(failed.contains(&rule), "{}: {what}: {failed:?}", fact.file);
            assert!(!verdict.accepted(), "{}: {what}", fact.file);
        }
    }
}

#[test]
fn a_real_nonce_and_a_real_binding_are_compared() {
    let mut compared = 0;
    for fact in facts("nitro/docs/") {
        let document = fact.document();
        let mut expectations = fact.expectations();
        let Ok(Claims::Nitro(claims)) = nitro::verify(&document, &expectations).accept() else {
            panic!("{}", fact.file)
        };
        if let Some(nonce) = claims.nonce.bytes() {
            expectations.freshness = Freshness::Nonce(Nonce::new(nonce).unwrap());
            compared += 1;
        }
        if let Some(Ok(binding)) = claims.user_data.bytes().map(<[u8; 64]>::try_from) {
            expectations.binding = Binding::Exactly(binding);
            compared += 1;
        }
        assert!(nitro::verify(&document, &expectations).accepted(), "{}", fact.file);
    }
    assert!(compared > 0 || vectors().is_none());
}

#[test]
fn negatives_are_refused_for_their_own_reason() {
    for fact in facts("nitro/negative/") {
        let verdict = nitro::verify(&fact.document(), &fact.expectations());
        let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
        assert_eq!(failed, ["cose.signature"], "{}", fact.file);
    }
    let Some(vectors) = vectors() else { return };
    let text =
        std::fs::read_to_string(vectors.join("nitro/negative/blocky_selfsigned_no_cabundle.b64"))
            .unwrap();
    let document = base64(&text);
    let expectations = Expectations {
        roots: Roots::aws(),
        clock: Clock::at(seconds(1_725_719_886)),
        freshness: Freshness::AcceptAnyNonce,
        binding: Binding::AcceptAnyBinding,
        reference: ReferenceValues::debug_only(DebugReference::new("any", Pcrs::new()).unwrap()),
    };
    let verdict = nitro::verify(&document, &expectations);
    let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
    // Without a cabundle, too, but its unprotected header is null already.
    assert_eq!(failed, ["cose.structure"], "{verdict}");
}

#[test]
fn a_document_in_a_tls_certificate_is_verified_and_its_key_is_not_taken_for_granted() {
    let Some(vectors) = vectors() else { return };
    let name = "non-debug-cert-containing-attestation-document-18-1-23-der.crt";
    let certificate = std::fs::read(vectors.join("nitro/ra-tls").join(name)).unwrap();
    let document = nitro::document_in_certificate(&certificate).unwrap();
    let facts = facts("nitro/docs/2023-01-18");
    assert_eq!(document, facts[0].document());
    let expectations = facts[0].expectations();
    for (key, failed) in
        [(CertificateKey::AcceptAny, &[][..]), (CertificateKey::Vouched, &["certificate.key"])]
    {
        let verdict = nitro::verify_certificate(&certificate, &expectations, key);
        let found: Vec<_> = verdict.failed().map(|check| check.name).collect();
        assert_eq!(found, failed, "{verdict}");
    }
}

/// Changes that need no signing key, with the rule that has to refuse each.
fn mutations(fact: &Fact, document: &[u8]) -> Vec<(&'static str, &'static str, Verdict)> {
    let bytes = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut document = document.to_vec();
        change(&mut document);
        nitro::verify(&document, &fact.expectations())
    };
    let expect = |change: &dyn Fn(&mut Expectations)| {
        let mut expectations = fact.expectations();
        change(&mut expectations);
        nitro::verify(document, &expectations)
    };
    let at = |needle: &[u8]| document.windows(needle.len()).position(|w| w == needle).unwrap();
    let end = document.len();
    let made = fact.timestamp_ms / 1000;
    let leaf = at(b"certificate") + 200;

    let mut mutations = vec![
        ("r changed", "cose.signature", bytes(&|d| d[end - 96] ^= 1)),
        ("s changed", "cose.signature", bytes(&|d| d[end - 1] ^= 1)),
        ("module_id changed", "cose.signature", bytes(&|d| d[at(fact.module_id.as_bytes())] ^= 1)),
        ("leaf changed", "cose.signature", bytes(&|d| d[leaf] ^= 1)),
        ("a byte appended", "cose.trailing", bytes(&|d| d.push(0))),
        ("the last byte missing", "cose.structure", bytes(&|d| d.truncate(end - 1))),
        ("a simulated root", "root.pinned", expect(&|e| e.roots = simulated_root())),
        ("a day before", "chain.path", expect(&|e| e.clock = Clock::at(seconds(made - 86_400)))),
        ("a day after", "chain.path", expect(&|e| e.clock = Clock::at(seconds(made + 86_400)))),
        ("in 2050", "root.validity", expect(&|e| e.clock = Clock::at(seconds(2_524_608_000)))),
        ("301 seconds after", "time.age", expect(&|e| e.clock = Clock::at(seconds(made + 302)))),
        (
            "another nonce",
            "nonce",
            expect(&|e| e.freshness = Freshness::Nonce(Nonce::new([1; 32]).unwrap())),
        ),
        ("another binding", "binding", expect(&|e| e.binding = Binding::Exactly([1; 64]))),
        ("another PCR4", "pcrs.deployment", expect(&|e| e.reference = another_instance(fact))),
    ];
    let another_image = |e: &mut Expectations| {
        let reference = Reference::new("another", image(&"11".repeat(48))).unwrap();
        e.reference = ReferenceValues::production(reference);
    };
    let rule = if fact.debug { "debug" } else { "pcrs.image" };
    mutations.push(("another image", rule, expect(&another_image)));
    mutations
}

fn another_instance(fact: &Fact) -> ReferenceValues {
    let wrong = (PcrIndex::new(4).unwrap(), Pcr::new([9; 48]).unwrap());
    if fact.debug {
        ReferenceValues::debug_only(DebugReference::new("another", Pcrs::from([wrong])).unwrap())
    } else {
        let mut pcrs = image(&fact.pcr0);
        pcrs.extend([wrong]);
        ReferenceValues::production(Reference::new("another", pcrs).unwrap())
    }
}

fn image(pcr0: &str) -> Pcrs {
    Pcrs::from([(PcrIndex::new(0).unwrap(), Pcr::from_hex(pcr0).unwrap())])
}

fn simulated_root() -> Roots {
    let vendor = Vendor::generate(seconds(1_767_225_600)).unwrap();
    Roots::simulated(vendor.root_der()).unwrap()
}

fn seconds(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn facts(under: &str) -> Vec<Fact> {
    let Some(vectors) = vectors() else { return Vec::new() };
    let text = std::fs::read_to_string(vectors.join("nitro/facts.json")).unwrap();
    let facts: Vec<Fact> = serde_json::from_str(&text).unwrap();
    let facts: Vec<_> = facts.into_iter().filter(|fact| fact.file.starts_with(under)).collect();
    assert!(!facts.is_empty(), "no document under {under}");
    facts
}

/// Where the real documents are, if they are.
fn vectors() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    if path.join("nitro/facts.json").is_file() {
        return Some(path);
    }
    say("NOT TESTED: real Nitro documents, which would be in ../shared/vectors/nitro");
    None
}

/// Says it even if the test passes, which `println!` does not.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap()
}
