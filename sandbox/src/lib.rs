//! Runs a compute component so that it can do nothing but compute.
//!
//! A component is offered ([`offer`]): its structure is checked before it is compiled,
//! and an import outside `compute/wit/world.wit` is refused by name. A [`Pool`] then
//! runs it in worker processes ([`worker`]) that hold one descriptor and may make a
//! handful of system calls. Each privacy unit gets a fresh instance, its own fuel and
//! its own random stream, or, where code never looks at what it is given, what one instance
//! asked for when it was given zeros. What comes back is the sum of the updates of many, each
//! clipped and on a grid, and never a reason why one is missing.
//! Results depend on the component, the model, the unit's rows and the settings:
//! not on the number of workers, on the order of units, or on the clock.
//!
//! Clipping, the grid and the sum are `cloister-privacy`'s; so is the noise, which is the
//! caller's to add.

mod engine;
#[cfg(feature = "examine")]
mod examine;
pub mod fuel;
mod instance;
mod limits;
pub mod offer;
#[cfg(feature = "package")]
pub mod package;
mod pool;
mod protocol;
mod random;
mod score;
mod shared;
mod tensors;
#[cfg(feature = "examine")]
mod trial;
mod units;
pub mod worker;

#[cfg(feature = "examine")]
pub use examine::{Examined, Outcome, Way};
pub use limits::{
    Limits, MAX_COMPONENT_BYTES, MAX_MODEL_ELEMENTS, MAX_PARAMETERS, MAX_UNIT_ELEMENTS,
};
pub use offer::{Compiled, Description, OfferError, Parameter, ParameterKind, compile, inspect};
pub use pool::{Pool, PoolError, Settings};
pub use score::Score;
#[cfg(feature = "examine")]
pub use trial::Trial;
pub use units::UnitRows;
