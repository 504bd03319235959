//! The trainers in `compute/trainers`, on real tables, in real workers, behind the real
//! gate: each with the job that its section in `docs/trainers.md` shows.
//!
//! Every fifth row of a table is held out. What other programs make of the same rows is
//! written beside each bound. The seed of the noise is fixed, so a run is like any other;
//! bounds are four standard deviations, over seeds, below what a simulation gets.

mod estimates;
mod gradients;
mod histograms;
mod job;
mod learning;
mod published;
mod recorded;
mod table;
mod utility;

use anyhow::Result;
use cloister_tests::trainers;
pub use cloister_tests::trainers::root;

/// A trainer's component; nothing, said aloud, where no Rust can build it.
fn component(trainer: &str) -> Result<Option<Vec<u8>>> {
    trainers::component(trainer, env!("CARGO_TARGET_TMPDIR"))
}
