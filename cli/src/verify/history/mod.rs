//! `cloister verify --log`: the whole history of what was granted, computed again.
//!
//! 1. Each log is signed by its owner, and its chain holds from the first entry to the head.
//! 2. Each log is one that a broker would have written: policies, jobs and times in it keep
//!    the ledger's rules.
//! 3. Of two logs of one owner, the one is the beginning of the other.
//! 4. Each grant in each receipt is the reservation that the owner's log has at its head.
//! 5. Each reservation costs what its job costs, which is computed from the job.
//! 6. What was not given is named: jobs without receipts, releases, logs.
//!
//! The receipts were verified before, as they are without a log. 1 to 5 deny; 6 does not, as
//! a job may run, have failed or not have been handed over.

mod against;
mod claim;
mod gap;
mod logs;
mod page;
mod rules;

use std::path::PathBuf;

use cloister_party::Role;
use serde_json::json;

use super::Findings;
use crate::{
    error::Result,
    ui::{Page, Report},
};

use against::Against;
use claim::{Claim, Job};
use gap::Gap;
use logs::Logs;

/// Everything that was found out about logs and receipts together.
struct History {
    logs: Logs,
    against: Against,
    /// What denies.
    gaps: Vec<Gap>,
    /// What was not given.
    notes: Vec<Gap>,
}

/// Holds logs against receipts, and adds what was found to the report on these.
pub fn add(paths: &[PathBuf], findings: &Findings, delta: f64, report: Report) -> Result<Report> {
    let mut gaps = Vec::new();
    let logs = Logs::read(paths, &findings.pins, &mut gaps)?;
    let jobs: Vec<Job> = findings.outcomes.iter().map(Job::of).collect();
    let history = History::check(logs, &jobs, gaps);
    let Report { page, mut json, holds } = report;
    let page = if jobs.is_empty() { page } else { page.blank() };
    let page = page.append(history.page(delta)?).append(nobodys(findings));
    let holds = holds && history.holds();
    json["history"] = history.json(delta)?;
    json["accepted"] = json!(holds);
    Ok(Report { page, json, holds })
}

/// What must not be overlooked where nobody said whose logs these have to be.
fn nobodys(findings: &Findings) -> Page {
    if !findings.pins.open().contains(&Role::Owner) {
        return Page::new();
    }
    Page::new().loud(
        "OWNERS OF LOGS WERE NOT CHECKED: anybody can make keys and a log of their own. Give \
         enrolments with --owner, or compare these keys with those you expect.",
    )
}

impl History {
    fn check(logs: Logs, jobs: &[Job], mut gaps: Vec<Gap>) -> Self {
        let mut notes = Vec::new();
        for log in logs.whole() {
            gaps.extend(rules::broken(log));
        }
        let against = Against::check(&logs, jobs, &mut gaps, &mut notes);
        Self { logs, against, gaps, notes }
    }

    fn holds(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Whether there is a log for each grant, and a receipt for each reservation.
    fn is_complete(&self) -> bool {
        self.notes.is_empty()
    }
}
