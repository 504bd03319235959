//! The verdict on one piece of evidence: a page, and the same as JSON.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use cloister_attestation::{AttestationResult, Outcome, Platform, UnixTime, Verdict};
use cloister_party::Home;
use serde_json::json;

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{Page, Report},
};

/// The verdict as an attestation result, for those who rely on whoever runs this.
#[derive(Args, Debug)]
pub struct Ear {
    /// Write the verdict as a signed attestation result (EAR), too; `--signer` signs it
    #[arg(long, value_name = "FILE", requires = "signer")]
    ear: Option<PathBuf>,
    /// The home of the party that signs the attestation result
    #[arg(long, value_name = "HOME", requires = "ear")]
    signer: Option<PathBuf>,
}

/// The report of a verdict, which is written as an attestation result as well if that is
/// asked for.
pub fn report(verdict: &Verdict, ear: &Ear) -> Result<Report> {
    let mut json = serde_json::to_value(verdict).doing("cannot write the verdict")?;
    let mut page = page(verdict);
    if let (Some(file), Some(home)) = (&ear.ear, &ear.signer) {
        let home = Home::open(home).map_err(Error::usage)?;
        let key = home.signing_key().map_err(Error::usage)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(now);
        let result = AttestationResult::of(verdict, now, "cloister verify");
        let signed = result.sign_with(|bytes| Some(key.sign(bytes).ok()?.to_vec()));
        files::write(file, &signed.doing("cannot sign the attestation result")?)?;
        page = page
            .blank()
            .row("attestation result", format!("{}, {:?}", file.display(), result.status))
            .row("signed by", key.id());
        json["ear"] =
            json!({ "file": file, "status": result.status, "signed_by": key.id().to_string() });
    }
    Ok(Report { page, json, holds: verdict.accepted() })
}

fn page(verdict: &Verdict) -> Page {
    let platform = verdict.platform();
    let mut page = Page::new();
    let count = |outcome| verdict.checks().iter().filter(|one| one.outcome == outcome).count();
    let (passed, failed) = (count(Outcome::Passed), count(Outcome::Failed));
    page = if verdict.accepted() {
        page.good(format!("ACCEPTED  {platform} evidence, {passed} checks passed"))
    } else {
        let checks = if failed == 1 { "check" } else { "checks" };
        page.bad(format!("DENIED  {platform} evidence, {failed} {checks} failed"))
    };
    if platform == Platform::Simulated {
        page = page.loud("SIMULATED PLATFORM: no hardware vouches for this.");
    }
    for check in verdict.failed() {
        page = page
            .blank()
            .bad(format!("{}: {}", check.name, check.rule))
            .row("expected", &check.expected)
            .row("found", &check.found)
            .row("to do", check.remedy);
    }
    let mut opted_out = verdict.opted_out().peekable();
    if opted_out.peek().is_some() {
        page = page.blank().loud("Not relied on, by choice");
    }
    for check in opted_out {
        page = page.row(check.name, &check.found);
    }
    if passed > 0 {
        page = page.blank().title("Passed");
    }
    for check in verdict.checks() {
        if check.outcome == Outcome::Passed {
            page = page.row(check.name, &check.found);
        }
    }
    page
}
