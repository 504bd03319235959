//! The platform's word on the transcript, judged at the time it was given.

use std::time::Duration;

use cloister_attestation::{Binding, Clock, Freshness, Measurements, UnixTime, Verdict};

use super::{read::Released, time};

/// Appraises the evidence of a release over its transcript; returns the verdict and the
/// time, in milliseconds since 1970, at which it was judged.
pub fn appraise(released: &Released, measurements: &Measurements) -> (Verdict, u64) {
    let evidence = &released.receipt.evidence;
    // Without a time there is no document, and the verdict will say so.
    let ms = time::claimed_ms(evidence).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(Duration::from_millis(ms));
    let clock = Clock::at(now).max_age(Duration::from_secs(1)).max_skew(Duration::from_secs(1));
    let binding = Binding::Exactly(*released.checked.transcript_id.digest().as_bytes());
    (measurements.appraise(evidence, clock, Freshness::WithinBinding, binding), ms)
}
