//! What can be wrong with the parameters of the mechanism.
//!
//! Nothing here depends on data: an update that is not a vector of finite
//! numbers of the right length is no error, it counts as zero (see
//! [`gate`](crate::gate)). Every variant is about public parameters or about
//! code that mixes up two gates.

/// Why parameters were refused. [`code`](Error::code) is stable, messages are not.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A zCDP total does not fit 64 bits of pico-rho (rho above about 18 million).
    #[error(
        "the privacy cost exceeds {} pico-rho, the most that can be accounted for; raise sigma or lower the number of releases",
        u64::MAX
    )]
    CostOverflow,

    /// The sensitivity of a release is zero.
    #[error("a release's sensitivity is 0 grid steps, expected at least 1; set the clip's steps")]
    ZeroSensitivity,

    /// Sigma is zero or above [`MAX_SIGMA_STEPS`](crate::gaussian::MAX_SIGMA_STEPS).
    #[error("sigma is {found} grid steps, expected 1 to {max}; choose another sigma or grid")]
    SigmaOutOfRange {
        /// What was given, in grid steps.
        found: u64,
        /// The largest sigma, in grid steps.
        max: u64,
    },

    /// Delta is not strictly between 0 and 1.
    #[error("delta is {found}, expected a number above 0 and below 1, such as 1e-5")]
    DeltaOutOfRange {
        /// What was given.
        found: f64,
    },

    /// Epsilon is not a finite number above zero.
    #[error("epsilon is {found}, expected a finite number above 0, such as 1.0")]
    EpsilonOutOfRange {
        /// What was given.
        found: f64,
    },

    /// The clip bound is not a number in the accepted range.
    #[error("the clip bound is {found}, expected a number from {min:e} to {max:e}")]
    ClipOutOfRange {
        /// What was given, in the update's units.
        found: f64,
        /// The smallest clip bound.
        min: f64,
        /// The largest clip bound.
        max: f64,
    },

    /// The loss that counts as 1 is not a number in the accepted range.
    #[error("the largest loss of metrics is {found}, expected a number from {min:e} to {max:e}")]
    LossOutOfRange {
        /// What was given.
        found: f64,
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },

    /// The update has no coordinates.
    #[error("the update's dimension is 0, expected at least 1 coordinate")]
    ZeroDimension,

    /// The grid is too coarse for the dimension: truncation would eat the signal.
    #[error(
        "the grid has {found} steps in the clip bound, expected at least {min} (16 times the square root of {dimension} dimensions); use more steps"
    )]
    GridTooCoarse {
        /// Steps in the clip bound.
        found: u64,
        /// The fewest steps for this dimension.
        min: u64,
        /// The update's dimension.
        dimension: usize,
    },

    /// The grid is so fine that a sum might not fit 64 bits.
    #[error(
        "the grid has {found} steps in the clip bound, expected at most {max}; use fewer steps"
    )]
    GridTooFine {
        /// Steps in the clip bound.
        found: u64,
        /// The largest number of steps.
        max: u64,
    },

    /// An update or a sum of one gate was added to a sum of another.
    #[error(
        "an update made by one gate was added to the sum of another; use one clip, grid and dimension in a release"
    )]
    GateMismatch,

    /// More units than a sum is proven to hold.
    #[error("the sum would hold {found} units, expected at most {max}; split the population")]
    TooManyUnits {
        /// The number of units after the addition.
        found: u64,
        /// The largest number of units.
        max: u64,
    },

    /// No updates of so many units add up to this.
    #[error("a sum of {units} units is larger than their updates can be: its worker is not ours")]
    NormTooLarge {
        /// The number of units.
        units: u32,
    },

    /// A mean was asked for over no units.
    #[error("the public divisor of a mean is 0, expected the number of declared units")]
    ZeroDivisor,

    /// A vector does not have the length that the model or the gate has.
    #[error("a vector has {found} coordinates, expected {expected}")]
    WrongLength {
        /// What the model or gate has.
        expected: usize,
        /// What was given.
        found: usize,
    },

    /// A vector that must be finite is not.
    #[error("coordinate {index} is {found}, expected a finite number")]
    NotFinite {
        /// The first coordinate that is not finite.
        index: usize,
        /// Its value.
        found: f64,
    },

    /// A parameter of the server step is out of range.
    #[error("the server's {name} is {found}, expected {expected}")]
    ServerParameter {
        /// The parameter's name in a job.
        name: &'static str,
        /// What was given.
        found: f64,
        /// The accepted range, in words.
        expected: &'static str,
    },

    /// No account is kept at this order.
    #[error("the order is {found}, expected 2 to {max}", max = crate::renyi::MAX_ORDER)]
    OrderOutOfRange {
        /// What was given.
        found: u32,
    },

    /// At this order not even nothing has so small an epsilon.
    #[error(
        "at order {order} no amount has an epsilon of {epsilon} at most; take a larger order, or a larger epsilon or delta"
    )]
    OrderTooSmall {
        /// The order.
        order: u32,
        /// What was asked for.
        epsilon: f64,
    },

    /// A sampling rate of nothing, of everything, or of what is no probability.
    #[error("the sampling rate is {found}, expected a probability above 0 and below 1")]
    RateOutOfRange {
        /// What was given.
        found: f64,
    },

    /// A job without a round releases nothing.
    #[error("the job has 0 rounds, expected at least 1")]
    ZeroRounds,

    /// A share of the budget is not a fraction strictly between 0 and 1.
    #[error(
        "a share of the budget is {numerator}/{denominator}, expected a fraction above 0 and below 1, such as 1/5"
    )]
    ShareOutOfRange {
        /// As given.
        numerator: u32,
        /// As given.
        denominator: u32,
    },

    /// The shares of releases beside the rounds are all of the budget, or more.
    #[error("the shares of centring and metrics leave nothing for the rounds; make them smaller")]
    SharesTooLarge,

    /// No accepted sigma is large enough for the budget.
    #[error(
        "a budget of {budget} pico-rho for each release needs a sigma above {max} grid steps; allow a larger epsilon, fewer rounds or fewer grid steps"
    )]
    BudgetTooSmall {
        /// What one release may cost, in pico-rho.
        budget: u64,
        /// The largest sigma, in grid steps.
        max: u64,
    },
}

impl Error {
    /// A name for this kind of error that stays the same across versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::CostOverflow => "privacy.cost-overflow",
            Self::ZeroSensitivity => "privacy.zero-sensitivity",
            Self::SigmaOutOfRange { .. } => "privacy.sigma-out-of-range",
            Self::DeltaOutOfRange { .. } => "privacy.delta-out-of-range",
            Self::EpsilonOutOfRange { .. } => "privacy.epsilon-out-of-range",
            Self::ClipOutOfRange { .. } => "privacy.clip-out-of-range",
            Self::LossOutOfRange { .. } => "privacy.loss-out-of-range",
            Self::ZeroDimension => "privacy.zero-dimension",
            Self::GridTooCoarse { .. } => "privacy.grid-too-coarse",
            Self::GridTooFine { .. } => "privacy.grid-too-fine",
            Self::GateMismatch => "privacy.gate-mismatch",
            Self::TooManyUnits { .. } => "privacy.too-many-units",
            Self::NormTooLarge { .. } => "privacy.norm-too-large",
            Self::ZeroDivisor => "privacy.zero-divisor",
            Self::WrongLength { .. } => "privacy.wrong-length",
            Self::NotFinite { .. } => "privacy.not-finite",
            Self::ServerParameter { .. } => "privacy.server-parameter",
            Self::OrderOutOfRange { .. } => "privacy.order-out-of-range",
            Self::OrderTooSmall { .. } => "privacy.order-too-small",
            Self::RateOutOfRange { .. } => "privacy.rate-out-of-range",
            Self::ZeroRounds => "privacy.zero-rounds",
            Self::ShareOutOfRange { .. } => "privacy.share-out-of-range",
            Self::SharesTooLarge => "privacy.shares-too-large",
            Self::BudgetTooSmall { .. } => "privacy.budget-too-small",
        }
    }
}
