//! What may become known about one person, what has been spent of it, and which jobs ran.

use cloister_broker::{
    ledger::{Entry, Reservation},
    policy::{Amount, odds},
};
use cloister_privacy::{Accounting, Zcdp};
use cloister_protocol::{Digest, Id, dataset::DatasetManifest};
use serde_json::{Value, json};

use super::{
    fact::{Fact, Section, Source, quoted},
    record::Record,
    results::{Job, NotCounted},
    words::{NOT_SHOWN, Quote},
};
use crate::{
    budget::amount::{at_least, at_most, epsilon_left, machine, words},
    error::{Context, Result},
    ui,
};

/// Why no more than this, and how much of it is used up.
pub(super) fn necessity(record: &Record) -> Result<Section> {
    let policy = &record.policy.value;
    let (total, per_job) = (&policy.budget.total, &policy.budget.per_job);
    let account = &record.account;
    let delta = total.delta;
    let ledger = || Source::Ledger(account.head);
    let mut facts: Vec<_> = NOT_SHOWN.iter().map(Quote::fact).collect();
    facts.push(limit("budget of all jobs together, for ever", total, record.of_policy()));
    facts.push(limit("limit of one job", per_job, record.of_policy()));
    let accounting = policy.budget.accounting();
    let spent = accounting.epsilon_upper(account.spent, delta).doing("what was spent")?;
    facts.push(Fact {
        what: "spent",
        says: words(account.spent, &at_most(spent), delta),
        value: machine(account.spent, spent, delta),
        from: ledger(),
    });
    let left = epsilon_left(account.left, total, accounting)?;
    facts.push(Fact {
        what: "left",
        says: words(account.left, &at_least(left), delta),
        value: machine(account.left, left, delta),
        from: ledger(),
    });
    facts.push(Fact {
        what: "what is protected together",
        says: if policy.per_row {
            "Datasets may protect each row by itself. That protects a person only if nobody has \
             two rows."
        } else {
            "All rows of one person are protected together."
        }
        .to_owned(),
        value: json!({ "per_row": policy.per_row }),
        from: record.of_policy(),
    });
    let units = policy.cohort.minimum_units;
    facts.push(Fact {
        what: "fewest units in one job",
        says: units.to_string(),
        value: json!(units),
        from: record.of_policy(),
    });
    Ok(Section {
        title: "Necessity and proportionality",
        asks: "What is not collected or shown, and the bound on what can become known about one \
               person (Art. 35(7)(b)). Rho adds up; epsilons do not.",
        facts,
        blanks: vec![
            "why the purposes need this data and each of these columns, and not less".to_owned(),
            "why this budget is proportionate to the purposes, and for these people".to_owned(),
        ],
    })
}

/// What the ledger and the releases say of jobs.
pub(super) fn jobs(record: &Record) -> Result<Section> {
    let delta = record.policy.value.budget.total.delta;
    let mut facts = Vec::new();
    for (entry, digest, one) in record.reservations() {
        facts.push(reservation(record, entry, digest, one, delta)?);
    }
    if facts.is_empty() {
        let (says, from) = ("none was granted".to_owned(), Source::Ledger(record.account.head));
        facts.push(Fact { what: "job", says, value: Value::Null, from });
    }
    for job in &record.results.jobs {
        facts.push(released(job, delta, record.policy.value.budget.accounting())?);
    }
    facts.extend(record.results.not_counted.iter().map(|one| {
        let NotCounted { path, why } = one;
        Fact {
            what: "receipt that is not counted",
            says: format!("{}: {}", quoted(path), quoted_sentence(why)),
            value: json!({ "path": path, "why": why }),
            from: Source::Verification,
        }
    }));
    Ok(Section {
        title: "Jobs that ran",
        asks: "What was granted, by the ledger, whose chain was verified; and what was released, \
               by receipts that verify offline under the enclaves of the signed policy. A grant \
               is spent whether or not its job ended (Art. 35(7)(a)).",
        facts,
        blanks: vec!["what the results were used for".to_owned()],
    })
}

fn limit(what: &'static str, limit: &Amount, from: Source) -> Fact {
    let Amount { epsilon, delta, rho } = *limit;
    let (odds, at) = (odds(epsilon), words(rho, &at_most(epsilon), delta));
    let says = format!(
        "{at}. But for a chance of {delta:e}, the odds of any guess about a person change by a \
         factor of {odds} at most"
    );
    let mut value = machine(rho, epsilon, delta);
    value["odds"] = json!(odds);
    Fact { what, says, value, from }
}

fn reservation(
    record: &Record,
    entry: &Entry,
    digest: &Digest,
    one: &Reservation,
    delta: f64,
) -> Result<Fact> {
    let cost = Zcdp::from_pico(one.cost);
    let epsilon = Accounting::of(one.order).epsilon_upper(cost, delta).doing("what a job cost")?;
    let code = record.code.get(&one.code).map(|code| {
        let manifest = &code.manifest.value;
        format!("{}@{}", manifest.name, manifest.version)
    });
    let name = |table: &Id<DatasetManifest>| {
        let dataset = record.datasets.iter().find(|dataset| dataset.manifest.id == *table);
        dataset.map(|dataset| dataset.header.name.clone())
    };
    let dataset = name(&one.dataset);
    let named = |name: &Option<String>, id: &Digest| match name {
        Some(name) => format!("{} ({id:?})", quoted(name)),
        None => format!("{id:?}"),
    };
    let table = |table| format!(" joined with {}", named(&name(table), table.digest()));
    let joined: String = one.joined.iter().map(table).collect();
    let tables = one
        .joined
        .iter()
        .map(|table| json!({ "dataset": table.to_string(), "dataset_name": name(table) }));
    Ok(Fact {
        what: "job",
        says: format!(
            "{}: job {:?}, purpose {}, of {}, code {}, dataset {}{joined}, cost {}",
            ui::time(entry.time),
            one.job.digest(),
            quoted(&one.purpose),
            record.party(&one.orchestrator),
            named(&code, one.code.digest()),
            named(&dataset, one.dataset.digest()),
            words(cost, &at_most(epsilon), delta)
        ),
        value: json!({
            "time": ui::time(entry.time),
            "job": one.job.to_string(),
            "purpose": one.purpose,
            "orchestrator": one.orchestrator.to_string(),
            "orchestrator_name": record.name(&one.orchestrator),
            "code": one.code.to_string(),
            "code_name": code,
            "dataset": one.dataset.to_string(),
            "dataset_name": dataset,
            "joined": tables.collect::<Vec<_>>(),
            "policy": one.policy.to_hex(),
            "cost": machine(cost, epsilon, delta),
        }),
        from: Source::Entry(entry.seq, *digest),
    })
}

fn released(found: &Job, delta: f64, accounting: Accounting) -> Result<Fact> {
    let Job { folder, signed: job, code: _, releases, of, platform, unprotected, replayed } = found;
    let value = &job.value;
    let cost = value.charges().charge(accounting).doing("what a job cost")?;
    let epsilon = accounting.epsilon_upper(cost, delta).doing("what a job cost")?;
    let warning = if *unprotected { "; **that enclave protected nothing**" } else { "" };
    let folder = folder.display().to_string();
    Ok(Fact {
        what: "verified releases",
        says: format!(
            "{} of {of} of job {:?} in {}, on {} units of {} datasets; clip {}, noise of {} in \
             {} steps; {replayed} models replayed; evidence of {}{warning}",
            releases.len(),
            job.id.digest(),
            quoted(&folder),
            value.units(),
            value.datasets.len(),
            value.gate.clip,
            value.gate.sigma,
            value.gate.steps,
            quoted(platform)
        ),
        value: json!({
            "folder": folder,
            "job": job.id.to_string(),
            "releases": releases.iter().map(Digest::to_hex).collect::<Vec<_>>(),
            "of": of,
            "units": value.units(),
            "datasets": value.datasets.len(),
            "gate": value.gate,
            "models_replayed": replayed,
            "platform": platform,
            "protected_nothing": unprotected,
            "cost": machine(cost, epsilon, delta),
        }),
        from: Source::Receipt(found.last()),
    })
}

/// A reason, which may carry names that somebody else gave.
fn quoted_sentence(text: &str) -> String {
    format!("`{}`", ui::sentence(text).replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use cloister_broker::policy::{Policy, Template, explain, template};
    use cloister_protocol::Id;

    use super::*;

    const MEASUREMENTS: &str =
        include_str!("../../../../attestation/tests/fixtures/measurements.toml");

    #[test]
    fn an_assessment_has_the_words_of_the_explanation() {
        let owner = Id::new(Digest::of("test", &[]));
        let text =
            template(&Template { owner, name: "a", population: "people", not_after: "2027-12-31" });
        for epsilon in ["0.1", "1.0", "2.0", "4.7"] {
            let total = format!("total = {{ epsilon = {epsilon}");
            let text = text
                .replace("total = { epsilon = 2.0", &total)
                .replace("per-job = { epsilon = 1.0", "per-job = { epsilon = 0.1");
            let policy = Policy::from_toml(&format!("{text}\n{MEASUREMENTS}")).unwrap();
            let total = &policy.budget.total;
            let said = explain(&policy).split_whitespace().collect::<Vec<_>>().join(" ");
            let odds = odds(total.epsilon);
            assert!(said.contains(&format!("by a factor of {odds} at most")), "{odds}: {said}");
            let fact = limit("total", total, Source::Home);
            let (_, words) = fact.says.split_once(". But").unwrap();
            assert!(said.contains(words), "{words}: {said}");
            assert_eq!(fact.value["pico_rho"], total.rho.as_pico());
        }
    }
}
