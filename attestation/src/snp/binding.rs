//! What a report vouches for, and that it was made for this verifier.

use super::{Claims, rules};
use crate::hexadecimal::Hex;
use crate::verdict::Checks;
use crate::{Binding, Freshness};

/// Whether the report is fresh: it has no nonce and no time, so the binding covers a nonce.
pub(super) fn nonce(
    claims: &Claims,
    freshness: &Freshness,
    binding: &Binding,
    checks: &mut Checks,
) {
    const EXPECTED: &str = "a nonce that the binding covers";
    match (freshness, binding) {
        (Freshness::Nonce(_), _) => {
            let found = "a report, which has no field for one";
            checks.judge(&rules::NONCE, false, EXPECTED, found);
        }
        (Freshness::WithinBinding, Binding::AcceptAnyBinding) => {
            checks.judge(&rules::NONCE, false, EXPECTED, "a binding that is not compared");
        }
        (Freshness::WithinBinding, _) if claims.runtime_claims.is_some() => {
            let found = "a report that the paravisor got at boot, for no nonce of anybody's";
            checks.judge(&rules::NONCE, false, EXPECTED, found);
        }
        (Freshness::WithinBinding, _) => checks.pass(&rules::NONCE, EXPECTED, "see binding"),
        (Freshness::AcceptAnyNonce, _) => {
            let found = "reports have no time: this one may be of any age";
            checks.opt_out(&rules::NONCE, "any nonce, by the caller's choice", found);
        }
    }
}

/// Whether `REPORT_DATA` is the binding.
pub(super) fn report_data(claims: &Claims, binding: &Binding, checks: &mut Checks) {
    let found = claims.report_data;
    let expected = match binding {
        Binding::Exactly(expected) => Some(*expected),
        // Shorter ones are followed by zeros, as guests write them.
        Binding::UserData(expected) => {
            let mut padded = [0; 64];
            let fits = padded.get_mut(..expected.len()).filter(|start| !start.is_empty());
            let Some(start) = fits else {
                let expected = format!("{} bytes", expected.len());
                checks.judge(&rules::BINDING, false, expected, "64 bytes, as in every report");
                return;
            };
            start.copy_from_slice(expected);
            Some(padded)
        }
        Binding::AcceptAnyBinding => None,
    };
    if let Some(expected) = expected.map(Hex) {
        let holds = expected == found;
        checks.judge(&rules::BINDING, holds, expected.to_string(), found.to_string());
    } else {
        let expected = "any binding, by the caller's choice";
        checks.opt_out(&rules::BINDING, expected, found.to_string());
    }
}
