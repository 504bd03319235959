//! From what a person wants to spend to what the gate does.

use cloister_privacy::{CentringRequest, Plan, PlanRequest, Sensitivity, Zcdp};
use cloister_protocol::job::{Centring, Gate, GateMode, Job};

use super::text::JobText;
use crate::{
    error::{Context, Result},
    ui::Page,
};

/// The gates of a job and what they cost.
pub struct Planned {
    /// What each round's gate does.
    pub gate: Gate,
    /// What the centring release's gate does.
    pub centring: Option<Centring>,
    /// Costs.
    pub plan: Plan,
}

/// Chooses the least noise that keeps the job within its epsilon and delta.
pub fn plan(text: &JobText) -> Result<Planned> {
    let steps = text.steps;
    let share = text.centring.as_ref().map(super::text::CentringText::share).transpose()?;
    let request = PlanRequest {
        epsilon: text.epsilon,
        delta: text.delta,
        rounds: text.rounds,
        steps,
        sensitivity: text.groups.map_or(Sensitivity::Unit, |_| Sensitivity::Group),
        centring: share.map(|share| CentringRequest { steps, share }),
    };
    let plan = request.solve().doing("the job cannot be planned")?;
    let mode = text.groups.map_or(GateMode::Unit, GateMode::Groups);
    let sigma = plan.round.sigma_steps;
    let gate = Gate { mode, clip: text.clip, steps, sigma };
    let centring = text.centring.as_ref().zip(plan.centring).map(|(text, release)| Centring {
        clip: text.clip,
        steps: release.steps,
        sigma: release.sigma_steps,
    });
    Ok(Planned { gate, centring, plan })
}

/// What has been spent after so many releases of `job`, as the ledger counts.
pub fn spent(job: &Job, releases: u32) -> Result<Zcdp> {
    job.charges().of_first(releases).doing("the job's cost")
}

/// The plan for the person who pays with other people's privacy.
/// `each` says whose: see [`crate::unit::for_each`].
pub fn page(planned: &Planned, job: &Job, delta: f64, each: &str) -> Result<Page> {
    let epsilon = planned.plan.total.epsilon_upper(delta).doing("the plan")?;
    let releases = job.releases();
    let noise = |mode: GateMode, clip: f64, steps: u64, sigma: u64| {
        // The divisor is public, so this is what the noise is in the released mean.
        let each = clip / steps as f64 * sigma as f64 / job.divisor(mode) as f64;
        format!("clip {clip}, noise of {each:.2e} in each number of the mean")
    };
    let mut page = Page::new()
        .title(format!("Plan: {} rounds on {} units", job.rounds, job.units()))
        .row("each round", noise(job.gate.mode, job.gate.clip, job.gate.steps, job.gate.sigma));
    if let GateMode::Groups(groups) = job.gate.mode {
        page = page.row("groups", format!("{groups}, with an update each; costs are fourfold"));
    }
    if let Some(c) = &job.centring {
        page = page.row("centring", noise(GateMode::Unit, c.clip, c.steps, c.sigma));
    }
    Ok(page
        .row("releases", releases)
        .row("cost", format!("epsilon {epsilon:.4} at delta {delta:e}, {each}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::text::tests::job as text;

    #[test]
    fn the_plan_stays_within_what_was_asked() {
        let planned = plan(&text()).unwrap();
        assert!(planned.plan.total <= planned.plan.budget);
        assert!(planned.plan.total.epsilon_upper(1e-5).unwrap() <= 1.0);
        assert_eq!(planned.centring.unwrap().clip, 8.0);
        let mut without = text();
        without.centring = None;
        let without = plan(&without).unwrap();
        assert!(without.centring.is_none());
        assert!(without.gate.sigma < planned.gate.sigma);
    }

    #[test]
    fn an_impossible_budget_is_refused() {
        let mut text = text();
        text.epsilon = 0.0;
        assert!(plan(&text).is_err_and(|error| error.to_string().contains("epsilon")));
    }
}
