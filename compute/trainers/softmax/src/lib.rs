//! Multinomial logistic regression.
//!
//! Each target column is a class, and a row has 1 in the column of its class and 0 in
//! the others. For a row with features x the model predicts the probabilities
//! p = softmax(w * x + b). The model tensor has a row for each feature and one more for
//! the bias (its input is the constant 1), and a column for each class.
//!
//! `update` is the gradient of the mean cross-entropy over one unit's rows: for the
//! weight of feature i and class k the mean of `(p[k] - y[k]) * x[i]`, plus `l2` times
//! the weight. The error `p - y` is at most the root of 2 long, so a row's gradient is
//! at most that times the length of its features with the constant. The model starts at
//! zero, where all classes are equally likely.

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};

/// Multinomial logistic regression with biases and optional weight decay.
struct Softmax;

impl Trainer for Softmax {
    fn describe() -> Description {
        Description::new(
            "softmax",
            env!("CARGO_PKG_VERSION"),
            "multinomial logistic regression, one class of several",
        )
        .real("l2", [0.0, 1.0], 0.0, "weight decay: pulls weights to zero")
        .model("a weight for each feature, then the bias; a column for each class")
        .scores("the probability of each class")
    }

    fn init(features: u32, targets: u32, _: &Params) -> Tensor {
        Tensor::zeros(features + 1, targets)
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        if rows.is_empty() {
            return model.zeros_like();
        }
        let inputs = rows.features.append_column(1.0);
        let mut error = inputs.matmul(model).softmax();
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
        features.append_column(1.0).matmul(model).softmax()
    }
}

cloister_compute::export!(Softmax);
