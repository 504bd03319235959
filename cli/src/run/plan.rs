//! From what a person wants to spend to what the gate does.

use cloister_privacy::{Accounting, BesideRequest, Plan, PlanRequest, Rate, Sensitivity};
use cloister_protocol::job::{Centring, Gate, GateMode, Job, Metrics};

use super::{
    metrics,
    text::{CentringText, JobText, MetricsText},
};
use crate::{
    error::{Context, Error, Result},
    ui::Page,
};

/// The gates of a job and what they cost.
pub struct Planned {
    /// What each round's gate does.
    pub gate: Gate,
    /// What the centring release's gate does.
    pub centring: Option<Centring>,
    /// What the metrics release's gate does.
    pub metrics: Option<Metrics>,
    /// Costs.
    pub plan: Plan,
}

/// Chooses the least noise that keeps the job within its epsilon and delta.
pub fn plan(text: &JobText) -> Result<Planned> {
    let steps = text.steps;
    let beside = |share: Option<Result<_>>| {
        share.transpose().map(|share| share.map(|share| BesideRequest { steps, share }))
    };
    let sampling = text.sampling.map(Rate::nearest).transpose().doing("sampling")?;
    let request = PlanRequest {
        epsilon: text.epsilon,
        delta: text.delta,
        rounds: text.rounds,
        steps,
        sensitivity: text.groups.map_or(Sensitivity::Unit, |_| Sensitivity::Group),
        sampling,
        accounting: text.accounting()?,
        centring: beside(text.centring.as_ref().map(CentringText::share))?,
        metrics: beside(text.metrics.as_ref().map(MetricsText::share))?,
    };
    let plan = request.solve().doing("the job cannot be planned")?;
    let mode = match (text.groups, sampling) {
        (None, None) => GateMode::Unit,
        (Some(groups), None) => GateMode::Groups(groups),
        (None, Some(rate)) => GateMode::Sampled(rate),
        (Some(_), Some(_)) => {
            return Err(Error::failed("a job has `groups` or `sampling`, not both: leave one out"));
        }
    };
    let sigma = plan.round.sigma_steps;
    let gate = Gate { mode, clip: text.clip, steps, sigma };
    let centring = text.centring.as_ref().zip(plan.centring).map(|(text, release)| Centring {
        clip: text.clip,
        steps: release.steps,
        sigma: release.sigma_steps,
    });
    let metrics = text.metrics.as_ref().zip(plan.metrics).map(|(text, release)| Metrics {
        loss: text.loss,
        steps: release.steps,
        sigma: release.sigma_steps,
    });
    Ok(Planned { gate, centring, metrics, plan })
}

/// The plan for the person who pays with other people's privacy.
/// `each` says whose: see [`crate::unit::for_each`].
pub fn page(planned: &Planned, job: &Job, text: &JobText, each: &str) -> Result<Page> {
    let (accounting, delta) = (text.accounting()?, text.delta);
    let epsilon = accounting.epsilon_upper(planned.plan.total, delta).doing("the plan")?;
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
    if let GateMode::Sampled(rate) = job.gate.mode {
        let each = rate.probability();
        page = page.row("sampling", format!("each unit is in a round with probability {each}"));
    }
    if let Some(c) = &job.centring {
        page = page.row("centring", noise(GateMode::Unit, c.clip, c.steps, c.sigma));
    }
    if let Some([each, _, _, loss]) = metrics::deviations(job) {
        let noise = format!("noise of {each:.2e} in accuracy and shares, {loss:.2e} in the loss");
        page = page.row("metrics", noise);
    }
    Ok(page
        .row("releases", releases)
        .row("cost", format!("epsilon {epsilon:.4} at delta {delta:e}{}, {each}", at(accounting))))
}

/// The account, where it has to be said.
pub fn at(accounting: Accounting) -> String {
    accounting.order().map_or_else(String::new, |order| format!(" (counted at order {order})"))
}

#[cfg(test)]
mod tests {
    use cloister_privacy::Order;

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
    fn sampling_takes_less_noise_at_one_order_and_none_less_at_all() {
        let mut sampled = text();
        sampled.sampling = Some(0.1);
        let at_all = plan(&sampled).unwrap();
        assert_eq!(at_all.gate.sigma, plan(&text()).unwrap().gate.sigma);
        sampled.order = Some(20);
        let at_one = plan(&sampled).unwrap();
        assert!(at_one.gate.sigma * 3 < at_all.gate.sigma);
        let epsilon =
            Accounting::At(Order::new(20).unwrap()).epsilon_upper(at_one.plan.total, 1e-5);
        assert!(epsilon.unwrap() <= 1.0);
        sampled.groups = Some(4);
        assert!(plan(&sampled).is_err_and(|error| error.to_string().contains("not both")));
    }

    #[test]
    fn an_impossible_budget_is_refused() {
        let mut text = text();
        text.epsilon = 0.0;
        assert!(plan(&text).is_err_and(|error| error.to_string().contains("epsilon")));
    }
}
