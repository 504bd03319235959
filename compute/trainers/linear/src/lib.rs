//! Linear regression.
//!
//! For a row with features x and a target y, the model predicts
//! `middle + spread * (w * x + b)`. The model tensor has a row for each feature and one
//! more for the bias (its input is the constant 1), and a column for each target;
//! several targets are several regressions on the same features.
//!
//! The loss is half the squared error in units of `spread`, on average over one unit's
//! rows, so the gradient for weight i is the mean of `(w * x + b - t) * x[i]` with
//! `t = (y - middle) / spread`, plus `l2` times the weight. The model starts at zero,
//! which predicts `middle`.
//!
//! Nothing bounds the error of a linear model, and the update is clipped by its norm: a
//! target far from the others says no more than one at the clip. `middle` and `spread`
//! are public guesses that make `t` a number around zero of size one.

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};

/// Linear regression with a bias and optional weight decay.
struct Linear;

impl Trainer for Linear {
    fn describe() -> Description {
        Description::new(
            "linear",
            env!("CARGO_PKG_VERSION"),
            "linear regression, a number for each target",
        )
        .real("middle", [-1e9, 1e9], 0.0, "what a target is about; the same for all targets")
        .real("spread", [1e-9, 1e9], 1.0, "how far targets are from it; the same for all")
        .real("l2", [0.0, 1.0], 0.0, "weight decay: pulls weights to zero")
        .model("a weight for each feature, then the bias; a column for each target")
        .scores("the expected target")
    }

    fn init(features: u32, targets: u32, _: &Params) -> Tensor {
        Tensor::zeros(features + 1, targets)
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        if rows.is_empty() {
            return model.zeros_like();
        }
        let (middle, spread) = (params.get_f32("middle"), params.get_f32("spread"));
        let inputs = rows.features.append_column(1.0);
        let mut error = inputs.matmul(model);
        error.scaled_add(-1.0 / spread, rows.targets);
        error += &Tensor::filled(1, model.columns(), middle / spread);
        error *= 1.0 / rows.len() as f32;
        let mut gradient = inputs.t().matmul(&error);
        let l2 = params.get_f32("l2");
        if l2 != 0.0 {
            gradient.scaled_add(l2, model);
        }
        gradient
    }

    fn score(model: &Tensor, features: &Tensor, params: &Params) -> Tensor {
        let mut expected = features.append_column(1.0).matmul(model);
        expected *= params.get_f32("spread");
        expected += &Tensor::filled(1, model.columns(), params.get_f32("middle"));
        expected
    }
}

cloister_compute::export!(Linear);
