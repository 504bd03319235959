//! What a job costs the people in it: the sum of its releases.

use serde::{Deserialize, Serialize};

use crate::{Error, Zcdp};

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
}

impl Release {
    /// What this release costs, rounded up.
    ///
    /// # Errors
    ///
    /// As for [`Zcdp::of_gaussian`].
    pub fn cost(&self) -> Result<Zcdp, Error> {
        Zcdp::of_gaussian(self.sensitivity.steps(self.steps)?, self.sigma_steps)
    }
}

/// All releases of a job. Server steps on them are post-processing and free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobCost {
    /// How many rounds, each with one release.
    pub rounds: u32,
    /// The release of each round.
    pub round: Release,
    /// Release 0, a mean of the features that centres them, if the job has one.
    /// The runtime computes it unit by unit, so its sensitivity is
    /// [`Unit`](Sensitivity::Unit) even where rounds are grouped.
    pub centring: Option<Release>,
}

impl JobCost {
    /// The total, rounded up release by release, as the ledger charges it.
    ///
    /// # Errors
    ///
    /// [`Error::ZeroRounds`], and as for [`Zcdp::of_gaussian`].
    pub fn total(&self) -> Result<Zcdp, Error> {
        self.after(self.rounds)
    }

    /// What has been released once `round` rounds are over, centring included.
    /// The whole job is reserved beforehand; this is for showing progress.
    ///
    /// # Errors
    ///
    /// As for [`total`](Self::total).
    pub fn after(&self, round: u32) -> Result<Zcdp, Error> {
        if self.rounds == 0 {
            return Err(Error::ZeroRounds);
        }
        let rounds = self.round.cost()?.checked_mul(round.into())?;
        match &self.centring {
            Some(centring) => centring.cost()?.checked_add(rounds),
            None => Ok(rounds),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release(sensitivity: Sensitivity, steps: u64, sigma_steps: u64) -> Release {
        Release { sensitivity, steps, sigma_steps }
    }

    #[test]
    fn a_job_costs_the_sum_of_its_releases() {
        let mut job =
            JobCost { rounds: 24, round: release(Sensitivity::Unit, 1024, 22_000), centring: None };
        assert_eq!(job.total().unwrap().as_pico(), 24 * 1_083_239_670);
        job.centring = Some(release(Sensitivity::Unit, 1, 3));
        let total = 24 * 1_083_239_670 + 55_555_555_556;
        assert_eq!(job.total().unwrap().as_pico(), total);
        assert_eq!(job.after(0).unwrap().as_pico(), 55_555_555_556);
        assert_eq!(job.after(24), job.total());
    }

    #[test]
    fn groups_cost_four_times_as_much() {
        let unit = release(Sensitivity::Unit, 1024, 2048).cost().unwrap();
        let group = release(Sensitivity::Group, 1024, 2048).cost().unwrap();
        assert_eq!(unit.checked_mul(4).unwrap(), group);
    }

    #[test]
    fn jobs_that_cannot_be_charged_are_refused() {
        let job = |rounds, round| JobCost { rounds, round, centring: None };
        let ordinary = release(Sensitivity::Unit, 1024, 2048);
        assert_eq!(job(0, ordinary).total(), Err(Error::ZeroRounds));
        let dear = release(Sensitivity::Unit, 6000, 1);
        assert!(job(1, dear).total().is_ok());
        assert_eq!(job(2, dear).total(), Err(Error::CostOverflow));
        let huge = release(Sensitivity::Group, u64::MAX, 1);
        assert_eq!(job(1, huge).total(), Err(Error::CostOverflow));
        let mut silent = job(1, ordinary);
        silent.centring = Some(release(Sensitivity::Unit, 1024, 0));
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
            let job = JobCost {
                rounds,
                round: release(sensitivity, steps, sigma),
                centring: None,
            };
            let total = job.total().unwrap();
            let mut longer = job;
            longer.rounds += 1;
            prop_assert!(longer.total().unwrap() > total);
            let mut quieter = job;
            quieter.round.sigma_steps += more;
            prop_assert!(quieter.total().unwrap() <= total);
            let mut wider = job;
            wider.round.steps += more;
            prop_assert!(wider.total().unwrap() >= total);
            let mut centred = job;
            centred.centring = Some(release(Sensitivity::Unit, steps, sigma));
            prop_assert!(centred.total().unwrap() > total);
        }
    }
}
