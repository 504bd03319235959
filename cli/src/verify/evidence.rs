//! The platform's word on the transcript, judged at the time it was given.

use std::time::Duration;

use cloister_attestation::{
    Binding, Check, Claims, Clock, Freshness, Measurements, UnixTime, Verdict, snp,
};
use cloister_protocol::job::Job;

use super::{cose, read::Released};
use crate::ui;

/// How far the clocks of the verifier and of the platform may be apart.
const SKEW_SECONDS: u64 = 5 * 60;

/// Appraises the evidence of the releases of one transcript, each that differs, and says
/// what does not hold. Returns the first one's verdict and the time, in milliseconds since
/// 1970, at which it was judged.
pub fn check(
    releases: &[Released],
    measurements: &Measurements,
    now: u64,
    failures: &mut Vec<String>,
) -> (Verdict, u64) {
    let first = &releases[0];
    let (verdict, ms) = appraise(first, measurements, now);
    failures.extend(verdict.failed().map(said));
    failures.extend(timely(&verdict, &first.checked.job.value, now));
    let mut judged = vec![&first.receipt.evidence];
    for one in &releases[1..] {
        let evidence = &one.receipt.evidence;
        if judged.contains(&evidence) {
            continue;
        }
        judged.push(evidence);
        // ECDSA signatures are not unique: what is signed counts, and that it is signed.
        if signed(evidence) != signed(&first.receipt.evidence) {
            failures.push("the receipts carry different evidence for one transcript".into());
        }
        let (other, _) = appraise(one, measurements, now);
        let number = one.checked.release.value.number;
        let said = |check| format!("release {number}: {}", said(check));
        failures.extend(other.failed().map(said));
    }
    (verdict, ms)
}

/// What the platform has signed: two pieces of evidence that agree in it say the same.
fn signed(evidence: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if snp::is_report(evidence) {
        return Some((snp::signed_part(evidence)?.to_vec(), Vec::new()));
    }
    cose::signed(evidence)
}

fn appraise(released: &Released, measurements: &Measurements, now: u64) -> (Verdict, u64) {
    let evidence = &released.receipt.evidence;
    let ms = if snp::is_report(evidence) {
        // Reports have no time. Nothing was granted after the job's end, and chips' keys are
        // certified for years.
        now.min(released.checked.job.value.not_after).saturating_mul(1000)
    } else {
        // Without a time there is no document, and the verdict will say so.
        cose::claimed_ms(evidence).unwrap_or(0)
    };
    let now = UnixTime::since_unix_epoch(Duration::from_millis(ms));
    let clock = Clock::at(now).max_age(Duration::from_secs(1)).max_skew(Duration::from_secs(1));
    let binding = Binding::Exactly(*released.checked.transcript_id.digest().as_bytes());
    (measurements.appraise(evidence, clock, Freshness::WithinBinding, binding), ms)
}

fn said(check: &Check) -> String {
    let Check { name, expected, found, remedy, .. } = check;
    format!("evidence, {name}: expected {expected}, found {found}; {remedy}")
}

/// Whether the evidence is of a time at which brokers could grant anything for the job: not
/// after its end, and not still to come. `now` is in seconds since 1970.
fn timely(verdict: &Verdict, job: &Job, now: u64) -> Vec<String> {
    let Some(Claims::Nitro(claims)) = verdict.claims() else { return Vec::new() };
    let made = claims.timestamp_ms / 1000;
    let mut failures = Vec::new();
    if made > job.not_after {
        failures.push(format!(
            "the evidence is of {}, and nothing is granted for the job after {}",
            ui::time(made),
            ui::time(job.not_after)
        ));
    }
    if made > now.saturating_add(SKEW_SECONDS) {
        failures.push(format!(
            "the evidence is of {}, which is still to come: it is {} here; check this clock",
            ui::time(made),
            ui::time(now)
        ));
    }
    failures
}
