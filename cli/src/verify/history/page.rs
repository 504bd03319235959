//! The history, for people and for machines.

use std::collections::BTreeMap;

use cloister_broker::ledger::Event;
use cloister_privacy::{Accounting, Zcdp};
use serde_json::{Value, json};

use super::{
    History,
    against::reservations,
    gap::Gap,
    logs::{Log, shown},
};
use crate::{
    budget::amount::{at_most, counted, words},
    error::{Context, Result},
    ui::{self, Page, printable},
};

/// What was reserved for a population.
#[derive(Default)]
struct Total {
    /// By the log.
    reserved: Zcdp,
    /// The part of it that was computed again from jobs in accepted receipts.
    again: Zcdp,
    /// Reservations.
    jobs: usize,
    /// Those of which there are receipts.
    seen: usize,
    /// How the account counts, by its first reservation; the others agree, or the log is denied.
    accounting: Option<Accounting>,
}

impl Total {
    fn accounting(&self) -> Accounting {
        self.accounting.unwrap_or_default()
    }

    fn epsilon(&self, delta: f64) -> Result<f64> {
        self.accounting().epsilon_upper(self.reserved, delta).doing("the total")
    }
}

impl History {
    /// For people.
    pub(super) fn page(&self, delta: f64) -> Result<Page> {
        let mut page = if self.holds() {
            Page::new().good(if self.is_complete() {
                "ACCEPTED  the history: every grant given is in its owner's log"
            } else {
                "ACCEPTED  the history, as far as it was given: what was not is listed below"
            })
        } else {
            let page = Page::new().bad("DENIED  the history");
            self.gaps.iter().fold(page, |page, gap| page.bad(format!("  {}", gap.words())))
        };
        for log in self.logs.whole() {
            page = page.blank().append(self.log(log, delta)?);
        }
        if !self.notes.is_empty() {
            page = page.blank().loud("NOT GIVEN, and so not looked at");
            for note in &self.notes {
                page = page.text(format!("  {}", note.words()));
            }
        }
        Ok(page)
    }

    fn log(&self, log: &Log, delta: f64) -> Result<Page> {
        let entries = log.log.entries.len();
        let mut page = Page::new()
            .title(format!("Log {}", shown(&log.path)))
            .row("owner", log.log.owner)
            .row("exported", ui::time(log.log.made))
            .row("entries", format!("{entries}, unbroken from the first to the head"))
            .row("head", log.log.head);
        for (population, total) in self.totals(log)? {
            let Total { reserved, again, jobs, seen, .. } = total;
            let counted = counted(total.accounting());
            let line = words(reserved, &at_most(total.epsilon(delta)?), delta);
            let line = format!("{line}, counted {counted}");
            page = page
                .row(format!("spent on {}", printable(population)), line)
                .row("computed again", format!("rho {again}, of {seen} of {jobs} jobs"));
        }
        Ok(page)
    }

    /// What was spent, by population.
    fn totals<'a>(&self, log: &'a Log) -> Result<BTreeMap<&'a str, Total>> {
        let mut totals = BTreeMap::<&str, Total>::new();
        for (entry, one) in reservations(log) {
            let total = totals.entry(&one.population).or_default();
            total.accounting.get_or_insert(Accounting::of(one.order));
            let add = |to: Zcdp, pico| to.checked_add(Zcdp::from_pico(pico)).doing("the total");
            total.reserved = add(total.reserved, one.cost)?;
            total.jobs += 1;
            if let Some(seen) = self.against.seen(&log.log.owner, entry.seq) {
                total.seen += usize::from(seen.cost.is_some());
                total.again = add(total.again, seen.cost.unwrap_or(0))?;
            }
        }
        Ok(totals)
    }

    /// For machines.
    pub(super) fn json(&self, delta: f64) -> Result<Value> {
        let logs: Result<Vec<_>> = self.logs.whole().map(|log| self.log_json(log, delta)).collect();
        Ok(json!({
            "holds": self.holds(),
            "complete": self.is_complete(),
            "logs": logs?,
            "gaps": self.gaps.iter().map(Gap::json).collect::<Vec<_>>(),
            "not_given": self.notes.iter().map(Gap::json).collect::<Vec<_>>(),
        }))
    }

    fn log_json(&self, log: &Log, delta: f64) -> Result<Value> {
        let entries = log.log.entries.iter().map(|(entry, digest)| {
            let mut json = match &entry.event {
                Event::Policy { version, policy } => {
                    json!({ "event": "policy", "version": version, "policy": policy.to_hex() })
                }
                Event::Reserved(one) => {
                    let seen = self.against.seen(&log.log.owner, entry.seq);
                    json!({
                        "event": "reserved",
                        "job": one.job.to_string(),
                        "purpose": one.purpose,
                        "population": one.population,
                        "pico_rho": one.cost,
                        "order": one.order,
                        "computed_pico_rho": seen.and_then(|seen| seen.cost),
                        "receipts": seen.map_or(0, |seen| seen.receipts),
                    })
                }
            };
            json["seq"] = json!(entry.seq);
            json["time"] = json!(ui::time(entry.time));
            json["digest"] = json!(digest.to_hex());
            json
        });
        let mut populations = serde_json::Map::new();
        for (population, total) in self.totals(log)? {
            let json = json!({
                "pico_rho": total.reserved.as_pico(),
                "epsilon": total.epsilon(delta)?,
                "order": total.accounting().order(),
                "computed_pico_rho": total.again.as_pico(),
                "jobs": total.jobs,
                "jobs_computed": total.seen,
            });
            populations.insert(population.to_owned(), json);
        }
        Ok(json!({
            "path": log.path.display().to_string(),
            "owner": log.log.owner.to_string(),
            "exported": ui::time(log.log.made),
            "head": log.log.head.to_hex(),
            "entries": entries.collect::<Vec<_>>(),
            "populations": populations,
        }))
    }
}
