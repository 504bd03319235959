//! What a job costs the people in it: the sum of its releases.

use serde::{Deserialize, Serialize};

use crate::{Accounting, Error, Rate, Zcdp, renyi};

/// How far one privacy unit can move the sum behind a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// Each unit has an update of its own, and a slot without rows adds exactly
    /// zero: one clip bound.
    Unit,
    /// Units share groups, and a unit turns its group's update into another:
    /// two clip bounds.
    Group,
}

impl Sensitivity {
    /// The L2 sensitivity of the sum in grid steps, for a gate with so many steps
    /// in the clip bound.
    ///
    /// # Errors
    ///
    /// [`Error::CostOverflow`] when it does not fit.
    pub fn steps(self, steps: u64) -> Result<u64, Error> {
        match self {
            Self::Unit => Ok(steps),
            Self::Group => steps.checked_mul(2).ok_or(Error::CostOverflow),
        }
    }
}

/// The parameters of one release that decide its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// How far a unit moves the sum.
    pub sensitivity: Sensitivity,
    /// Grid steps in the gate's clip bound.
    pub steps: u64,
    /// The discrete Gaussian's sigma, in grid steps.
    pub sigma_steps: u64,
    /// With which probability each unit takes part, if not all do.
    pub sampling: Option<Rate>,
}

impl Release {
    /// What this release costs, rounded up, whoever takes part: what sampling saves is
    /// nobody's but an account's of one order.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::of_gaussian`].
    pub fn cost(&self) -> Result<Zcdp, Error> {
        Zcdp::of_gaussian(self.sensitivity.steps(self.steps)?, self.sigma_steps)
    }
}

/// All releases of a job, in their order: so many of each kind. Server steps on them are
/// post-processing and free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCost(Vec<(u32, Release)>);

impl JobCost {
    /// The cost of so many releases of each kind, one kind after the other.
    #[must_use]
    pub fn new(releases: impl IntoIterator<Item = (u32, Release)>) -> Self {
        Self(releases.into_iter().collect())
    }

    /// The total at all orders, rounded up release by release: what the job says it costs.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::of_gaussian`].
    pub fn total(&self) -> Result<Zcdp, Error> {
        self.charge(Accounting::AllOrders)
    }

    /// What no account could claim less than for all releases together, at `delta`: with an
    /// upper epsilon it brackets the loss, for releases with Gaussian noise compose to one.
    /// Nothing where units are sampled, for which nobody has a bound from below.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::of_gaussian`] and [`Zcdp::epsilon_lower`].
    pub fn epsilon_lower(&self, delta: f64) -> Result<Option<f64>, Error> {
        if self.0.iter().any(|(_, release)| release.sampling.is_some()) {
            return Ok(None);
        }
        // Each release's cost was rounded up, by less than a pico-rho.
        let releases = self.0.iter().map(|(count, _)| u64::from(*count)).sum();
        let exactly = self.total()?.checked_sub(Zcdp::from_pico(releases));
        exactly.unwrap_or(Zcdp::ZERO).epsilon_lower(delta).map(Some)
    }

    /// The total as a ledger of this account charges it.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::of_gaussian`].
    pub fn charge(&self, accounting: Accounting) -> Result<Zcdp, Error> {
        self.of_first(u32::MAX, accounting)
    }

    /// What the first so many releases cost. The whole job is reserved beforehand; this is
    /// for showing progress.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::of_gaussian`].
    pub fn of_first(&self, releases: u32, accounting: Accounting) -> Result<Zcdp, Error> {
        let mut left = releases;
        let mut total = Zcdp::ZERO;
        for (count, release) in &self.0 {
            let now = left.min(*count);
            left -= now;
            let each = release.cost()?;
            let all = match (accounting, release.sampling) {
                (Accounting::At(order), Some(rate)) => renyi::sampled(each, now, rate, order)?,
                _ => each.checked_mul(now.into())?,
            };
            total = total.checked_add(all)?;
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release(sensitivity: Sensitivity, steps: u64, sigma_steps: u64) -> Release {
        Release { sensitivity, steps, sigma_steps, sampling: None }
    }

    #[test]
    fn a_job_costs_the_sum_of_its_releases() {
        let round = release(Sensitivity::Unit, 1024, 22_000);
        let job = JobCost::new([(24, round)]);
        assert_eq!(job.total().unwrap().as_pico(), 24 * 1_083_239_670);
        let job = JobCost::new([(1, release(Sensitivity::Unit, 1, 3)), (24, round)]);
        let total = 24 * 1_083_239_670 + 55_555_555_556;
        assert_eq!(job.total().unwrap().as_pico(), total);
        let first = |releases| job.of_first(releases, Accounting::AllOrders).unwrap().as_pico();
        assert_eq!([first(0), first(1)], [0, 55_555_555_556]);
        assert_eq!(first(3), 55_555_555_556 + 2 * 1_083_239_670);
        assert_eq!([first(25), first(26)], [total, total]);
    }

    #[test]
    fn groups_cost_four_times_as_much() {
        let unit = release(Sensitivity::Unit, 1024, 2048).cost().unwrap();
        let group = release(Sensitivity::Group, 1024, 2048).cost().unwrap();
        assert_eq!(unit.checked_mul(4).unwrap(), group);
    }

    #[test]
    fn jobs_that_cannot_be_charged_are_refused() {
        let job = |rounds, round| JobCost::new([(rounds, round)]);
        let dear = release(Sensitivity::Unit, 6000, 1);
        assert!(job(1, dear).total().is_ok());
        assert_eq!(job(2, dear).total(), Err(Error::CostOverflow));
        let huge = release(Sensitivity::Group, u64::MAX, 1);
        assert_eq!(job(1, huge).total(), Err(Error::CostOverflow));
        let silent = job(1, release(Sensitivity::Unit, 1024, 0));
        assert!(matches!(silent.total(), Err(Error::SigmaOutOfRange { found: 0, .. })));
    }

    #[test]
    fn modes_are_words_on_the_wire() {
        assert_eq!(serde_json::to_string(&Sensitivity::Unit).unwrap(), "\"unit\"");
        assert_eq!(serde_json::from_str::<Sensitivity>("\"group\"").unwrap(), Sensitivity::Group);
    }

    proptest! {
        #[test]
        fn cost_is_monotone(
            rounds in 1_u32..1000,
            steps in 16_u64..1 << 20,
            sigma in 1_u64 << 10..1 << 32,
            more in 1_u64..1000,
            group: bool,
        ) {
            let sensitivity = if group { Sensitivity::Group } else { Sensitivity::Unit };
            let round = release(sensitivity, steps, sigma);
            let cost = |rounds, round| JobCost::new([(rounds, round)]).total().unwrap();
            let total = cost(rounds, round);
            prop_assert!(cost(rounds + 1, round) > total);
            let quieter = Release { sigma_steps: sigma + more, ..round };
            prop_assert!(cost(rounds, quieter) <= total);
            let wider = Release { steps: steps + more, ..round };
            prop_assert!(cost(rounds, wider) >= total);
            let centring = release(Sensitivity::Unit, steps, sigma);
            let centred = JobCost::new([(1, centring), (rounds, round)]);
            prop_assert!(centred.total().unwrap() > total);
        }
    }
}
