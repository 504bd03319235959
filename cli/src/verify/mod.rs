//! `cloister verify`: releases, checked offline.
//!
//! 1. Each receipt holds together: signatures, job, code, data, grants, gate, tensors.
//! 2. The evidence is accepted at the time it was made, by the measurements given.
//! 3. What each release cost is computed again.
//! 4. Several releases of a job form its chain, from the first on.
//! 5. The released models follow from the released sums, bit for bit.

mod chain;
mod cost;
mod evidence;
mod page;
mod read;
mod replay;
mod time;

use std::path::PathBuf;

use clap::Args;
use cloister_attestation::{Measurements, Verdict};

use crate::{
    error::{Error, Result},
    files,
    ui::Report,
};
use chain::Coverage;
use read::Released;

/// Check releases and everything they rest on, offline
///
/// Give receipts (their tensors beside them) or the folder of a job. Nothing is trusted
/// but the measurements: the enclaves, by vendor root and registers, that you approve.
/// Evidence is judged at the time it was made, because its certificates live for hours;
/// that it was fresh then is what the brokers' nonces are for.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister verify results --trust measurements.toml
  cloister verify release-000.receipt release-001.receipt --trust measurements.toml --json

Exit code: 0 accepted, 1 denied, 2 wrong use.")]
pub struct Verify {
    /// Receipts, or folders of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The enclaves to trust; there is no default
    #[arg(long, value_name = "MEASUREMENTS")]
    trust: Option<PathBuf>,
    /// The delta at which the cost is shown
    #[arg(long, default_value_t = 1e-5)]
    delta: f64,
}

/// What was found out about one job's releases.
pub struct Outcome {
    /// The releases, in their order.
    pub releases: Vec<Released>,
    /// The platform's verdict.
    pub verdict: Verdict,
    /// When the evidence says it was made, in milliseconds since 1970.
    pub evidence_ms: u64,
    /// How much of the job there is.
    pub coverage: Coverage,
    /// How many models followed from the sums.
    pub replayed: usize,
    /// Everything that does not hold, in sentences.
    pub failures: Vec<String>,
}

impl Verify {
    /// Checks everything and says so.
    pub fn run(&self) -> Result<Report> {
        let Some(trust) = &self.trust else {
            return Err(Error::usage(
                "nothing is trusted by default: give the measurements of the enclaves that you \
                 approve with --trust measurements.toml (their operator has them; compare them \
                 with your own build)",
            ));
        };
        let text = files::read_text(trust)?;
        let measurements = Measurements::from_toml(&text)
            .map_err(|error| Error::usage(format!("{}: {error}", trust.display())))?;
        if !(self.delta > 0.0 && self.delta < 1.0) {
            return Err(Error::usage("--delta is a number between 0 and 1, such as 1e-5"));
        }
        let files = read::receipts(&self.files)?;
        let mut outcomes = Vec::new();
        for releases in read::by_transcript(files)? {
            outcomes.push(judge(releases, &measurements));
        }
        page::report(&outcomes, self.delta)
    }
}

/// Everything about the releases of one transcript; each has been checked by itself.
fn judge(mut releases: Vec<Released>, measurements: &Measurements) -> Outcome {
    releases.sort_by_key(|one| one.checked.release.value.number);
    let mut failures = Vec::new();
    let (verdict, evidence_ms) = evidence::appraise(&releases[0], measurements);
    for check in verdict.failed() {
        failures.push(format!(
            "evidence, {}: expected {}, found {}; {}",
            check.name, check.expected, check.found, check.remedy
        ));
    }
    if releases.iter().any(|one| one.receipt.evidence != releases[0].receipt.evidence) {
        failures.push("the receipts carry different evidence for one transcript".into());
    }
    for one in &releases {
        failures.extend(cost::check(one).err());
        failures.extend(read::outputs(one).err());
    }
    let coverage = chain::check(&releases, &mut failures);
    let replayed = match coverage {
        Coverage::Single => 0,
        _ => replay::check(&releases).unwrap_or_else(|failure| {
            failures.push(failure);
            0
        }),
    };
    Outcome { releases, verdict, evidence_ms, coverage, replayed, failures }
}
