//! `cargo xtask demo`: everything a newcomer needs, then the main job.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, dataset, guest};

/// Sets up, builds, and runs the demo in `target/demo`.
pub fn run() -> Result<()> {
    let component = prepare()?;
    let folder = crate::target_dir().join("demo");
    crate::clear(&folder)?;
    dataset::split(&dataset::table(), &folder.join("data"), dataset::DEMO_SEED)?;
    let description = crate::root().join("data/breast-cancer/dataset.toml");
    fs::copy(&description, folder.join("data/dataset.toml"))
        .with_context(|| format!("cannot copy {}", description.display()))?;
    command::run(Command::new(program("demo")).arg(&folder).arg(&component))
}

/// Builds all programs and the logistic trainer; returns the trainer's component.
pub fn prepare() -> Result<PathBuf> {
    println!("guests are compiled by {}", guest::ensure()?.describe());
    command::run(command::cargo().args(["build", "--workspace", "--bins"]))?;
    let component = crate::target_dir().join("trainers/logistic.wasm");
    crate::make_parent(&component)?;
    let trainer = crate::root().join("compute/trainers/logistic");
    let mut build = Command::new(program("cloister"));
    build.args(["code", "build"]).arg(trainer).arg("-o").arg(&component);
    command::run(build.arg("--target-dir").arg(crate::guests_dir()))?;
    Ok(component)
}

/// A program of the workspace, as the dev profile built it.
pub fn program(name: &str) -> PathBuf {
    crate::target_dir().join("debug").join(name)
}
