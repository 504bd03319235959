//! Pages of single signed objects.

use cloister_broker::{
    ledger::GrantLog,
    policy::{Policy, explain},
};
use cloister_party::Enrolment;
use cloister_privacy::{Accounting, METRICS_CLIP};
use cloister_protocol::{
    Kind, Signed,
    code::{CodeApproval, CodeManifest},
    dataset::DatasetManifest,
    grant::Grant,
    job::Job,
    release::Release,
    signed::{SignedError, Verified},
};
use serde_json::{Value, json};

use super::{Found, page};
use crate::{
    budget::amount,
    ui::{self, Page, printable},
};

/// An object whose envelope says that it is a `kind`.
pub(super) fn signed(kind: &str, bytes: Vec<u8>) -> Result<Found, SignedError> {
    match kind {
        Policy::KIND => open(bytes, "policy", "A data policy, signed", policy),
        CodeApproval::KIND => open(bytes, "code-approval", "An owner's approval of code", approval),
        CodeManifest::KIND => open(bytes, "code-manifest", "A code manifest, signed", |manifest| {
            (page::code_rows(manifest), code_claims(manifest))
        }),
        Job::KIND => open(bytes, "job", "A job, signed by an orchestrator", job),
        Enrolment::KIND => {
            open(bytes, "enrolment", "An enrolment: how a party is known", enrolment)
        }
        Grant::KIND => open(bytes, "grant", "A grant, without its key", grant),
        GrantLog::KIND => open(bytes, "grant-log", "An owner's log of grants, signed", log),
        Release::KIND => open(bytes, "release", "A release, without what it rests on", release),
        DatasetManifest::KIND => open(bytes, "dataset-manifest", "A dataset manifest", manifest),
        other => {
            let page = Page::new().title(format!("Something signed: {}", printable(other)));
            Ok(Found { kind: "signed", page, claims: json!({ "kind": other }) })
        }
    }
}

fn open<T: Kind>(
    bytes: Vec<u8>,
    kind: &'static str,
    title: &str,
    show: impl FnOnce(&Verified<T>) -> (Page, Value),
) -> Result<Found, SignedError> {
    let object = Signed::<T>::from_bytes(bytes).open_by_anyone()?;
    let (page, mut claims) = show(&object);
    claims["id"] = json!(object.id.to_string());
    claims["signed_by"] = json!(object.signer.id().to_string());
    let page = Page::new().title(title).append(page).row("signed by", object.signer.id());
    Ok(Found { kind, page, claims })
}

fn policy(policy: &Verified<Policy>) -> (Page, Value) {
    let value = &policy.value;
    let page = Page::new().text(explain(value)).row("id", policy.id);
    let claims = json!({
        "version": value.version,
        "population": value.population,
        "purposes": value.purposes.allowed,
        "not_after": value.purposes.not_after,
    });
    (page, claims)
}

fn approval(approval: &Verified<CodeApproval>) -> (Page, Value) {
    let CodeApproval { code, component } = &approval.value;
    let page = Page::new().row("code", code).row("component", component);
    (page, json!({ "code": code.to_string(), "component": component.to_hex() }))
}

/// What a code manifest says, for machines.
pub(super) fn code_claims(manifest: &Verified<CodeManifest>) -> Value {
    let mut claims = json!(manifest.value);
    claims["component"] = json!(manifest.value.component.to_hex());
    claims["id"] = json!(manifest.id.to_string());
    claims["signed_by"] = json!(manifest.signer.id().to_string());
    claims
}

fn job(job: &Verified<Job>) -> (Page, Value) {
    let value = &job.value;
    let mut page = Page::new()
        .row("purpose", printable(&value.purpose))
        .row("code", value.code)
        .row("rounds", value.rounds)
        .row("gate", gate(value.gate.clip, value.gate.steps, value.gate.sigma));
    if let Some(c) = &value.centring {
        page = page.row("centring", gate(c.clip, c.steps, c.sigma));
    }
    if let Some(m) = &value.metrics {
        let gate = gate(METRICS_CLIP, m.steps, m.sigma);
        page = page.row("metrics", format!("{gate}, losses up to {}", m.loss));
    }
    page = page
        .row("cost", format!("{} pico-rho of zCDP to each population", value.cost))
        .row("units", value.units())
        .row("granted until", ui::time(value.not_after))
        .row("id", job.id);
    for places in value.populations() {
        let tables = &value.datasets[places];
        let (name, owner) = (printable(&tables[0].population), tables[0].owner);
        let several = match tables.len() {
            1 => String::new(),
            count => format!(", {count} tables joined by unit"),
        };
        page = page.row(format!("population {name}"), format!("of owner {owner}{several}"));
    }
    let datasets = value.datasets.iter().map(|d| d.manifest.to_string()).collect::<Vec<_>>();
    let claims = json!({
        "purpose": value.purpose,
        "code": value.code.to_string(),
        "datasets": datasets,
        "rounds": value.rounds,
        "gate": value.gate,
        "centring": value.centring,
        "metrics": value.metrics,
        "server": value.server,
        "parameters": value.parameters,
        "cost_pico_rho": value.cost,
        "units": value.units(),
        "not_after": value.not_after,
    });
    (page, claims)
}

fn gate(clip: f64, steps: u64, sigma: u64) -> String {
    format!("clip {clip} in {steps} steps, noise of {sigma} steps")
}

fn enrolment(enrolment: &Verified<Enrolment>) -> (Page, Value) {
    let value = &enrolment.value;
    let broker = value.broker_key.as_ref().map(cloister_protocol::PublicKey::id);
    let page = Page::new()
        .row("name", &value.name)
        .row("role", value.role)
        .row_if("population", value.population.as_deref().map(printable))
        .row_if("address", value.address.as_ref())
        .row("key", value.key.id())
        .row_if("broker's key", broker);
    let claims = json!({
        "name": value.name.to_string(),
        "role": value.role.to_string(),
        "population": value.population,
        "address": value.address.as_ref().map(ToString::to_string),
        "key": value.key.id().to_string(),
        "broker_key": broker.map(|key| key.to_string()),
    });
    (page, claims)
}

fn grant(grant: &Verified<Grant>) -> (Page, Value) {
    let Grant { grant: _, transcript, dataset, policy, cost, order, ledger_head } = &grant.value;
    let page = Page::new()
        .row("transcript", transcript)
        .row("dataset", dataset)
        .row("policy", policy)
        .row("reserved", format!("{cost} pico-rho {}", amount::counted(Accounting::of(*order))))
        .row("ledger head", ledger_head);
    let claims = json!({
        "transcript": transcript.to_string(),
        "dataset": dataset.to_string(),
        "policy": policy.to_hex(),
        "cost_pico_rho": cost,
        "order": order,
        "ledger_head": ledger_head.to_hex(),
    });
    (page, claims)
}

fn log(log: &Verified<GrantLog>) -> (Page, Value) {
    let GrantLog { version: _, owner, made, entries } = &log.value;
    let page = Page::new()
        .row("owner", owner)
        .row("exported", ui::time(*made))
        .row("entries", ui::bytes(entries.len() as u64));
    let (page, entries, head) = match log.value.check() {
        Ok(read) => {
            let page = page.row("of them", read.entries.len()).row("head", read.head);
            (page, Some(read.entries.len()), Some(read.head.to_hex()))
        }
        Err(error) => (page.bad(error), None, None),
    };
    let claims = json!({
        "owner": owner.to_string(),
        "exported": ui::time(*made),
        "entries": entries,
        "head": head,
    });
    (page, claims)
}

fn release(release: &Verified<Release>) -> (Page, Value) {
    let Release { transcript, number, of, divisor, cost, tensors, .. } = &release.value;
    let page = Page::new()
        .row("release", format!("{} of {of}", number + 1))
        .row("transcript", transcript)
        .row("divisor", format!("{divisor} units"))
        .row("cost", format!("{cost} pico-rho of zCDP"))
        .row("tensors", tensors);
    let claims = json!({
        "number": number,
        "of": of,
        "transcript": transcript.to_string(),
        "units": divisor,
        "cost_pico_rho": cost,
        "tensors": tensors.to_hex(),
    });
    (page, claims)
}

fn manifest(manifest: &Verified<DatasetManifest>) -> (Page, Value) {
    let DatasetManifest { header, length, rows, units, max_rows_per_unit, .. } = &manifest.value;
    let page = Page::new()
        .row("id", manifest.id)
        .row("header", header)
        .row("body", ui::bytes(*length))
        .row("rows", rows)
        .row("units", format!("{units}, at most {max_rows_per_unit} rows each"));
    let claims = json!({
        "header": header.to_hex(),
        "rows": rows,
        "units": units,
        "max_rows_per_unit": max_rows_per_unit,
    });
    (page, claims)
}
