//! `cargo xtask bench`: measurements, through the programs that people use.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

use crate::{command, dataset, demo, guest, python};

/// What to measure.
#[derive(Subcommand)]
pub enum Bench {
    /// Accuracy on held-out patients at epsilon 1, over random splits of the table
    ///
    /// Example: cargo xtask bench utility --splits 20
    Utility {
        /// How many splits, each another seed
        #[arg(long, default_value_t = 20)]
        splits: u64,
    },
    /// Our verifier beside others: time and allocations for one piece of evidence
    ///
    /// Example: cargo xtask bench attestation
    Attestation,
    /// Training in the sandbox beside native code, JAX and numpy
    ///
    /// Example: cargo xtask bench compute --runs 15
    Compute {
        /// How often each row is timed
        #[arg(long, default_value_t = 15)]
        runs: usize,
    },
}

impl Bench {
    /// Measures, and prints what came out.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Utility { splits } => utility(splits),
            Self::Attestation => attestation(),
            Self::Compute { runs } => compute(runs),
        }
    }
}

fn utility(splits: u64) -> Result<()> {
    ensure!((1..=999).contains(&splits), "--splits {splits}: ask for 1 to 999");
    let component = demo::prepare()?;
    let folder = crate::target_dir().join("bench/utility");
    crate::clear(&folder)?;
    let description = crate::root().join("data/breast-cancer/dataset.toml");
    for seed in 1..=splits {
        let split = folder.join(format!("splits/split-{seed:03}"));
        dataset::split(&dataset::table(), &split, seed)?;
        fs::copy(&description, split.join("dataset.toml"))
            .with_context(|| format!("cannot copy {}", description.display()))?;
    }
    let report = crate::target_dir().join("bench/utility.json");
    command::run(Command::new(demo::program("utility")).arg(&folder).arg(&component).arg(report))
}

/// Builds the bench with its peers, which nothing else builds, and runs it.
fn attestation() -> Result<()> {
    let report = crate::target_dir().join("bench/attestation.json");
    crate::make_parent(&report)?;
    let mut bench = command::cargo();
    bench.args(["run", "--profile", "bench", "--package", "cloister-bench", "--features", "peers"]);
    bench.args(["--bin", "bench-attestation", "--"]).arg(report);
    bench.env("CRITERION_HOME", crate::target_dir().join("bench/criterion"));
    command::run(&mut bench)
}

/// Builds the bench with its peers, Python's in an environment of their own, and runs it.
fn compute(runs: usize) -> Result<()> {
    println!("guests are compiled by {}", guest::ensure()?.describe());
    let report = crate::target_dir().join("bench/compute.json");
    crate::make_parent(&report)?;
    let requirements = crate::root().join("bench/python/requirements.txt");
    let python = python::ensure(&crate::target_dir().join("bench/python"), &requirements);
    let mut bench = command::cargo();
    bench.args(["run", "--profile", "bench", "--package", "cloister-bench"]);
    bench.args(["--features", "compute", "--bin", "bench-compute", "--"]);
    bench.arg(report).arg(crate::guests_dir()).arg(runs.to_string());
    match python {
        Ok(python) => bench.arg("python").arg(python),
        Err(reason) => {
            eprintln!("SKIPPED: JAX and numpy, for Python cannot be set up: {reason:#}");
            bench.arg("without").arg(format!("{reason:#}"))
        }
    };
    command::run(&mut bench)
}
