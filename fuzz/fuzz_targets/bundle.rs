//! Signed bundles of collateral, from a network or a disk.
#![no_main]

use cloister_attestation::snp::Bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(bundle) = Bundle::unverified(bytes) else { return };
    // What was read is written as a bundle of the same contents.
    let written = bundle.sign_with(|_| Some(vec![0; 96]));
    let again = Bundle::unverified(&written.expect("it is no longer than it was"));
    let again = again.expect("what was written is read");
    assert_eq!(again.collateral.entries(), bundle.collateral.entries());
});
