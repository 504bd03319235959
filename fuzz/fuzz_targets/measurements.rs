//! `measurements.toml`, which an operator hands to owners and verifiers.
#![no_main]

use cloister_attestation::Measurements;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Measurements::from_toml(text);
});
