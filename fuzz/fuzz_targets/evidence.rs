//! Attestation evidence. The fixture's own document is accepted and nothing else is, with
//! the fixture's root, time and binding.
#![no_main]

use std::time::Duration;

use cloister_attestation::{Binding, Clock, Freshness, Measurements, UnixTime};
use libfuzzer_sys::fuzz_target;

const MEASUREMENTS: &str = include_str!("../../attestation/tests/fixtures/measurements.toml");
const MADE: u64 = 1_767_225_600;

fuzz_target!(|bytes: &[u8]| {
    let measurements = Measurements::from_toml(MEASUREMENTS).expect("the fixture can be read");
    let clock = Clock::at(UnixTime::since_unix_epoch(Duration::from_secs(MADE)));
    let binding = Binding::Exactly([7; 64]);
    let verdict = measurements.appraise(bytes, clock, Freshness::WithinBinding, binding);
    // A denial says why, on a page that can be printed.
    let page = verdict.to_string();
    assert!(!page.is_empty());
    assert_eq!(verdict.accepted(), verdict.failed().next().is_none());
});
