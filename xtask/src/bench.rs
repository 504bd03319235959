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
    /// What the trainers come to at each epsilon, over random splits, as a table and a plot
    ///
    /// Example: cargo xtask bench trainers --seeds 20
    Trainers {
        /// How many splits, each with noise of its own
        #[arg(long, default_value_t = 20)]
        seeds: u8,
        /// One trainer alone
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
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
    /// Noise beside another library's, and the gate beside a plain sum
    ///
    /// Example: cargo xtask bench privacy --runs 15
    Privacy {
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
            Self::Trainers { seeds, only } => trainers(seeds, only.as_deref()),
            Self::Attestation => attestation(),
            Self::Compute { runs } => compute(runs),
            Self::Privacy { runs } => privacy(runs),
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

/// Runs a test of the trainers that is left out otherwise: it has their jobs and tables.
fn trainers(seeds: u8, only: Option<&str>) -> Result<()> {
    ensure!((1..=200).contains(&seeds), "--seeds {seeds}: ask for 1 to 200");
    println!("guests are compiled by {}", guest::ensure()?.describe());
    let name = only.map_or_else(|| "trainers".to_owned(), |only| format!("trainers-{only}"));
    let report = crate::target_dir().join(format!("bench/{name}.json"));
    crate::make_parent(&report)?;
    command::run(command::cargo().args(["build", "--workspace", "--bins"]))?;
    let mut test = command::cargo();
    test.args(["test", "--workspace", "--test", "trainers", "--"]);
    test.args(["by_epsilon", "--ignored", "--nocapture"]);
    test.env("CLOISTER_GUEST_TARGET", crate::guests_dir());
    test.env("CLOISTER_UTILITY", &report).env("CLOISTER_SEEDS", seeds.to_string());
    test.env("CLOISTER_ONLY", only.unwrap_or_default());
    command::run(&mut test)?;
    println!("written to {0}, and a plot beside it", report.display());
    Ok(())
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

/// Builds the bench of training and runs it.
fn compute(runs: usize) -> Result<()> {
    println!("guests are compiled by {}", guest::ensure()?.describe());
    let guests = crate::guests_dir();
    beside_python("compute", "python", "requirements.txt", |bench| {
        bench.arg(guests).arg(runs.to_string());
    })
}

/// Builds the bench of noise and gate and runs it.
fn privacy(runs: usize) -> Result<()> {
    beside_python("privacy", "opendp", "requirements-opendp.txt", |bench| {
        bench.arg(runs.to_string());
    })
}

/// Builds a bench with its peers, Python's in an environment of their own, and runs it: with the
/// report's place, `arguments`, and the Python or why there is none.
fn beside_python(
    name: &str,
    environment: &str,
    requirements: &str,
    arguments: impl FnOnce(&mut Command),
) -> Result<()> {
    let report = crate::target_dir().join("bench").join(name).with_extension("json");
    crate::make_parent(&report)?;
    let requirements = crate::root().join("bench/python").join(requirements);
    let folder = crate::target_dir().join("bench").join(environment);
    let python = python::ensure(&folder, &requirements);
    let mut bench = command::cargo();
    bench.args(["run", "--profile", "bench", "--package", "cloister-bench"]);
    bench.args(["--features", name, "--bin", &format!("bench-{name}"), "--"]).arg(report);
    arguments(&mut bench);
    match python {
        Ok(python) => bench.arg("python").arg(python),
        Err(reason) => {
            eprintln!("SKIPPED: peers in Python, which cannot be set up: {reason:#}");
            bench.arg("without").arg(format!("{reason:#}"))
        }
    };
    command::run(&mut bench)
}
