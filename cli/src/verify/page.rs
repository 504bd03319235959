//! The chain of what releases rest on, for people and for machines.

use cloister_attestation::{Claims, Platform};
use cloister_protocol::PublicKey;
use serde_json::{Value, json};

use super::{Outcome, chain::Coverage, cost};
use crate::{
    error::{Context, Result},
    ui::{self, Page, Report, printable},
};

const SIMULATED: &str = "SIMULATED PLATFORM: no hardware protected these rows. \
Whoever ran the enclave could read them all.";

/// The report on all jobs; it holds if everything does.
pub fn report(outcomes: &[Outcome], delta: f64) -> Result<Report> {
    let mut page = Page::new();
    let mut jobs = Vec::new();
    for (place, outcome) in outcomes.iter().enumerate() {
        if place > 0 {
            page = page.blank();
        }
        page = page.append(one(outcome, delta)?);
        jobs.push(machine(outcome, delta)?);
    }
    let holds = outcomes.iter().all(accepted);
    let json = json!({ "accepted": holds, "jobs": jobs });
    Ok(Report { page, json, holds })
}

fn accepted(outcome: &Outcome) -> bool {
    outcome.failures.is_empty() && outcome.verdict.accepted()
}

fn one(outcome: &Outcome, delta: f64) -> Result<Page> {
    let mut page = head(outcome);
    if outcome.verdict.platform() == Platform::Simulated {
        page = page.loud(SIMULATED);
    }
    if !accepted(outcome) {
        page = page.blank();
        for failure in &outcome.failures {
            page = page.bad(format!("  {failure}"));
        }
        return Ok(page);
    }
    Ok(page.blank().append(foundations(outcome, delta)?).blank().append(limits_of_this(outcome)))
}

fn head(outcome: &Outcome) -> Page {
    let release = &outcome.releases[0].checked.release.value;
    let of = release.of;
    let what = match outcome.coverage {
        Coverage::Single => format!("release {} of {of}, by itself", release.number + 1),
        Coverage::Beginning(count) => format!("the first {count} of {of} releases"),
        Coverage::Complete => format!("all {of} releases"),
    };
    let job = outcome.releases[0].checked.job.id;
    let what = format!("{what} of job {}", job.digest().short());
    if accepted(outcome) {
        Page::new().good(format!("ACCEPTED  {what}"))
    } else {
        Page::new().bad(format!("DENIED  {what}"))
    }
}

/// What the releases rest on, from the root up.
fn foundations(outcome: &Outcome, delta: f64) -> Result<Page> {
    let first = &outcome.releases[0].checked;
    let (job, code) = (&first.job.value, &first.code.value);
    let made = ui::time(outcome.evidence_ms / 1000);
    let checks = outcome.verdict.checks().len();
    let mut page = Page::new().title("What this rests on");
    if let Some(Claims::Nitro(claims)) = outcome.verdict.claims() {
        let root = hex::encode(&claims.root_sha256[..8]);
        page =
            page.row("vendor root", format!("{}, SHA-256 {root}...", outcome.verdict.platform()));
    }
    page = page
        .row("evidence", format!("made {made}, {checks} checks passed as of that time"))
        .row("transcript", first.transcript_id)
        .row("job", format!("{:?}, signed by {}", printable(&job.purpose), key(&first.job.signer)))
        .row(
            "code",
            format!(
                "{}@{}, component {}, signed by {}",
                printable(&code.name),
                printable(&code.version),
                code.component.short(),
                key(&first.code.signer)
            ),
        );
    for ((header, manifest), grant) in first.datasets.iter().zip(&first.grants) {
        let (name, owner) = (printable(&header.name), header.owner.digest().short());
        let (units, broker) = (manifest.value.units, key(&grant.signer));
        let line = format!("{units} units of owner {owner}, granted by its broker {broker}");
        page = page.row(format!("data {name}"), line);
    }
    let gate = &job.gate;
    let line =
        format!("clip {}, {} steps, noise sigma {} steps", gate.clip, gate.steps, gate.sigma);
    page = page.row("gate", line);
    if let Some(c) = &job.centring {
        let line = format!("clip {}, {} steps, noise sigma {} steps", c.clip, c.steps, c.sigma);
        page = page.row("centring", line);
    }
    let epsilon = epsilon(outcome, delta)?;
    let line = format!("epsilon {epsilon:.4} at delta {delta:e} for each person, by the whole job");
    page = page.row("cost", line);
    Ok(match outcome.coverage {
        Coverage::Single => page.row("models", "not replayed: that needs all releases before"),
        _ => page.row(
            "models",
            format!("{} replayed from the released sums, bit for bit", outcome.replayed),
        ),
    })
}

fn limits_of_this(outcome: &Outcome) -> Page {
    let page = Page::new().text(
        "Keys are shown by their ids: compare them with the enrolments (`cloister show`) of \
         those you expect.",
    );
    match outcome.coverage {
        Coverage::Complete => page,
        _ => page.text("Not all releases of the job were given; the others were not looked at."),
    }
}

fn epsilon(outcome: &Outcome, delta: f64) -> Result<f64> {
    let total = cost::total(&outcome.releases[0].checked.job.value).doing("the job's cost")?;
    total.epsilon_upper(delta).doing("the job's cost")
}

fn key(key: &PublicKey) -> String {
    key.id().digest().short()
}

fn machine(outcome: &Outcome, delta: f64) -> Result<Value> {
    let first = &outcome.releases[0].checked;
    let datasets: Vec<_> = first
        .datasets
        .iter()
        .zip(&first.grants)
        .map(|((header, manifest), grant)| {
            json!({
                "name": header.name,
                "population": header.population,
                "owner": header.owner.to_string(),
                "units": manifest.value.units,
                "broker": grant.signer.id().to_string(),
                "ledger_head": grant.value.ledger_head.to_hex(),
            })
        })
        .collect();
    let accuracy = outcome.releases.last().and_then(|one| one.tensors.scalar("accuracy"));
    Ok(json!({
        "accepted": accepted(outcome),
        "failures": outcome.failures,
        "platform": outcome.verdict.platform(),
        "simulated": outcome.verdict.platform() == Platform::Simulated,
        "evidence": outcome.verdict,
        "evidence_time": ui::time(outcome.evidence_ms / 1000),
        "transcript": first.transcript_id.to_string(),
        "job": first.job.id.to_string(),
        "orchestrator": first.job.signer.id().to_string(),
        "code": format!("{}@{}", first.code.value.name, first.code.value.version),
        "component": first.code.value.component.to_hex(),
        "author": first.code.signer.id().to_string(),
        "datasets": datasets,
        "releases": outcome.releases.iter().map(|r| &r.path).collect::<Vec<_>>(),
        "releases_verified": if accepted(outcome) { outcome.releases.len() } else { 0 },
        "of": first.release.value.of,
        "complete": outcome.coverage == Coverage::Complete,
        "models_replayed": outcome.replayed,
        "cost_pico_rho": first.job.value.cost,
        "epsilon": epsilon(outcome, delta)?,
        "delta": delta,
        "last_accuracy": accuracy,
    }))
}
