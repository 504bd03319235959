//! What `cargo xtask bench attestation` measures of ours, and how it is shown; and how
//! `cargo xtask bench compute` and `privacy` measure (`measure`, `python`, `process`) and show
//! it ([`throughput`]).
//!
//! To add a measurement, add a [`Row`] to a group: those of ours in [`ours`], those of other
//! people's crates in the binary's `peers.rs`. Ratios are of a group's first row to each other.

pub mod bare;
pub mod evidence;
#[cfg(feature = "measure")]
pub mod measure;
pub mod ours;
#[cfg(feature = "measure")]
pub mod process;
#[cfg(feature = "measure")]
pub mod python;
pub mod table;
pub mod throughput;

use anyhow::Result;

/// Rows about the same evidence, ours first.
pub struct Group {
    /// What is verified and where it is from.
    pub evidence: String,
    /// A name for folders and machines.
    pub id: &'static str,
    /// What is measured.
    pub rows: Vec<Row>,
    /// What would be measured, and why it is not.
    pub left_out: Vec<String>,
}

/// One thing to measure.
pub struct Row {
    /// A name for folders and machines, unique in its group.
    pub id: &'static str,
    /// A name for people.
    pub what: String,
    /// Does it once; an error if it was not accepted, so that no refusal is ever timed.
    pub run: Box<dyn FnMut() -> Result<()>>,
}

impl Row {
    /// Measures `run`.
    pub fn new(
        id: &'static str,
        what: impl Into<String>,
        run: impl FnMut() -> Result<()> + 'static,
    ) -> Self {
        Self { id, what: what.into(), run: Box::new(run) }
    }
}
