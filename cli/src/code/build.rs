//! `cloister code build`: from a trainer's crate to a component.

use std::path::{Path, PathBuf};

use clap::Args;
use cloister_protocol::{code::component_digest, limits};
use cloister_sandbox::{
    inspect,
    package::{componentize, toolchain::build_guest},
};
use serde_json::json;

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{self, Page, Report, printable},
};

/// Build a trainer's crate to a component
///
/// Compiles the crate for wasm32-unknown-unknown, makes a component of it, and asks it
/// what it is, as an enclave would. Needs `rustup target add wasm32-unknown-unknown`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister code build
  cloister code build compute/trainers/logistic -o logistic.wasm")]
pub struct Build {
    /// The trainer's folder, with its Cargo.toml
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The component
    #[arg(short, long, value_name = "FILE", default_value = "component.wasm")]
    output: PathBuf,
    /// Where cargo puts what it builds, and can use again
    #[arg(long, value_name = "DIR", env = "CLOISTER_GUEST_TARGET")]
    target_dir: Option<PathBuf>,
}

impl Build {
    /// Builds the component.
    pub fn run(&self) -> Result<Report> {
        let dir = std::path::absolute(&self.dir).with_path(&self.dir)?;
        if !dir.join("Cargo.toml").is_file() {
            return Err(Error::usage(format!(
                "{}: no Cargo.toml there; give the folder of a trainer's crate",
                self.dir.display()
            )));
        }
        let target = self.target_dir.clone().unwrap_or_else(|| dir.join("target/cloister"));
        let target = std::path::absolute(&target).with_path(&target)?;
        let module = build_guest(&dir, &target).map_err(Error::failed)?;
        let module = files::read(&module, limits::COMPONENT)?;
        let component = componentize(&module).with_path(&self.dir)?;
        let about = inspect(&component).with_path(&self.dir)?;
        files::write(&self.output, &component)?;
        let (digest, size) = (component_digest(&component), component.len() as u64);
        let page = Page::new()
            .good(format!("Built {}", self.output.display()))
            .row("name", format!("{}, {}", printable(&about.name), printable(&about.version)))
            .row("what it does", printable(&about.summary))
            .row("size", ui::bytes(size))
            .row("digest", digest.short())
            .next(next(&self.output, &about.name));
        let json = json!({
            "file": self.output,
            "name": about.name,
            "component": digest.to_hex(),
            "bytes": size,
        });
        Ok(Report::done(page, json))
    }
}

fn next(output: &Path, name: &str) -> String {
    let (output, name) = (output.display(), printable(name));
    format!("cloister code sign {output} --name {name} --version 1 --home AUTHOR")
}
