//! The metrics of a job, in words: what was released, and how much of it is noise.

use cloister_privacy::Metrics;
use cloister_protocol::{
    job::{GateMode, Job},
    release::Stage,
};
use serde_json::{Value, json};

use crate::{tensors::Tensors, ui::Page};

/// The released metrics of a job, with the standard deviation of their noise.
pub struct Measured {
    /// In the order of [`cloister_privacy::METRICS`].
    values: [f64; 4],
    deviations: [f64; 4],
    /// "units" or "groups".
    of: &'static str,
}

/// What each number is in the noise of a job's metrics, if the job has them.
pub fn deviations(job: &Job) -> Option<[f64; 4]> {
    let declared = job.metrics?;
    let metrics = Metrics::new(declared.loss, declared.steps).ok()?;
    Some(metrics.deviations(declared.sigma, job.divisor(declared.gate(job.gate.mode).mode)))
}

impl Measured {
    /// The metrics in a release of `job`, if it is that one.
    pub fn of(job: &Job, stage: Stage, tensors: &Tensors) -> Option<Self> {
        if stage != Stage::Metrics {
            return None;
        }
        Self::new(job, tensors.f64s("metrics")?)
    }

    /// The metrics of a job, from the tensor of that name.
    pub fn new(job: &Job, metrics: &[f64]) -> Option<Self> {
        let of = match job.gate.mode {
            GateMode::Groups(_) => "groups",
            GateMode::Unit | GateMode::Sampled(_) => "units",
        };
        Some(Self { values: metrics.try_into().ok()?, deviations: deviations(job)?, of })
    }

    /// Two rows.
    pub fn rows(&self, page: Page) -> Page {
        let Self { values: [failed, clipped, accuracy, loss], deviations, of } = self;
        let [each, _, _, of_loss] = deviations;
        page.row(
            "on the owners' own rows",
            format!("accuracy {accuracy:.3} (noise sd {each:.3}), loss {loss:.4} (noise sd {of_loss:.4})"),
        )
        .row(
            "updates",
            format!(
                "of the {of} {failed:.3} have none, {clipped:.3} are clipped (noise sd {each:.3} in both)"
            ),
        )
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let named = |[failed, clipped, accuracy, loss]: [f64; 4]| json!({ "failed": failed, "clipped": clipped, "accuracy": accuracy, "loss": loss });
        json!({ "of": self.of, "values": named(self.values), "noise": named(self.deviations) })
    }
}
