//! Proportional hazards.
//!
//! Targets are two columns: a time, and 1 if the event happened then, 0 if observation
//! ended without it. Time up to `horizon` is cut into `intervals` equal intervals. In
//! interval k, a row with features x has the hazard `exp(a[k] + w * x)`: events for one
//! row observed all through the interval. The model is one row, the coefficients w and
//! then the logarithms a. What happens after the horizon is not looked at.
//!
//! # Why not the partial likelihood
//!
//! In Cox's partial likelihood each event is compared with everybody who was at risk at
//! that time: the sum over them is inside a logarithm, so a patient's part of the
//! gradient depends on the rows of all others and is not something that one privacy unit
//! can say. The partial likelihood is the full one with a baseline hazard that is free at
//! every event. Here the baseline is constant within each interval instead. The
//! coefficients mean the same, the logarithms of hazard ratios, and with more intervals
//! they approach Cox's; and the full likelihood is a sum over rows.
//!
//! # Loss and gradient
//!
//! With `s[k]` the share of interval k that the row was observed in, and `d[k]` 1 if the
//! event happened in it, the loss is the negative logarithm of a Poisson likelihood: the
//! sum over k of `s[k] * exp(a[k] + w * x) - d[k] * (a[k] + w * x)`, on average over one
//! unit's rows. With the excess `r[k] = s[k] * exp(a[k] + w * x) - d[k]` of expected
//! events, the gradient is r for a, and the sum of r times x for w. `w * x` is kept
//! between -20 and 20.
//!
//! The model starts with w at zero and every hazard at `hazard`, a public guess.

mod follow_up;

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};
use follow_up::FollowUp;

/// Proportional hazards with a hazard for each interval.
struct Cox;

impl Trainer for Cox {
    fn describe() -> Description {
        Description::new(
            "cox",
            env!("CARGO_PKG_VERSION"),
            "proportional hazards over intervals of time, from a time and an event",
        )
        .real("horizon", [1e-9, 1e9], 1.0, "when the last interval ends, in the unit of times")
        .integer("intervals", [1.0, 256.0], 8.0, "intervals of equal length up to the horizon")
        .real("hazard", [1e-6, 10.0], 0.1, "a first guess: events for one row in one interval")
        .model("a coefficient for each feature, then the logarithm of each interval's hazard")
        .scores("the expected time up to the horizon, and the probability of the event by then")
    }

    fn init(features: u32, targets: u32, params: &Params) -> Tensor {
        assert_eq!(targets, 2, "targets are a time and an event");
        let intervals = FollowUp::of_job(params).intervals;
        let start = params.get_f32("hazard").ln();
        Tensor::join([Tensor::zeros(1, features), Tensor::filled(1, intervals, start)])
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        if rows.is_empty() {
            return model.zeros_like();
        }
        let follow_up = FollowUp::of_job(params);
        let (mut observed, mut events) = (Vec::new(), Vec::new());
        for row in rows.targets.to_vec().chunks_exact(2) {
            observed.extend(follow_up.observed(row[0]));
            events.extend(follow_up.events(row[0], row[1]));
        }
        let shaped = |values: &[f32]| Tensor::from_slice(rows.len(), follow_up.intervals, values);
        let mut excess = hazards(model, rows.features, follow_up.intervals);
        excess *= &shaped(&observed);
        excess -= &shaped(&events);
        excess *= 1.0 / rows.len() as f32;
        let coefficients = rows.features.t().matmul(&excess.sum_columns());
        Tensor::join([coefficients, excess.sum_rows()])
    }

    fn score(model: &Tensor, features: &Tensor, params: &Params) -> Tensor {
        let follow_up = FollowUp::of_job(params);
        let outlooks = Tensor::zeros(features.rows(), 2);
        let hazards = hazards(model, features, follow_up.intervals);
        for row in 0..features.rows() {
            let outlook = follow_up.outlook(&hazards.slice(row, 1).to_vec());
            outlooks.write(2 * row, &outlook);
        }
        outlooks
    }
}

/// A row for each row, a column for each interval.
fn hazards(model: &Tensor, features: &Tensor, intervals: u32) -> Tensor {
    let coefficients = model.part(0, features.columns(), 1);
    let baseline = model.part(features.columns(), 1, intervals).duplicate().exp();
    features.matmul(&coefficients).clamp(-20.0, 20.0).exp().matmul(&baseline)
}

cloister_compute::export!(Cox);
