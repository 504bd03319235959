//! The rules on the code.

use cloister_protocol::{Signed, Verified, code::CodeManifest, job::Job, transcript::Transcript};

use super::{Denial, Ground, Rule};

/// Signature, transcript, its own rules, and the owner's approval.
pub(super) fn check(
    signed: &Signed<CodeManifest>,
    transcript: &Transcript,
    job: &Job,
    ground: &Ground<'_>,
) -> Result<Verified<CodeManifest>, Denial> {
    let code = signed.open_by_anyone().map_err(|error| {
        Denial::new(Rule::CodeSignature, "a manifest as its author signed it", error)
    })?;
    if code.id != transcript.code || code.id != job.code {
        let expected = format!("code {:?}, as job {:?} says", transcript.code, job.code);
        return Err(Denial::new(Rule::CodeMismatch, expected, format!("code {:?}", code.id)));
    }
    let rules = code.value.validate().and_then(|()| code.value.resolve(&job.parameters));
    rules.map_err(|error| Denial::new(Rule::CodeRules, "code that keeps the rules", error))?;
    if !is_approved(&code, ground) {
        let found = format!(
            "{}@{}, component {}",
            code.value.name, code.value.version, code.value.component
        );
        let expected = "a component that the policy names, or code that the owner approved";
        return Err(Denial::new(Rule::CodeNotApproved, expected, found));
    }
    Ok(code)
}

/// By digest in the policy, or by an approval that the owner signed, if those count.
fn is_approved(code: &Verified<CodeManifest>, ground: &Ground<'_>) -> bool {
    let rules = &ground.policy.value.code;
    let by_owner = || {
        ground.approvals.iter().any(|approval| {
            approval.open_by(&ground.owner).is_ok_and(|approval| {
                approval.value.code == code.id && approval.value.component == code.value.component
            })
        })
    };
    rules.components.contains(&code.value.component) || (rules.approvals && by_owner())
}
