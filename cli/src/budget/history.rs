//! `cloister budget history`.

use std::collections::BTreeMap;

use cloister_broker::{
    Vault,
    ledger::{Event, Reservation},
};
use cloister_party::Peers;
use cloister_privacy::{Accounting, Zcdp};
use cloister_protocol::{
    Digest, Id, KeyId,
    dataset::{DatasetManifest, Population},
};
use serde_json::{Value, json};

use super::{
    Account, History,
    amount::{at_most, words},
    balance::Log,
    export::export,
    loud,
    receipts::Against,
};
use crate::{
    enrol::fingerprint,
    error::{Context, Error, Result},
    ui::{self, Page, Report, printable},
};

/// Lists the log.
pub(super) fn history(asked: &History) -> Result<Report> {
    let (home, results) = (&asked.of.home, &asked.results);
    let account = Account::open(home)?;
    let log = Log::read(&account.ledger)?;
    let warnings = account.warnings()?;
    let delta = account.policy.budget.total.delta;
    let names = Names {
        peers: account.owner.home.peers().map_err(Error::failed)?,
        vault: Vault::new(home),
    };

    let mut page = loud(&warnings);
    let mut entries = Vec::new();
    let mut totals: BTreeMap<&Population, Zcdp> = BTreeMap::new();
    for (entry, digest) in &log.entries {
        let mut json = match &entry.event {
            Event::Policy { version, policy } => {
                let time = ui::time(entry.time);
                page = page.title(format!("{time}  policy version {version} ({policy:?})"));
                json!({ "event": "policy", "version": version, "policy": policy.to_hex() })
            }
            Event::Reserved(one) => {
                let total = totals.entry(&one.population).or_default();
                *total = total.checked_add(Zcdp::from_pico(one.cost)).doing("the total")?;
                let line = Line { time: entry.time, one, total: *total, delta };
                page = page.append(line.page(&names)?);
                line.json(&names)?
            }
        };
        json["seq"] = json!(entry.seq);
        json["time"] = json!(ui::time(entry.time));
        json["digest"] = json!(digest.to_hex());
        entries.push(json);
    }
    let count = log.entries.len();
    page = match &log.end {
        Ok(head) => page
            .blank()
            .good(format!("{count} entries, and the chain is unbroken"))
            .row("head", head),
        Err(why) => page.blank().bad(why),
    };
    let against = (!results.is_empty())
        .then(|| Against::check(&log.entries, account.owner.home.id(), results))
        .transpose()?;
    if let Some(against) = &against {
        if !against.forgotten().is_empty() {
            account.ledger.witness(against.forgotten()).map_err(Error::failed)?;
        }
        page = page.append(against.page());
    }
    // A log that is not whole is nothing to sign.
    let exported = asked.export.as_ref().filter(|_| log.end.is_ok());
    if let Some(file) = exported {
        export(&account.owner, &log.entries, file)?;
        page = page.blank().good(format!("Wrote the log, signed, to {}", file.display()));
    } else if asked.export.is_some() {
        page = page.bad("A log that is not unbroken is not exported");
    }
    let holds = log.end.is_ok() && against.as_ref().is_none_or(Against::holds);
    let json = json!({
        "home": home,
        "population": account.population,
        "policy": account.source_json(),
        "delta": delta,
        "entries": entries,
        "unbroken": log.end.is_ok(),
        "head": log.end.as_ref().ok().map(Digest::to_hex),
        "why": log.end.as_ref().err(),
        "exported": exported,
        "against": against.as_ref().map(Against::json),
        "warnings": warnings,
    });
    Ok(Report { page, json, holds })
}

/// What is known in the home under a name.
struct Names {
    peers: Peers,
    vault: Vault,
}

impl Names {
    fn party(&self, key: &KeyId) -> Option<String> {
        self.peers.by_id(key).map(|peer| peer.name().to_string())
    }

    fn dataset(&self, one: &Id<DatasetManifest>) -> Option<String> {
        let (proof, _) = self.vault.proof(one).ok()?;
        Some(proof.header.name)
    }
}

/// A reservation, and what was spent with it.
struct Line<'a> {
    time: u64,
    one: &'a Reservation,
    total: Zcdp,
    delta: f64,
}

impl Line<'_> {
    fn epsilon(&self) -> Result<f64> {
        let accounting = Accounting::of(self.one.order);
        accounting.epsilon_upper(self.total, self.delta).doing("the total")
    }

    fn page(&self, names: &Names) -> Result<Page> {
        let Self { time, one, total, delta } = self;
        let orchestrator = fingerprint(&one.orchestrator);
        let orchestrator = match names.party(&one.orchestrator) {
            Some(name) => format!("{name} ({orchestrator})"),
            None => orchestrator,
        };
        let dataset = |one: &Id<DatasetManifest>| {
            let id = one.digest().short();
            match names.dataset(one) {
                Some(name) => format!("{} ({id})", printable(&name)),
                None => id,
            }
        };
        let epsilon = at_most(self.epsilon()?);
        let mut page = Page::new()
            .title(format!("{}  job {}", ui::time(*time), one.job.digest().short()))
            .row("purpose", printable(&one.purpose))
            .row("orchestrator", orchestrator)
            .row("code", one.code.digest().short())
            .row("dataset", dataset(&one.dataset));
        for table in &one.joined {
            page = page.row("joined with", dataset(table));
        }
        Ok(page
            .row("cost", format!("rho {}", Zcdp::from_pico(one.cost)))
            .row("spent by then", words(*total, &epsilon, *delta)))
    }

    fn json(&self, names: &Names) -> Result<Value> {
        let Reservation {
            grant,
            transcript,
            job,
            purpose,
            orchestrator,
            code,
            dataset,
            joined,
            population,
            policy,
            cost,
            order,
        } = self.one;
        let table = |one: &Id<DatasetManifest>| json!({ "dataset": one.to_string(), "dataset_name": names.dataset(one) });
        Ok(json!({
            "event": "reserved",
            "grant": hex::encode(**grant),
            "transcript": transcript.to_string(),
            "job": job.to_string(),
            "purpose": purpose,
            "orchestrator": orchestrator.to_string(),
            "orchestrator_name": names.party(orchestrator),
            "code": code.to_string(),
            "dataset": dataset.to_string(),
            "dataset_name": names.dataset(dataset),
            "joined": joined.iter().map(table).collect::<Vec<_>>(),
            "population": population,
            "policy": policy.to_hex(),
            "pico_rho": cost,
            "order": order,
            "spent_pico_rho": self.total.as_pico(),
            "spent_epsilon": self.epsilon()?,
        }))
    }
}
