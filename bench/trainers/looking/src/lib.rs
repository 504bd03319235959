//! Logistic regression that looks at a number of each unit before it goes on, as the trainer of
//! that name does not: so it gets an instance for each.

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};

struct Looking;

impl Trainer for Looking {
    fn describe() -> Description {
        Description::new("looking", env!("CARGO_PKG_VERSION"), "logistic regression that looks")
            .real("l2", [0.0, 0.0], 0.0, "there is none")
            .model("a weight for each feature, then the bias")
            .scores("the probability of yes")
    }

    fn init(features: u32, targets: u32, _: &Params) -> Tensor {
        Tensor::zeros(features + 1, targets)
    }

    fn update(model: &Tensor, rows: Rows<'_>, _: &Params) -> Tensor {
        assert!(rows.targets.get(0, 0) >= 0.0, "targets are 0 or 1");
        let inputs = rows.features.append_column(1.0);
        let mut error = inputs.matmul(model).sigmoid();
        error -= rows.targets;
        error *= 1.0 / rows.len() as f32;
        inputs.t().matmul(&error)
    }

    fn score(model: &Tensor, features: &Tensor, _: &Params) -> Tensor {
        features.append_column(1.0).matmul(model).sigmoid()
    }
}

cloister_compute::export!(Looking);
