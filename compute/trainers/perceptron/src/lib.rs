//! A perceptron with one hidden layer.
//!
//! Each target column is a class, and a row has 1 in the column of its class and 0 in
//! the others. For a row with features x the model predicts
//! p = softmax(V * h + c) with h = max(W * x + b, 0). The model is one row that holds W
//! (a row for each feature, a column for each hidden number), b, V (a row for each
//! hidden number, a column for each class) and c, one after the other.
//!
//! `update` is the gradient of the mean cross-entropy over one unit's rows, backwards
//! through both layers. With the error e = p - y it is `h * e` for V and e for c; with
//! d = V * e, where h is above zero and 0 elsewhere, it is `x * d` for W and d for b.
//! For a unit of one row both products are outer products, which the runtime does not
//! write out before they are added to the sum.
//!
//! W and V begin with normal numbers of variance 2 / inputs, from the job's seed, and the
//! biases at zero. The first model is public.

use cloister_compute::{Description, Params, Rows, Tensor, Trainer, random};

/// One hidden layer of rectified sums, then a softmax.
struct Perceptron;

impl Trainer for Perceptron {
    fn describe() -> Description {
        Description::new(
            "perceptron",
            env!("CARGO_PKG_VERSION"),
            "a neural network with one hidden layer, one class of several",
        )
        .integer("hidden", [1.0, 1024.0], 32.0, "numbers in the hidden layer")
        .model("weights into the hidden layer, its biases, weights out of it, their biases")
        .scores("the probability of each class")
    }

    fn init(features: u32, targets: u32, params: &Params) -> Tensor {
        let hidden = hidden(params);
        Tensor::join([
            weights(features, hidden),
            Tensor::zeros(1, hidden),
            weights(hidden, targets),
            Tensor::zeros(1, targets),
        ])
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        if rows.is_empty() {
            return model.zeros_like();
        }
        let network = Network::of(model, rows.features.columns(), params);
        let hidden = network.hidden(rows.features);
        let mut error = network.output(&hidden);
        error -= rows.targets;
        error *= 1.0 / rows.len() as f32;
        let inner = error.matmul_t(&network.output_weights).relu_backward(&hidden);
        Tensor::join([
            rows.features.t().matmul(&inner),
            inner.sum_rows(),
            hidden.t().matmul(&error),
            error.sum_rows(),
        ])
    }

    fn score(model: &Tensor, features: &Tensor, params: &Params) -> Tensor {
        let network = Network::of(model, features.columns(), params);
        network.output(&network.hidden(features))
    }
}

/// The matrices of a model.
struct Network {
    hidden_weights: Tensor,
    hidden_biases: Tensor,
    output_weights: Tensor,
    output_biases: Tensor,
}

impl Network {
    fn of(model: &Tensor, features: u32, params: &Params) -> Self {
        let hidden = hidden(params);
        let targets = (model.columns() - (features + 1) * hidden) / (hidden + 1);
        let mut offset = 0;
        let mut part = |rows, columns| {
            let part = model.part(offset, rows, columns);
            offset += rows * columns;
            part
        };
        Self {
            hidden_weights: part(features, hidden),
            hidden_biases: part(1, hidden),
            output_weights: part(hidden, targets),
            output_biases: part(1, targets),
        }
    }

    fn hidden(&self, features: &Tensor) -> Tensor {
        let mut sums = features.matmul(&self.hidden_weights);
        sums += &self.hidden_biases;
        sums.relu()
    }

    fn output(&self, hidden: &Tensor) -> Tensor {
        let mut sums = hidden.matmul(&self.output_weights);
        sums += &self.output_biases;
        sums.softmax()
    }
}

/// Random first weights that keep the size of what passes through them.
fn weights(inputs: u32, outputs: u32) -> Tensor {
    let weights = Tensor::zeros(inputs, outputs);
    random::normal(&weights, 0.0, (2.0 / inputs as f32).sqrt());
    weights
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 1024")]
fn hidden(params: &Params) -> u32 {
    params.get("hidden") as u32
}

cloister_compute::export!(Perceptron);
