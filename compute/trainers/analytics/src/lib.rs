//! Means and histograms of all columns, in one round.
//!
//! Columns are the features, as the job standardises them, and then the targets, as they
//! are. Values are clamped to `lower` and `upper`, and the range between is cut into
//! `bins` equal bins. The model tensor has a column for each of these columns; its first
//! row is their mean, and each further row the share of units in a bin. A share times the
//! declared number of units is a count. Sums of shares from below are a distribution, and
//! where it passes a half is the median: quantiles come from what is released, and cost
//! nothing.
//!
//! `update` is minus one unit's own row: its mean, and 1 in the bin of each column. Of a
//! unit with several rows it is the average over them, so each unit counts once. The model
//! starts at zero, and a job of one round at rate 1 steps to the noised mean over units:
//! 0 - 1 * mean(-x).
//!
//! For each column, the mean is at most the larger of `lower` and `upper` in size, call it
//! m, and the histogram is at most 1 long. So an update is at most the root of
//! `columns * (1 + m * m)` long. With this as `clip`, nothing is clipped.

mod histogram;

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};
use histogram::Histogram;

/// Means and histograms.
struct Analytics;

impl Trainer for Analytics {
    fn describe() -> Description {
        Description::new(
            "analytics",
            env!("CARGO_PKG_VERSION"),
            "the mean and a histogram of each column, in one round at rate 1",
        )
        .real("lower", [-1e6, 1e6], -1.0, "values below count as this")
        .real("upper", [-1e6, 1e6], 1.0, "values above count as this")
        .integer("bins", [1.0, 1024.0], 16.0, "bins of each histogram")
        .model("a column for each feature and target: its mean, then its share in each bin")
        .scores("the mean of each target")
    }

    fn init(features: u32, targets: u32, params: &Params) -> Tensor {
        let histogram = Histogram::of_job(params);
        assert!(histogram.lower < histogram.upper, "lower is not below upper");
        Tensor::zeros(histogram.bins + 1, features + targets)
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        if rows.is_empty() {
            return model.zeros_like();
        }
        let (histogram, columns) = (Histogram::of_job(params), model.columns());
        let mut statistics = vec![0.0; ((histogram.bins + 1) * columns) as usize];
        let features = rows.features.columns() as usize;
        for (first, table) in [(0, rows.features), (features, rows.targets)] {
            for row in 0..rows.len() {
                let values = table.slice(row, 1).to_vec();
                histogram.count(&values, first, columns as usize, &mut statistics);
            }
        }
        let mut update = Tensor::from_slice(histogram.bins + 1, columns, &statistics);
        update *= -1.0 / rows.len() as f32;
        update
    }

    fn score(model: &Tensor, features: &Tensor, _: &Params) -> Tensor {
        let targets = model.columns() - features.columns();
        let mut means = Tensor::zeros(features.rows(), targets);
        means += &model.part(features.columns(), 1, targets);
        means
    }
}

cloister_compute::export!(Analytics);
