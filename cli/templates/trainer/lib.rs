//! Linear regression by least squares: something small that trains, to be changed.

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};

/// Predicts each target as a weighted sum of the features and a bias.
struct LeastSquares;

impl Trainer for LeastSquares {
    /// What owners read before they approve the code, and what jobs may set.
    fn describe() -> Description {
        Description::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "linear regression by least squares",
        )
        .real("l2", [0.0, 1.0], 0.0, "weight decay: pulls weights to zero")
        .model("a weight for each feature, then the bias; a column for each target")
        .scores("the predicted value")
    }

    /// The first model, from public things only. Each update has its shape.
    fn init(features: u32, targets: u32, _: &Params) -> Tensor {
        Tensor::zeros(features + 1, targets)
    }

    /// The gradient of the loss over one unit's rows. The runtime clips it, adds those of
    /// all units, adds noise, and steps against the mean.
    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        // A unit may have no rows; then it has nothing to say.
        if rows.is_empty() {
            return model.zeros_like();
        }
        // A column of ones, for the bias.
        let inputs = rows.features.append_column(1.0);
        // How far each prediction is from its target; the mean over the unit's rows.
        let mut error = inputs.matmul(model);
        error -= rows.targets;
        error *= 1.0 / rows.len() as f32;
        let mut gradient = inputs.t().matmul(&error);
        gradient.scaled_add(params.get_f32("l2"), model);
        gradient
    }

    /// Predictions for public rows: a row for each, a column for each target.
    fn score(model: &Tensor, features: &Tensor, _: &Params) -> Tensor {
        features.append_column(1.0).matmul(model)
    }
}

cloister_compute::export!(LeastSquares);
