//! The same arithmetic without a sandbox, in one thread: what there is to lose.
//!
//! Written by hand for AVX2 and FMA. Unlike ours it has no check in integers, scales in
//! singles, and trusts the code whose gradients it sums.

mod group;
mod logistic;
mod perceptron;
mod vectors;

use anyhow::{Result, ensure};

pub use group::Group;
pub use logistic::Logistic;
pub use perceptron::{Perceptron, Way};

use crate::problem::Problem;

/// The clip bound and the factor from its units to the grid's.
#[derive(Clone, Copy)]
struct Grid {
    clip: f32,
    steps: f32,
}

impl Grid {
    #[expect(clippy::cast_possible_truncation, reason = "a native trainer computes in singles")]
    fn of(problem: &Problem) -> Self {
        Self { clip: problem.gate.clip() as f32, steps: problem.gate.steps() as f32 }
    }

    /// Clips and scales to the grid in one factor.
    fn factor(self, square: f32) -> f32 {
        self.steps / square.sqrt().max(self.clip)
    }
}

/// Whether the processor can run any of this.
pub fn available() -> Result<()> {
    ensure!(
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        "native Rust: this processor has no AVX2 and FMA, which it is written for"
    );
    Ok(())
}
