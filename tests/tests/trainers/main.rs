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

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cloister_sandbox::package::{
    componentize,
    toolchain::{Toolchain, build_guest},
};

/// The workspace.
fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")
}

/// A trainer's component; nothing, said aloud, where no Rust can build it.
fn component(trainer: &str) -> Result<Option<Vec<u8>>> {
    if let Err(error) = Toolchain::find() {
        println!("SKIPPED: tests of the trainer {trainer}: {error}");
        return Ok(None);
    }
    let guests = env::var_os("CLOISTER_GUEST_TARGET")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"), PathBuf::from);
    let module = build_guest(&root()?.join("compute/trainers").join(trainer), &guests)?;
    Ok(Some(componentize(&std::fs::read(module)?)?))
}
