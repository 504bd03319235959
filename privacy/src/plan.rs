//! From what a person wants (epsilon, delta, rounds) to what a job says (sigma).

use crate::{
    Accounting, Error, JobCost, Rate, Release, Sensitivity, Zcdp, gaussian::MAX_SIGMA_STEPS,
};

/// A fraction strictly between 0 and 1, in integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    numerator: u32,
    denominator: u32,
}

impl Share {
    /// A fifth, which serves standardised tabular data well.
    pub const FIFTH: Self = Self { numerator: 1, denominator: 5 };

    /// The fraction `numerator / denominator`.
    ///
    /// # Errors
    ///
    /// [`Error::ShareOutOfRange`] unless it is above 0 and below 1.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, Error> {
        if 0 < numerator && numerator < denominator {
            Ok(Self { numerator, denominator })
        } else {
            Err(Error::ShareOutOfRange { numerator, denominator })
        }
    }

    /// This share of an amount, rounded down.
    fn of(self, amount: Zcdp) -> Zcdp {
        // amount * n / d = (amount / d) * n + (amount mod d) * n / d, where nothing
        // exceeds the amount or 2^64.
        let (n, d) = (u64::from(self.numerator), u64::from(self.denominator));
        let amount = amount.as_pico();
        Zcdp::from_pico(amount / d * n + amount % d * n / d)
    }
}

/// A release beside the rounds to be paid from the same budget: of centring, or of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BesideRequest {
    /// Grid steps in the clip bound of that release.
    pub steps: u64,
    /// How much of the budget it may use.
    pub share: Share,
}

/// What a person wants to spend, and on what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanRequest {
    /// The most the whole job may cost, with `delta`.
    pub epsilon: f64,
    /// The failure probability of the statement, below one over the population.
    pub delta: f64,
    /// How many rounds, each with one release.
    pub rounds: u32,
    /// Grid steps in the clip bound of a round's gate.
    pub steps: u64,
    /// Whether rounds have an update for each unit or for each group.
    pub sensitivity: Sensitivity,
    /// With which probability each unit takes part in a round, if not all do.
    pub sampling: Option<Rate>,
    /// How the account counts that it is paid from.
    pub accounting: Accounting,
    /// The centring release, if the job has one: by unit, whatever the rounds do.
    pub centring: Option<BesideRequest>,
    /// The metrics release, if the job has one: of all units or groups, as none is sampled.
    pub metrics: Option<BesideRequest>,
}

/// A job that fits its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What epsilon and delta come to, rounded down.
    pub budget: Zcdp,
    /// The release before the rounds, if one was asked for, with the smallest sigma that fits.
    pub centring: Option<Release>,
    /// The release of each round, with the smallest sigma that fits.
    pub round: Release,
    /// The release after the rounds, if one was asked for, with the smallest sigma that fits.
    pub metrics: Option<Release>,
    /// What the releases cost, rounded up; at most the budget.
    pub total: Zcdp,
}

impl PlanRequest {
    /// Finds the smallest integer sigmas whose exact cost, rounded up, is within
    /// the budget: first those of centring and metrics within their shares, then that
    /// of the rounds within all that is left.
    ///
    /// ```
    /// use cloister_privacy::{Accounting, BesideRequest, PlanRequest, Sensitivity, Share};
    ///
    /// let plan = PlanRequest {
    ///     epsilon: 1.0,
    ///     delta: 1e-5,
    ///     rounds: 24,
    ///     steps: 1024,
    ///     sensitivity: Sensitivity::Unit,
    ///     sampling: None,
    ///     accounting: Accounting::AllOrders,
    ///     centring: Some(BesideRequest { steps: 1024, share: Share::FIFTH }),
    ///     metrics: None,
    /// }
    /// .solve()?;
    /// assert!(plan.total <= plan.budget);
    /// assert!(plan.total.epsilon_upper(1e-5)? <= 1.0);
    /// # Ok::<(), cloister_privacy::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ZeroRounds`]; [`Error::SharesTooLarge`]; [`Error::BudgetTooSmall`] when no
    /// accepted sigma suffices; as for [`Accounting::budget_for`] and [`Zcdp::of_gaussian`].
    pub fn solve(&self) -> Result<Plan, Error> {
        if self.rounds == 0 {
            return Err(Error::ZeroRounds);
        }
        let budget = self.accounting.budget_for(self.epsilon, self.delta)?;

        let mut left = budget;
        let mut beside = |request: &Option<BesideRequest>, sensitivity| {
            let Some(BesideRequest { steps, share }) = *request else { return Ok(None) };
            let release = Release { sensitivity, steps, sigma_steps: 0, sampling: None };
            let (release, cost) = self.cheapest(1, release, share.of(budget))?;
            let rest = left.as_pico().checked_sub(cost.as_pico());
            left =
                rest.filter(|rest| *rest > 0).map(Zcdp::from_pico).ok_or(Error::SharesTooLarge)?;
            Ok(Some(release))
        };
        let Self { sensitivity, steps, sampling, .. } = *self;
        let centring = beside(&self.centring, Sensitivity::Unit)?;
        let metrics = beside(&self.metrics, sensitivity)?;
        let round = Release { sensitivity, steps, sigma_steps: 0, sampling };
        let (round, _) = self.cheapest(self.rounds, round, left)?;

        let total = cost([centring, metrics], self.rounds, round).charge(self.accounting)?;
        Ok(Plan { budget, centring, round, metrics, total })
    }

    /// The release with the smallest sigma of which `count` cost at most `budget`, and what
    /// they cost.
    fn cheapest(
        &self,
        count: u32,
        release: Release,
        budget: Zcdp,
    ) -> Result<(Release, Zcdp), Error> {
        let with = |sigma_steps| Release { sigma_steps, ..release };
        let fits = |sigma| match JobCost::new([(count, with(sigma))]).charge(self.accounting) {
            Ok(cost) => Ok((cost <= budget).then_some(cost)),
            Err(Error::CostOverflow) => Ok(None),
            Err(error) => Err(error),
        };
        // Invariant: `within` fits, at this cost, and nothing up to `beyond` does.
        let (mut beyond, mut within) = (0, MAX_SIGMA_STEPS);
        let each = budget.as_pico() / u64::from(count);
        let mut cost =
            fits(within)?.ok_or(Error::BudgetTooSmall { budget: each, max: MAX_SIGMA_STEPS })?;
        while within - beyond > 1 {
            let middle = beyond + (within - beyond) / 2;
            if let Some(fitting) = fits(middle)? {
                (within, cost) = (middle, fitting);
            } else {
                beyond = middle;
            }
        }
        Ok((with(within), cost))
    }
}

fn cost(beside: [Option<Release>; 2], rounds: u32, round: Release) -> JobCost {
    let beside = beside.into_iter().flatten().map(|release| (1, release));
    JobCost::new(beside.chain([(rounds, round)]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Order;

    fn request() -> PlanRequest {
        PlanRequest {
            epsilon: 1.0,
            delta: 1e-5,
            rounds: 24,
            steps: 1024,
            sensitivity: Sensitivity::Unit,
            sampling: None,
            accounting: Accounting::AllOrders,
            centring: Some(BesideRequest { steps: 2048, share: Share::FIFTH }),
            metrics: None,
        }
    }

    /// Checked by hand: sigma is the sensitivity over sqrt(2 rho) of its release.
    #[test]
    fn the_plan_of_the_first_demonstration() {
        let plan = request().solve().unwrap();
        // 2048 / sqrt(2 * 0.0305566 / 5) = 18524.2
        assert_eq!(plan.centring.unwrap().sigma_steps, 18_525);
        // 1024 / sqrt(2 * 0.0305566 * 4 / 5 / 24) = 22687.3
        assert_eq!(plan.round.sigma_steps, 22_688);
        assert!(plan.total <= plan.budget);
        assert!(plan.total.epsilon_upper(1e-5).unwrap() <= 1.0);
        assert!(plan.total.epsilon_upper(1e-5).unwrap() > 0.999);
    }

    #[test]
    fn groups_need_twice_the_noise_in_rounds_and_not_in_centring() {
        let unit = request().solve().unwrap();
        let group = PlanRequest { sensitivity: Sensitivity::Group, ..request() };
        let group = group.solve().unwrap();
        assert_eq!(group.centring, unit.centring);
        let (unit, group) = (unit.round.sigma_steps, group.round.sigma_steps);
        assert!((2 * unit - 1..=2 * unit).contains(&group), "{unit} {group}");
    }

    #[test]
    fn metrics_have_their_share_and_the_rounds_what_is_left() {
        let share = Share::new(1, 10).unwrap();
        let metrics = Some(BesideRequest { steps: 1024, share });
        let plan = PlanRequest { metrics, ..request() }.solve().unwrap();
        // 1024 / sqrt(2 * 0.0305566 / 10) = 13098.6
        assert_eq!(plan.metrics.unwrap().sigma_steps, 13_099);
        // 1024 / sqrt(2 * 0.0305566 * 7 / 10 / 24) = 24254.3
        assert_eq!(plan.round.sigma_steps, 24_255);
        assert!(plan.total <= plan.budget);
        let group = PlanRequest { sensitivity: Sensitivity::Group, metrics, ..request() };
        assert!((26_196..=26_198).contains(&group.solve().unwrap().metrics.unwrap().sigma_steps));
        let all = Some(BesideRequest { steps: 1024, share: Share::new(4, 5).unwrap() });
        let nothing_left = PlanRequest { centring: all, metrics: all, ..request() };
        assert_eq!(nothing_left.solve(), Err(Error::SharesTooLarge));
    }

    #[test]
    fn what_cannot_be_planned_is_refused() {
        let with = |change: fn(&mut PlanRequest)| {
            let mut request = request();
            change(&mut request);
            request.solve()
        };
        assert_eq!(with(|r| r.rounds = 0), Err(Error::ZeroRounds));
        assert_eq!(with(|r| r.steps = 0), Err(Error::ZeroSensitivity));
        assert!(matches!(with(|r| r.epsilon = f64::NAN), Err(Error::EpsilonOutOfRange { .. })));
        assert!(matches!(with(|r| r.delta = 0.0), Err(Error::DeltaOutOfRange { .. })));
        assert!(matches!(
            with(|r| (r.epsilon, r.steps) = (1e-3, 1 << 24)),
            Err(Error::BudgetTooSmall { .. })
        ));
    }

    #[test]
    fn shares_are_proper_fractions() {
        for (numerator, denominator) in [(0, 5), (5, 5), (6, 5), (0, 0), (1, 0)] {
            assert_eq!(
                Share::new(numerator, denominator),
                Err(Error::ShareOutOfRange { numerator, denominator })
            );
        }
        assert_eq!(Share::new(1, 5), Ok(Share::FIFTH));
        assert_eq!(Share::FIFTH.of(Zcdp::from_pico(u64::MAX)), Zcdp::from_pico(u64::MAX / 5));
    }

    proptest! {
        #[test]
        fn plans_fit_and_are_tight(
            epsilon in 0.1_f64..20.0,
            rounds in 1_u32..200,
            steps in 16_u64..1 << 16,
            part in 1_u32..9,
            group: bool,
            centred: bool,
            order in proptest::option::of(20_u32..100),
            parts in proptest::option::of(1_u32..),
        ) {
            let sensitivity = if group { Sensitivity::Group } else { Sensitivity::Unit };
            let accounting = Accounting::of(order.map(|order| Order::new(order).unwrap()));
            let sampling = parts.map(|parts| Rate::new(parts).unwrap());
            prop_assume!(accounting.budget_for(epsilon, 1e-5).is_ok());
            let plan = PlanRequest {
                epsilon,
                delta: 1e-5,
                rounds,
                steps,
                sensitivity,
                sampling,
                accounting,
                centring: centred.then(|| BesideRequest {
                    steps,
                    share: Share::new(part, 9).unwrap(),
                }),
                metrics: None,
            }
            .solve()
            .unwrap();
            prop_assert!(plan.total <= plan.budget);
            let spent = |centring, round| {
                cost([centring, None], rounds, round).charge(accounting).unwrap()
            };
            prop_assert_eq!(spent(plan.centring, plan.round), plan.total);
            prop_assert!(accounting.epsilon_upper(plan.total, 1e-5).unwrap() <= epsilon);
            // One step less of sigma no longer fits.
            let mut louder = plan.round;
            louder.sigma_steps -= 1;
            if louder.sigma_steps > 0 {
                prop_assert!(spent(plan.centring, louder) > plan.budget);
            }
            if let Some(mut centring) = plan.centring {
                centring.sigma_steps -= 1;
                let share = Share::new(part, 9).unwrap().of(plan.budget);
                if centring.sigma_steps > 0 {
                    prop_assert!(centring.cost().unwrap() > share);
                }
            }
        }
    }
}
