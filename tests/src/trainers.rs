//! The trainers of `compute/trainers`, as components.

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
pub fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")
}

/// A trainer's component, built below the folder that cargo gives to tests; nothing, said
/// aloud, where no Rust can build it.
pub fn component(trainer: &str, temporary: &str) -> Result<Option<Vec<u8>>> {
    if let Err(error) = Toolchain::find() {
        println!("SKIPPED: tests of the trainer {trainer}: {error}");
        return Ok(None);
    }
    let guests = env::var_os("CLOISTER_GUEST_TARGET")
        .map_or_else(|| Path::new(temporary).join("guests"), PathBuf::from);
    let module = build_guest(&root()?.join("compute/trainers").join(trainer), &guests)?;
    Ok(Some(componentize(&std::fs::read(module)?)?))
}
