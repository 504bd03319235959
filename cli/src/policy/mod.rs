//! `cloister policy`: what an owner allows.

mod assess;
mod edit;
mod sign;
mod trust;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cloister_broker::policy::{self as rules, PolicyError, Unprotected, explain};
use cloister_party::{Enrolment, Role};
use cloister_protocol::{Signed, limits};
use serde_json::json;

use crate::{
    enrol::fingerprint,
    error::{Context, Error, Result},
    files,
    home::OwnerHome,
    ui::{Page, Report, printable},
};
use edit::List;

/// Commands about an owner's policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Say whether policy.toml is complete and makes sense
    #[command(after_help = "Example:
  cloister policy check --home hospital-a")]
    Check(OfHome),
    /// Say in plain words what policy.toml allows
    #[command(after_help = "Example:
  cloister policy explain --home hospital-a")]
    Explain(OfHome),
    /// Sign policy.toml; the broker serves what is signed
    #[command(after_help = "Example:
  cloister policy sign --home hospital-a")]
    Sign(OfHome),
    /// Approve an enclave by its measurements
    ///
    /// Measurements say what an enclave measures to and under whose root. Whoever gives
    /// them to you has to be believed, or compared with your own build of the enclave.
    /// Enclaves that protect nothing are refused unless they are asked for.
    #[command(after_help = "Example:
  cloister policy trust-image measurements.toml --home hospital-a")]
    TrustImage(TrustImage),
    /// Let another owner's data be in a job with yours
    #[command(after_help = "Example:
  cloister policy allow-owner hospital-b/enrolment.cloister --home hospital-a")]
    AllowOwner(Allow),
    /// Accept the jobs of an orchestrator
    #[command(after_help = "Example:
  cloister policy allow-orchestrator lab/enrolment.cloister --home hospital-a")]
    AllowOrchestrator(Allow),
    Assess(assess::Assess),
}

/// Whose policy.
#[derive(Args, Debug)]
pub struct OfHome {
    /// The owner's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
}

/// Arguments of `trust-image`.
#[derive(Args, Debug)]
pub struct TrustImage {
    /// What the enclave measures to
    measurements: PathBuf,
    /// Also approve simulated enclaves: whoever runs one can read the data
    #[arg(long)]
    allow_simulated: bool,
    /// Also approve enclaves in debug mode: their operator can read the data
    #[arg(long)]
    allow_debug: bool,
    #[command(flatten)]
    of: OfHome,
}

/// Arguments of `allow-owner` and `allow-orchestrator`.
#[derive(Args, Debug)]
pub struct Allow {
    /// The party's enrolment.cloister
    enrolment: PathBuf,
    #[command(flatten)]
    of: OfHome,
}

impl Policy {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        match self {
            Self::Check(of) => check(of),
            Self::Explain(of) => {
                let draft = Draft::read(&of.home)?;
                let page = explain(&draft.compile()?);
                Ok(Report::done(Page::new().text(page.trim_end()), json!({ "text": page })))
            }
            Self::Sign(of) => sign::sign(&Draft::read(&of.home)?, &of.home),
            Self::TrustImage(TrustImage { measurements, allow_simulated, allow_debug, of }) => {
                let allow = Unprotected { simulated: *allow_simulated, debug: *allow_debug };
                trust::trust(measurements, allow, of)
            }
            Self::AllowOwner(allow) => allow.run(Role::Owner, List::Owners),
            Self::AllowOrchestrator(allow) => allow.run(Role::Orchestrator, List::Orchestrators),
            Self::Assess(assess) => assess.run(),
        }
    }
}

/// A policy as its owner writes it.
struct Draft {
    owner: OwnerHome,
    path: PathBuf,
    text: String,
}

impl Draft {
    fn read(home: &Path) -> Result<Self> {
        let owner = OwnerHome::open(home)?;
        let path = owner.home.file("policy.toml");
        let text = files::read_text(&path)?;
        Ok(Self { owner, path, text })
    }

    fn compile(&self) -> Result<rules::Policy> {
        let policy = rules::Policy::from_toml(&self.text).map_err(|error| self.wrong(&error))?;
        let population = self.owner.population()?;
        if policy.population != population {
            return Err(Error::failed(format!(
                "{}: the policy is about {:?}, and this home about {population:?}: make a home \
                 for each population",
                self.path.display(),
                policy.population
            )));
        }
        Ok(policy)
    }

    fn wrong(&self, error: &PolicyError) -> Error {
        Error::failed(format!("{}: {error}", self.path.display()))
    }

    /// Writes a changed text; says whether it differs.
    fn replace(&self, text: &str) -> Result<bool> {
        if text == self.text {
            return Ok(false);
        }
        files::write(&self.path, text.as_bytes())?;
        Ok(true)
    }
}

fn check(of: &OfHome) -> Result<Report> {
    let draft = Draft::read(&of.home)?;
    let policy = draft.compile()?;
    let warnings = rules::warnings(&policy);
    let page = Page::new()
        .good(format!("{} is complete, version {}", draft.path.display(), policy.version))
        .append(loud(&warnings))
        .next(format!("cloister policy sign --home {}", of.home.display()));
    let json = json!({
        "policy": draft.path,
        "version": policy.version,
        "population": policy.population,
        "valid": true,
        "warnings": warnings,
    });
    Ok(Report::done(page, json))
}

impl Allow {
    fn run(&self, role: Role, list: List) -> Result<Report> {
        let draft = Draft::read(&self.of.home)?;
        let bytes = files::read(&self.enrolment, limits::SIGNED_OBJECT as u64)?;
        let enrolment = Enrolment::open(&Signed::from_bytes(bytes)).with_path(&self.enrolment)?;
        if enrolment.role != role {
            return Err(Error::failed(format!(
                "{}: the enrolment of {} {}, where that of an {role} is needed",
                self.enrolment.display(),
                enrolment.role,
                enrolment.name
            )));
        }
        let key = enrolment.key.id();
        let comment = format!("{} {}", enrolment.role, enrolment.name);
        let text = edit::allow(&draft.text, list, &key, &comment).with_path(&draft.path)?;
        let changed = draft.replace(&text)?;
        let page = Page::new()
            .row(enrolment.role, &enrolment.name)
            .row("fingerprint", fingerprint(&key))
            .text("Compare the fingerprint with theirs over another channel.");
        let what = format!("{comment} is allowed");
        Ok(changed_report(changed, &draft, &self.of.home, &what, page))
    }
}

/// What an owner must not overlook, line by line. Names in it are an operator's.
fn loud(warnings: &[String]) -> Page {
    warnings.iter().fold(Page::new(), |page, warning| page.loud(printable(warning)))
}

fn changed_report(changed: bool, draft: &Draft, home: &Path, what: &str, page: Page) -> Report {
    let path = draft.path.display();
    let head = if changed { format!("{path}: {what}") } else { format!("{path}: {what} already") };
    let mut page = Page::new().good(head).append(page);
    if changed {
        page = page.next(format!("cloister policy sign --home {}", home.display()));
    }
    Report::done(page, json!({ "policy": draft.path, "changed": changed }))
}
