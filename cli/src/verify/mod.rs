//! `cloister verify`: releases, or evidence alone, checked offline.
//!
//! Of releases:
//!
//! 1. Each receipt holds together: signatures, job, code, data, grants, gate, tensors.
//! 2. The evidence is accepted at the time it was made, by the measurements given, and that
//!    time is one at which the job could be granted.
//! 3. What each release cost is computed again.
//! 4. Several releases of a job form its chain, from the first on.
//! 5. The released models and metrics follow from the released sums, bit for bit.
//! 6. Data, job and code are of those whose enrolments were given.
//! 7. The model in a folder is the one that its releases give, byte for byte.
//!
//! With owners' logs, also the whole history of what was granted: see [`history`].

mod chain;
mod cose;
pub mod cost;
mod evidence;
mod evidence_file;
mod folder;
mod history;
mod identities;
mod nitro;
mod page;
mod read;
mod replay;
mod snp;
mod verdict;

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use cloister_attestation::{Measurements, Platform, Verdict};

use crate::{
    error::{Error, Result},
    files,
    ui::Report,
};
pub use evidence_file::{contents, decode, time};

use chain::Coverage;
use identities::{Identities, Pins};
pub use read::{Damaged, Released};

/// Check releases and everything they rest on, offline
///
/// Give receipts (their tensors beside them) or the folder of a job, whose final model is
/// then checked, too. Nothing is trusted but the measurements: the enclaves, by vendor root
/// and registers, that you approve; and the enrolments of those whose data, job and code you
/// expect it to be.
/// Evidence is judged at the time it was made, because its certificates live for hours;
/// that it was fresh then is what the brokers' nonces are for.
///
/// With an owner's log of grants (--log), everything that was ever granted is held against
/// these releases, and whatever does not fit or was not given is named.
///
/// `verify nitro` and `verify snp` check evidence by itself.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  cloister verify results --trust measurements.toml
  cloister verify results --trust measurements.toml --owner hospital-a/enrolment.cloister \\
      --orchestrator lab/enrolment.cloister --author author/enrolment.cloister
  cloister verify release-000.receipt release-001.receipt --trust measurements.toml --json
  cloister verify job-1 job-2 --trust measurements.toml --log hospital-a.log

Exit code: 0 accepted, 1 denied, 2 wrong use.")]
pub struct Verify {
    #[command(subcommand)]
    evidence: Option<Evidence>,
    /// Receipts, or folders of them
    #[arg(required_unless_present = "log")]
    files: Vec<PathBuf>,
    /// The enclaves to trust; there is no default
    #[arg(long, value_name = "MEASUREMENTS")]
    trust: Option<PathBuf>,
    /// An owner's log of grants, as `cloister budget history --export` writes it: the whole
    /// history is computed again (repeatable)
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    /// The delta at which the cost is shown
    #[arg(long, default_value_t = 1e-5)]
    delta: f64,
    #[command(flatten)]
    identities: Identities,
}

/// Evidence of one platform, without anything that rests on it.
#[derive(Debug, Subcommand)]
enum Evidence {
    Nitro(nitro::Nitro),
    Snp(snp::Snp),
}

/// Releases among files and folders, each checked by itself, without its evidence; and those
/// that do not hold together.
pub fn releases(files: &[PathBuf]) -> Result<(Vec<Released>, Vec<Damaged>)> {
    let (groups, damaged) = read::by_transcript(read::given(files)?.receipts);
    Ok((groups.into_iter().flatten().collect(), damaged))
}

/// What was found out about everything that was given.
pub struct Findings {
    /// One for each transcript.
    pub outcomes: Vec<Outcome>,
    /// Receipts that belong nowhere.
    pub damaged: Vec<Damaged>,
    /// Files in the folders that nothing vouches for.
    pub unchecked: Vec<PathBuf>,
    /// The keys that were expected.
    pub pins: Pins,
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
    /// The files of the final model that are what the releases give.
    pub models: Vec<PathBuf>,
    /// Everything that does not hold, in sentences.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Whether everything holds.
    pub fn accepted(&self) -> bool {
        self.failures.is_empty() && self.verdict.accepted()
    }

    /// Whether nothing protected the rows from whoever ran the enclave.
    pub fn unprotected(&self) -> bool {
        self.verdict.platform() == Platform::Simulated || page::debug(&self.verdict)
    }
}

impl Verify {
    /// Checks everything and says so.
    pub fn run(&self) -> Result<Report> {
        match &self.evidence {
            Some(Evidence::Nitro(nitro)) => return nitro.run(),
            Some(Evidence::Snp(snp)) => return snp.run(),
            None => {}
        }
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
        let pins = self.identities.pins()?;
        let findings = findings(&self.files, &measurements, pins)?;
        let report = page::report(&findings, self.delta)?;
        if self.log.is_empty() {
            return Ok(report);
        }
        history::add(&self.log, &findings, self.delta, report)
    }
}

/// Checks releases under these measurements, whosever they are.
pub fn anybodys(files: &[PathBuf], measurements: &Measurements) -> Result<Findings> {
    findings(files, measurements, Identities::default().pins()?)
}

fn findings(files: &[PathBuf], measurements: &Measurements, pins: Pins) -> Result<Findings> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let given = read::given(files)?;
    let (groups, damaged) = read::by_transcript(given.receipts);
    let mut outcomes: Vec<_> =
        groups.into_iter().map(|releases| judge(releases, measurements, &pins, now)).collect();
    let mut unchecked = Vec::new();
    for folder in &given.folders {
        unchecked.extend(folder::check(folder, &mut outcomes)?);
    }
    Ok(Findings { outcomes, damaged, unchecked, pins })
}

/// Everything about the releases of one transcript; each has been checked by itself. `now`
/// is in seconds since 1970.
fn judge(
    mut releases: Vec<Released>,
    measurements: &Measurements,
    pins: &Pins,
    now: u64,
) -> Outcome {
    let mut failures = Vec::new();
    let (verdict, evidence_ms) = evidence::check(&releases, measurements, now, &mut failures);
    failures.extend(chain::same_grants(&releases).err());
    chain::sort(&mut releases);
    for one in &releases {
        failures.extend(cost::check(one).err());
        failures.extend(read::outputs(one).err());
    }
    // The transcript names all of them, so they are the same in each receipt.
    failures.extend(pins.check(&releases[0].checked));
    let before = failures.len();
    let coverage = chain::check(&releases, &mut failures);
    let replayed = match coverage {
        Coverage::Single => {
            failures.extend(replay::check_one(&releases[0]).err());
            0
        }
        // Without its beginning, a chain cannot be followed.
        _ if failures.len() > before => 0,
        _ => replay::check(&releases).unwrap_or_else(|failure| {
            failures.push(failure);
            0
        }),
    };
    Outcome { releases, verdict, evidence_ms, coverage, replayed, models: vec![], failures }
}
