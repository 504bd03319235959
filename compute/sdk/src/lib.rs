//! What training code for Cloister is written against.
//!
//! A trainer says how one privacy unit's rows would like to change the model. The
//! runtime does the rest: it owns the data loop, runs each unit in a fresh
//! instance, clips, sums, adds noise and takes the step. So a trainer is a few
//! lines of arithmetic:
//!
//! ```
//! use cloister_compute::{Description, Params, Rows, Tensor, Trainer};
//!
//! /// Estimates the mean of each feature: model = model - rate * mean(model - x).
//! struct Mean;
//!
//! impl Trainer for Mean {
//!     fn describe() -> Description {
//!         Description::new("mean", "1.0.0", "the mean of each feature")
//!             .model("one value for each feature")
//!             .scores("the distance from the mean")
//!     }
//!
//!     fn init(features: u32, _targets: u32, _: &Params) -> Tensor {
//!         Tensor::zeros(1, features)
//!     }
//!
//!     fn update(model: &Tensor, rows: Rows<'_>, _: &Params) -> Tensor {
//!         let ones = Tensor::filled(1, rows.len(), 1.0);
//!         let mut difference = ones.matmul(rows.features);
//!         difference *= -1.0 / rows.len() as f32;
//!         difference += model;
//!         difference
//!     }
//!
//!     fn score(_: &Tensor, features: &Tensor, _: &Params) -> Tensor {
//!         Tensor::zeros(features.rows(), 1)
//!     }
//! }
//!
//! cloister_compute::export!(Mean);
//! # fn main() {}
//! ```
//!
//! Tensors live in the runtime; what a trainer holds is a handle, and every
//! operation is one call of a kernel that charges fuel by its size. A trainer has
//! no clock, no files, no network and no log. A panic is a trap: that unit then
//! counts as the zero update, and nobody is told which it was.
//!
//! The crate also compiles for the host, so that editors and `cargo check` work;
//! its kernels exist only inside the runtime.

#[cfg(target_arch = "wasm32")]
mod allocator;
mod describe;
mod params;
mod tensor;

/// Bindings generated from `compute/wit/world.wit`. Used by [`export!`].
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, clippy::pedantic, unused_qualifications)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "trainer",
        pub_export_macro: true,
        default_bindings_module: "cloister_compute::bindings",
    });
}

pub use bindings::cloister::compute::random;
pub use bindings::cloister::compute::tensors::Tensor;
pub use bindings::cloister::compute::types::{Description, Parameter, ParameterKind};
pub use params::Params;
pub use tensor::Transposed;

/// The rows of one privacy unit.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// One row for each row of the unit, one column for each feature.
    pub features: &'a Tensor,
    /// One row for each row of the unit, one column for each target.
    pub targets: &'a Tensor,
}

impl Rows<'_> {
    /// The number of rows. It may be 0.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.features.rows()
    }

    /// Whether the unit has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Code that trains a model from one privacy unit at a time.
pub trait Trainer {
    /// What the code is and which parameters it takes. Runs before any data.
    fn describe() -> Description;

    /// The first model. Its shape is the shape of every update.
    fn init(features: u32, targets: u32, params: &Params) -> Tensor;

    /// The gradient of the loss over one unit's rows, of the model's shape.
    /// The runtime steps against it: `model -= rate * mean(update)`.
    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor;

    /// Predictions for public rows, or one unit's own for metrics: as many rows as
    /// `features`, one column for each target.
    fn score(model: &Tensor, features: &Tensor, params: &Params) -> Tensor;
}

/// Exports a [`Trainer`] as the component's world. Once per crate.
#[macro_export]
macro_rules! export {
    ($trainer:ty) => {
        const _: () = {
            struct Exported;

            impl $crate::bindings::Guest for Exported {
                fn describe() -> $crate::Description {
                    <$trainer as $crate::Trainer>::describe()
                }

                fn init(
                    features: u32,
                    targets: u32,
                    params: ::std::vec::Vec<(::std::string::String, f64)>,
                ) -> $crate::Tensor {
                    let params = $crate::Params::from(params);
                    <$trainer as $crate::Trainer>::init(features, targets, &params)
                }

                fn update(
                    model: &$crate::Tensor,
                    features: &$crate::Tensor,
                    targets: &$crate::Tensor,
                    params: ::std::vec::Vec<(::std::string::String, f64)>,
                ) -> $crate::Tensor {
                    let params = $crate::Params::from(params);
                    let rows = $crate::Rows { features, targets };
                    <$trainer as $crate::Trainer>::update(model, rows, &params)
                }

                fn score(
                    model: &$crate::Tensor,
                    features: &$crate::Tensor,
                    params: ::std::vec::Vec<(::std::string::String, f64)>,
                ) -> $crate::Tensor {
                    let params = $crate::Params::from(params);
                    <$trainer as $crate::Trainer>::score(model, features, &params)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
