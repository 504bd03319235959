//! The arithmetic of Cloister's privacy claim: what is clipped, rounded, noised
//! and charged, and nothing else.
//!
//! Every function is pure. There is no I/O and no clock, and randomness is an
//! argument (a [`rand_core::Rng`]). Everything on which the claim rests is
//! computed in integers: the check that an update fits its norm, the sum, the
//! noise and the charge. Floating point appears in three places, each with its
//! own argument for why it cannot hurt: scaling an update before that check
//! ([`gate`]), converting rho to epsilon, which is rounded outward
//! ([`Zcdp::epsilon_upper`]), and what happens to releases afterwards
//! ([`NoisySum::mean`], [`server`]). The last two use only operations that IEEE
//! 754 fixes to the bit, or `libm`, so that two machines always agree.
//!
//! Units used throughout:
//!
//! | quantity | unit |
//! |---|---|
//! | clip bound `C` | L2 norm of one update, in the update's own units |
//! | `steps` | grid steps in `C`: a grid step is `C / steps` |
//! | `sigma_steps` | the discrete Gaussian's parameter sigma, in grid steps |
//! | [`Zcdp`] | pico-rho: 1e-12 of the rho of zero-concentrated privacy |
//!
//! From a person's wish to a release:
//!
//! ```
//! use cloister_privacy::{Accounting, DiscreteGaussian, Gate, PlanRequest, Sensitivity};
//! use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
//!
//! // Before the job: epsilon 1 at delta 1e-5, over 24 rounds.
//! let gate = Gate::new(0.35, 1024, 31)?;
//! let plan = PlanRequest {
//!     epsilon: 1.0,
//!     delta: 1e-5,
//!     rounds: 24,
//!     steps: gate.steps(),
//!     sensitivity: Sensitivity::Unit,
//!     sampling: None,
//!     accounting: Accounting::AllOrders,
//!     centring: None,
//!     metrics: None,
//! }
//! .solve()?;
//!
//! // One round: one update for each unit, whatever the code made of it.
//! let mut sum = gate.sum();
//! for update in [[0.1_f32; 31], [f32::NAN; 31]] {
//!     sum.add(&gate.quantise(&update))?;
//! }
//!
//! // The only way out of a sum is through noise. (A fixed seed is for examples.)
//! let noise = DiscreteGaussian::new(plan.round.sigma_steps)?;
//! let mut rng = ChaCha12Rng::from_seed([0; 32]);
//! let release = sum.noise(&noise, &mut rng);
//! let mean = release.mean(2)?;
//! assert_eq!(mean.len(), 31);
//! # Ok::<(), cloister_privacy::Error>(())
//! ```

#![forbid(unsafe_code)]

pub mod conversion;
pub mod cost;
pub mod error;
pub mod gate;
pub mod gaussian;
pub mod metrics;
pub mod partial;
pub mod plan;
pub mod renyi;
pub mod server;
pub mod sum;
pub mod zcdp;

pub use cost::{JobCost, Release, Sensitivity};
pub use error::Error;
pub use gate::{Gate, Quantised};
pub use gaussian::{DiscreteGaussian, DiscreteLaplace};
pub use metrics::{METRICS, METRICS_CLIP, Metrics};
pub use partial::{PartialSum, Piece};
pub use plan::{BesideRequest, Plan, PlanRequest, Share};
pub use renyi::{Accounting, Order, Rate};
pub use server::{Server, ServerState};
pub use sum::{IntegerSum, NoisySum};
pub use zcdp::Zcdp;
