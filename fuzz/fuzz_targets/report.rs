//! SEV-SNP reports, alone, with a certificate table or in Azure's wrapping: whatever a host
//! says that an enclave is.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use cloister_attestation::{Binding, Freshness, Hex, Outcome, UnixTime, Unverified, snp};
use libfuzzer_sys::fuzz_target;

/// That of the fixture which the corpus begins with.
static EXPECTATIONS: LazyLock<snp::Expectations> = LazyLock::new(|| {
    let mut collateral = snp::Collateral::new();
    let chain = include_bytes!("../../attestation/tests/fixtures/snp/chain.pem");
    collateral.add(chain).expect("a fixture is read");
    let root = include_bytes!("../../attestation/tests/fixtures/snp/root.der");
    let products = [(snp::Product::Genoa, snp::LeastTcb::default())];
    let mut guest = snp::Guest::new("fixture", Hex([0x99; 48]), products);
    guest.allow.insert(snp::Allowance::AnyTcb);
    let reference = snp::Reference::new(guest).expect("a fixture is approved");
    snp::Expectations {
        roots: snp::Roots::simulated(snp::Product::Genoa, root).expect("a fixture is a root"),
        collateral,
        now: UnixTime::since_unix_epoch(Duration::from_secs(MADE)),
        freshness: Freshness::WithinBinding,
        binding: Binding::Exactly([7; 64]),
        reference: snp::ReferenceValues::new(reference),
    }
});

/// 2026-01-01, when the fixture was made.
const MADE: u64 = 1_767_225_600;

fuzz_target!(|bytes: &[u8]| {
    let verdict = snp::verify(bytes, &EXPECTATIONS);
    let failed = verdict.checks().iter().any(|check| check.outcome == Outcome::Failed);
    assert_eq!(verdict.accepted(), !failed);
    let _ = (verdict.to_string(), Unverified::read(bytes));
});
