//! Logistic regression.
//!
//! For a row with features x and a target y of 0 or 1, the model predicts
//! p = 1 / (1 + exp(-(w * x + b))). The model tensor has a row for each feature and
//! one more for the bias (its input is the constant 1), and a column for each
//! target; several targets are independent yes-or-no questions.
//!
//! `update` is the gradient of the mean log loss over one unit's rows, which for
//! weight i is the mean of `(p - y) * x[i]`, plus `l2` times the weight. A unit with many
//! rows therefore counts as much as a unit with one. The runtime steps against the
//! gradient. The model starts at zero, where the loss is convex and nothing is
//! symmetric that needs breaking.
//!
//! Features should be of similar scale before they come here: the update is
//! clipped by its norm, so a feature with large numbers would crowd out the others.

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};

/// Logistic regression with a bias and optional weight decay.
struct Logistic;

impl Trainer for Logistic {
    fn describe() -> Description {
        Description::new(
            "logistic",
            env!("CARGO_PKG_VERSION"),
            "logistic regression, a yes-or-no prediction for each target",
        )
        .real("l2", [0.0, 1.0], 0.0, "weight decay: pulls weights to zero")
        .model("a weight for each feature, then the bias; a column for each target")
        .scores("the probability of yes")
    }

    fn init(features: u32, targets: u32, _: &Params) -> Tensor {
        Tensor::zeros(features + 1, targets)
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        if rows.is_empty() {
            return model.zeros_like();
        }
        let inputs = rows.features.append_column(1.0);
        let mut error = inputs.matmul(model).sigmoid();
        error -= rows.targets;
        error *= 1.0 / rows.len() as f32;
        let mut gradient = inputs.t().matmul(&error);
        let l2 = params.get_f32("l2");
        if l2 != 0.0 {
            gradient.scaled_add(l2, model);
        }
        gradient
    }

    fn score(model: &Tensor, features: &Tensor, _: &Params) -> Tensor {
        features.append_column(1.0).matmul(model).sigmoid()
    }
}

cloister_compute::export!(Logistic);
