//! The verdict on one piece of evidence: a page, and the same as JSON.

use cloister_attestation::{Outcome, Platform, Verdict};

use crate::{
    error::{Context, Result},
    ui::{Page, Report},
};

/// The report of a verdict.
pub fn report(verdict: &Verdict) -> Result<Report> {
    let json = serde_json::to_value(verdict).doing("cannot write the verdict")?;
    Ok(Report { page: page(verdict), json, holds: verdict.accepted() })
}

fn page(verdict: &Verdict) -> Page {
    let platform = verdict.platform();
    let mut page = Page::new();
    let count = |outcome| verdict.checks().iter().filter(|one| one.outcome == outcome).count();
    let (passed, failed) = (count(Outcome::Passed), count(Outcome::Failed));
    page = if verdict.accepted() {
        page.good(format!("ACCEPTED  {platform} evidence, {passed} checks passed"))
    } else {
        page.bad(format!("DENIED  {platform} evidence, {failed} checks failed"))
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
