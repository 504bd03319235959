//! Certificates, revocation lists and certificate tables, from a host or a folder.
#![no_main]

use cloister_attestation::snp::Collateral;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut collateral = Collateral::new();
    let taken = collateral.add(bytes).unwrap_or(0);
    assert!(collateral.entries().len() >= taken.min(1));
});
