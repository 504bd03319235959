//! Events and censorings by interval, in one round, for a survival curve.
//!
//! Targets are two columns: a time, and 1 if the event happened then, 0 if observation
//! ended without it. Time up to `horizon` is cut into `intervals` equal intervals. The
//! model tensor has a column for each interval; its first row is the share of units whose
//! event was in it, its second the share whose observation ended in it without one. Who is
//! observed beyond the horizon is in neither. Features are not looked at.
//!
//! Numbers at risk are not released, because they follow. With shares d and c, everybody
//! is at risk at first, `r[0] = 1`, and `r[k + 1] = r[k] - d[k] - c[k]`. A share times the
//! declared number of units is a count, and the Kaplan-Meier estimate of the probability
//! to survive interval k is the product of `1 - d[j] / r[j]` over all j up to k. It is
//! exact for times that are whole intervals; else who leaves during an interval counts as
//! at risk to its end. All this is post-processing, and costs nothing.
//!
//! `update` is minus one unit's own share: 1 in one place, or nothing. Of a unit with
//! several rows it is the average over them, so each unit counts once. An update is at
//! most 1 long, and with 1 as `clip` nothing is clipped. (Numbers at risk in each interval
//! would be as long as the root of the number of intervals, and need that much more
//! noise.) The model starts at zero, and a job of one round at rate 1 steps to the noised
//! mean over units: 0 - 1 * mean(-x).

mod curve;

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};
use curve::Curve;

/// What a survival curve is made of.
struct KaplanMeier;

impl Trainer for KaplanMeier {
    fn describe() -> Description {
        Description::new(
            "kaplan-meier",
            env!("CARGO_PKG_VERSION"),
            "events and censorings in each interval of time, in one round at rate 1",
        )
        .real("horizon", [1e-9, 1e9], 1.0, "when the last interval ends, in the unit of times")
        .integer("intervals", [1.0, 1024.0], 12.0, "intervals of equal length up to the horizon")
        .model("a column for each interval: the share with an event in it, then that censored")
        .scores("the expected time up to the horizon, and the probability of the event by then")
    }

    fn init(_: u32, targets: u32, params: &Params) -> Tensor {
        assert_eq!(targets, 2, "targets are a time and an event");
        Tensor::zeros(2, Curve::of_job(params).intervals)
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        let update = model.zeros_like();
        let curve = Curve::of_job(params);
        let share = 1.0 / rows.len() as f32;
        for row in rows.targets.to_vec().chunks_exact(2) {
            if let Some(interval) = curve.interval(row[0]) {
                let censored = u32::from(row[1] < 0.5);
                update.set(censored, interval, update.get(censored, interval) - share);
            }
        }
        update
    }

    fn score(model: &Tensor, features: &Tensor, params: &Params) -> Tensor {
        let [events, censored] = [0, 1].map(|row| model.slice(row, 1).to_vec());
        let outlook = Curve::of_job(params).outlook(&events, &censored);
        let mut outlooks = Tensor::zeros(features.rows(), 2);
        outlooks += &Tensor::from_slice(1, 2, &outlook);
        outlooks
    }
}

cloister_compute::export!(KaplanMeier);
