//! What a document says, against what the caller expects.

use std::time::Duration;

use super::{Claims, Expectations, Pcr, PcrIndex, Pcrs, ReferenceValues, rules};
use crate::verdict::{Checks, Rule};
use crate::{Binding, Clock, Freshness, text};

/// Makes every comparison, and reports all that fail.
pub(super) fn appraise(claims: &Claims, expectations: &Expectations, checks: &mut Checks) {
    // Exhaustive, so that a new expectation cannot be forgotten here.
    let Expectations {
        roots: _, // checked with the chain
        clock,
        freshness,
        binding,
        reference,
    } = expectations;
    debug(claims, reference, checks);
    registers(claims, reference, checks);
    fresh_and_bound(claims, *clock, freshness, binding, checks);
}

/// What enclaves and instances have alike.
pub(super) fn fresh_and_bound(
    claims: &Claims,
    clock: Clock,
    freshness: &Freshness,
    binding: &Binding,
    checks: &mut Checks,
) {
    time(claims.timestamp_ms, clock, checks);
    nonce(claims, freshness, binding, checks);
    user_data(claims, binding, checks);
}

fn debug(claims: &Claims, reference: &ReferenceValues, checks: &mut Checks) {
    const EXPECTED: &str = "an enclave in production mode";
    let missing = PcrIndex::IMAGE.iter().find(|index| !claims.pcrs.contains_key(index));
    match (missing, claims.debug) {
        (Some(index), _) => {
            checks.judge(&rules::DEBUG, false, EXPECTED, format!("no {index}"));
        }
        (None, false) => checks.pass(&rules::DEBUG, EXPECTED, EXPECTED),
        (None, true) => {
            const FOUND: &str = "an enclave in debug mode: PCR0, PCR1 and PCR2 are zero";
            if reference.debug.is_empty() {
                checks.judge(&rules::DEBUG, false, EXPECTED, FOUND);
            } else {
                checks.opt_out(&rules::DEBUG, EXPECTED, FOUND);
            }
        }
    }
}

/// Compares the registers with the approved enclave that they are nearest to.
fn registers(claims: &Claims, reference: &ReferenceValues, checks: &mut Checks) {
    let accepted_debug = claims.debug && !reference.debug.is_empty();
    let candidates: Vec<Candidate<'_>> = if accepted_debug {
        let debug = reference.debug.iter();
        debug.map(|one| Candidate { name: one.name(), pcrs: one.pcrs() }).collect()
    } else {
        let production = reference.production.iter();
        production.map(|one| Candidate { name: one.name(), pcrs: one.pcrs() }).collect()
    };
    let nearest = candidates.iter().min_by_key(|candidate| candidate.differences(&claims.pcrs));
    let Some(nearest) = nearest else {
        // Only debug enclaves are accepted, and this is none.
        checks.judge(
            &rules::PCRS_IMAGE,
            false,
            "an enclave in debug mode, as the policy accepts no other",
            "an enclave in production mode",
        );
        return;
    };
    let of = candidates.len();
    if accepted_debug {
        let expected = "the approved image, which a debug enclave does not show";
        checks.opt_out(&rules::PCRS_IMAGE, expected, "zeros: any code may be running");
    } else if !claims.debug {
        // In debug mode these are zeros, which the debug rule has refused already.
        nearest.compare(&rules::PCRS_IMAGE, is_image, of, &claims.pcrs, checks);
    }
    nearest.compare(&rules::PCRS_SIGNER, is_signer, of, &claims.pcrs, checks);
    nearest.compare(&rules::PCRS_DEPLOYMENT, is_deployment, of, &claims.pcrs, checks);
    nearest.compare(&rules::PCRS_OTHER, is_other, of, &claims.pcrs, checks);
}

fn is_image(index: PcrIndex) -> bool {
    PcrIndex::IMAGE.contains(&index)
}

fn is_signer(index: PcrIndex) -> bool {
    index == PcrIndex::SIGNER
}

fn is_deployment(index: PcrIndex) -> bool {
    PcrIndex::DEPLOYMENT.contains(&index)
}

fn is_other(index: PcrIndex) -> bool {
    !is_image(index) && !is_signer(index) && !is_deployment(index)
}

/// One approved enclave.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) pcrs: &'a Pcrs,
}

impl Candidate<'_> {
    /// How many registers do not have the approved value. One that is not there has not.
    pub(super) fn differences(&self, found: &Pcrs) -> usize {
        self.pcrs.iter().filter(|(index, value)| found.get(index) != Some(value)).count()
    }

    /// Applies `rule` to the approved registers of one group, if there are any.
    pub(super) fn compare(
        &self,
        rule: &Rule,
        group: fn(PcrIndex) -> bool,
        of: usize,
        found: &Pcrs,
        checks: &mut Checks,
    ) {
        let group: Vec<_> = self.pcrs.iter().filter(|(index, _)| group(**index)).collect();
        if group.is_empty() {
            return;
        }
        let differing: Vec<_> = group
            .iter()
            .copied()
            .filter(|(index, value)| found.get(index) != Some(value))
            .collect();
        let shown = if differing.is_empty() { &group } else { &differing };
        let expected: Vec<_> =
            shown.iter().map(|(index, value)| format!("{index} = {value}")).collect();
        let seen: Vec<_> = shown
            .iter()
            .map(|(index, _)| format!("{index} = {}", value_of(found, **index)))
            .collect();
        let which = match of {
            1 => text::quoted(self.name),
            _ => format!("{}, nearest of {of} approved", text::quoted(self.name)),
        };
        checks.judge(
            rule,
            differing.is_empty(),
            format!("{} ({which})", expected.join(", ")),
            seen.join(", "),
        );
    }
}

fn value_of(pcrs: &Pcrs, index: PcrIndex) -> String {
    match pcrs.get(&index) {
        None => "nothing".to_owned(),
        Some(value) if Pcr::is_zero(value) => "zeros".to_owned(),
        Some(value) => value.to_string(),
    }
}

/// Compares in milliseconds, without overflow.
fn time(timestamp_ms: u64, clock: Clock, checks: &mut Checks) {
    let made = Duration::from_millis(timestamp_ms);
    let now = Duration::from_secs(clock.now.as_secs());
    let age = now.saturating_sub(made);
    let skew = made.saturating_sub(now);
    checks.judge(
        &rules::TIME_AGE,
        age <= clock.max_age,
        format!("at most {} s old at {}", clock.max_age.as_secs(), text::time(now.as_secs())),
        format!("made at {}, {} s old", text::time(made.as_secs()), age.as_secs()),
    );
    checks.judge(
        &rules::TIME_SKEW,
        skew <= clock.max_skew,
        format!("at most {} s after {}", clock.max_skew.as_secs(), text::time(now.as_secs())),
        format!("made at {}, {} s later", text::time(made.as_secs()), skew.as_secs()),
    );
}

fn nonce(claims: &Claims, freshness: &Freshness, binding: &Binding, checks: &mut Checks) {
    match (freshness, binding) {
        (Freshness::Nonce(expected), _) => {
            let holds = claims.nonce.bytes() == Some(expected.as_bytes());
            let expected = text::bytes(expected.as_bytes());
            checks.judge(&rules::NONCE, holds, expected, claims.nonce.shown());
        }
        (Freshness::WithinBinding, Binding::Exactly(_) | Binding::UserData(_)) => {
            let expected = "a nonce that the binding covers";
            checks.pass(&rules::NONCE, expected, "see binding");
        }
        (Freshness::WithinBinding, Binding::AcceptAnyBinding) => {
            let expected = "a nonce that the binding covers";
            checks.judge(&rules::NONCE, false, expected, "a binding that is not compared");
        }
        (Freshness::AcceptAnyNonce, _) => {
            checks.opt_out(
                &rules::NONCE,
                "any nonce, by the caller's choice",
                claims.nonce.shown(),
            );
        }
    }
}

fn user_data(claims: &Claims, binding: &Binding, checks: &mut Checks) {
    let found = claims.user_data.shown();
    let expected = match binding {
        Binding::Exactly(expected) => &expected[..],
        Binding::UserData(expected) => expected,
        Binding::AcceptAnyBinding => {
            checks.opt_out(&rules::BINDING, "any binding, by the caller's choice", found);
            return;
        }
    };
    // Nothing is vouched for by no bytes.
    let holds = !expected.is_empty() && claims.user_data.bytes() == Some(expected);
    checks.judge(&rules::BINDING, holds, text::bytes(expected), found);
}
