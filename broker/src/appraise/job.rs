//! The rules on the job.

use cloister_privacy::Zcdp;
use cloister_protocol::{
    Signed, Verified,
    job::{Job, JobError},
    transcript::Transcript,
};

use super::{Denial, Rule};
use crate::policy::Policy;

/// Signature, transcript, its own rules, and what the policy says about it.
pub(super) fn check(
    signed: &Signed<Job>,
    transcript: &Transcript,
    policy: &Policy,
    now: u64,
) -> Result<Verified<Job>, Denial> {
    let job = signed.open_by_anyone().map_err(|error| {
        Denial::new(Rule::JobSignature, "a job as its orchestrator signed it", error)
    })?;
    let Job { purpose, role, recipients, not_after, .. } = &job.value;
    if job.id != transcript.job || *role != transcript.role {
        let expected = format!("job {:?} in the transcript's role", transcript.job);
        return Err(Denial::new(Rule::JobMismatch, expected, format!("job {:?}", job.id)));
    }
    job.value.validate().map_err(|error| match error {
        JobError::PopulationApart(population) => Denial::new(
            Rule::PopulationApart,
            "the tables of each population one after the other",
            format!("those of {population:?} with others between them"),
        ),
        error => Denial::new(Rule::JobRules, "a job that keeps the rules", error),
    })?;
    let orchestrator = job.signer.id();
    if !policy.orchestrators.contains(&orchestrator) {
        let expected = format!("one of {} keys in [orchestrators]", policy.orchestrators.len());
        let found = format!("key {orchestrator}");
        return Err(Denial::new(Rule::JobOrchestrator, expected, found));
    }
    if now > *not_after {
        let (expected, found) = (format!("second {not_after} at most"), format!("second {now}"));
        return Err(Denial::new(Rule::JobExpired, expected, found));
    }
    let policy_end = policy.purposes.not_after;
    if now > policy_end {
        let (expected, found) = (format!("second {policy_end} at most"), format!("second {now}"));
        return Err(Denial::new(Rule::PolicyExpired, expected, found));
    }
    if !policy.purposes.allowed.contains(purpose) {
        let expected = format!("one of {:?}", policy.purposes.allowed);
        return Err(Denial::new(Rule::JobPurpose, expected, format!("{purpose:?}")));
    }
    if !policy.recipients.contains(recipients) {
        let expected = format!("one of {:?}", policy.recipients);
        return Err(Denial::new(Rule::Recipients, expected, format!("{recipients:?}")));
    }
    Ok(job)
}

/// Computes the cost from the gate's parameters; returns what this policy's account charges,
/// in pico-rho.
pub(super) fn check_cost(job: &Job, policy: &Policy) -> Result<u64, Denial> {
    let stated = format!("{} pico-rho", job.cost);
    let total =
        job.charges().total().map_err(|error| Denial::new(Rule::CostMismatch, error, &stated))?;
    if total != Zcdp::from_pico(job.cost) {
        let expected = format!("{} pico-rho", total.as_pico());
        return Err(Denial::new(Rule::CostMismatch, expected, stated));
    }
    let accounting = policy.budget.accounting();
    let charge = job
        .charges()
        .charge(accounting)
        .map_err(|error| Denial::new(Rule::CostMismatch, error, &stated))?;
    let most = policy.budget.per_job;
    if charge > most.rho {
        let expected = format!(
            "{} pico-rho at most (epsilon {} at delta {:e})",
            most.rho.as_pico(),
            most.epsilon,
            most.delta
        );
        let found = format!("{} pico-rho", charge.as_pico());
        return Err(Denial::new(Rule::JobBudget, expected, found));
    }
    Ok(charge.as_pico())
}
