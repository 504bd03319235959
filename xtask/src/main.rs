//! `cargo xtask`: the chores of this repository, in Rust so that they run
//! wherever the project builds.

mod bench;
mod command;
mod dataset;
mod debian;
mod demo;
mod fuzz;
mod guest;
mod install;
mod python;
mod results;
mod setup;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// The repository's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Set up what the tests need, build everything, run every test
    ///
    /// Example: cargo xtask test
    ///
    /// Example: cargo xtask test -p cloister-privacy
    Test {
        /// Arguments for `cargo test`, instead of `--workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        cargo_test: Vec<String>,
    },
    /// Three hospitals train one model: set-up, brokers, host, enclave, verified releases
    ///
    /// Example: cargo xtask demo
    Demo,
    /// Build the programs for release, with the first-party trainers beside them
    ///
    /// Example: cargo xtask install --to ~/cloister
    Install {
        /// The folder for programs and trainers
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// The home of the author who signs the trainers [default: author/ in the folder]
        #[arg(long, value_name = "HOME")]
        author: Option<PathBuf>,
    },
    /// Measure: what a model is worth at its privacy cost
    ///
    /// Example: cargo xtask bench utility
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Say what this machine has and lacks, and change nothing
    ///
    /// Example: cargo xtask doctor
    Doctor,
    /// Feed malformed input to each parser of bytes from outside
    ///
    /// Example: cargo xtask fuzz rows evidence --seconds 60
    Fuzz {
        /// Which targets, by the names in `fuzz/fuzz_targets`; all of them if none is named
        targets: Vec<String>,
        /// How long each
        #[arg(long, default_value_t = 5)]
        seconds: u32,
    },
    /// Install what `.ci/run` needs: the guest toolchain and cargo-deny
    ///
    /// Example: cargo xtask ci-setup
    CiSetup,
    /// Split the breast-cancer table over three hospitals and a public set
    ///
    /// Example: cargo xtask split --seed 7
    Split {
        /// Seed of the shuffle; the same seed gives the same files
        #[arg(long, default_value_t = dataset::DEMO_SEED)]
        seed: u64,
        /// Folder for the four files [default: target/demo/data]
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = if std::env::var_os(fuzz::INSTRUMENT).is_some() {
        fuzz::instrument(std::env::args_os().skip(1))
    } else {
        run(Xtask::parse().chore)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    match chore {
        Chore::Test { cargo_test } => test::run(&cargo_test),
        Chore::Demo => demo::run(),
        Chore::Install { to, author } => {
            let to = std::path::absolute(to)?;
            let author = std::path::absolute(author.unwrap_or_else(|| to.join("author")))?;
            install::run(&to, &author)
        }
        Chore::Bench(bench) => bench.run(),
        Chore::Fuzz { targets, seconds } => fuzz::run(&targets, seconds),
        Chore::Doctor => setup::doctor(),
        Chore::CiSetup => setup::ci(),
        Chore::Split { seed, out } => {
            let out = out.unwrap_or_else(|| target_dir().join("demo/data"));
            let parts = dataset::split(&dataset::table(), &out, seed)?;
            for part in parts {
                println!("{:>4} patients  {}", part.patients, part.path.display());
            }
            Ok(())
        }
    }
}

/// The root of the work tree this program was built from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Where cargo puts what it builds.
fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where guests are built, the standard library included, for the demo and the tests.
fn guests_dir() -> PathBuf {
    target_dir().join("guests")
}

/// Makes the folder that a file will be in.
fn make_parent(file: &Path) -> Result<()> {
    let folder = file.parent().context("a file has a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Removes a folder that an earlier run left.
fn clear(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot clear {}", folder.display()))
        }
        _ => Ok(()),
    }
}
