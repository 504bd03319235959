//! The chain of what releases rest on, for people and for machines.

use std::path::Path;

use cloister_attestation::{Claims, Outcome as CheckOutcome, Platform, Verdict};
use cloister_party::Role;
use cloister_privacy::METRICS_CLIP;
use cloister_protocol::PublicKey;
use serde_json::{Value, json};

use super::{Findings, Outcome, chain::Coverage, cost, identities::Pins};
use crate::{
    error::{Context, Result},
    run::metrics::Measured,
    ui::{self, Page, Report, printable},
    unit,
};

const SIMULATED: &str = "SIMULATED PLATFORM: no hardware protected these rows. \
Whoever ran the enclave could read them all.";

const DEBUG: &str = "DEBUG ENCLAVE: its memory and console were open to whoever ran it, \
and any code may have run in it. These rows were not protected.";

/// The report on everything; it holds if all of it does.
pub fn report(findings: &Findings, delta: f64) -> Result<Report> {
    let Findings { outcomes, damaged, unchecked, pins } = findings;
    let mut page = Page::new();
    let mut jobs = Vec::new();
    for (place, outcome) in outcomes.iter().enumerate() {
        if place > 0 {
            page = page.blank();
        }
        page = page.append(one(outcome, pins, delta)?);
        jobs.push(machine(outcome, pins, delta)?);
    }
    if !damaged.is_empty() {
        if !outcomes.is_empty() {
            page = page.blank();
        }
        page = page.bad("DENIED  receipts that do not hold together");
        for one in damaged {
            page = page.bad(format!("  {}: {}", shown(&one.path), one.why));
        }
    }
    if !unchecked.is_empty() {
        let names = unchecked.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ");
        page = page.blank().loud(format!("NOT CHECKED, as nothing vouches for it: {names}"));
    }
    let holds = damaged.is_empty() && outcomes.iter().all(Outcome::accepted);
    let broken: Vec<_> =
        damaged.iter().map(|one| json!({ "path": text(&one.path), "why": one.why })).collect();
    let json = json!({
        "accepted": holds,
        "jobs": jobs,
        "damaged": broken,
        "unchecked": unchecked.iter().map(|path| text(path)).collect::<Vec<_>>(),
    });
    Ok(Report { page, json, holds })
}

/// A path, which somebody else may have named, for a terminal.
fn shown(path: &Path) -> String {
    printable(&text(path))
}

/// A path for machines; JSON has no other bytes than text.
fn text(path: &Path) -> String {
    path.display().to_string()
}

fn one(outcome: &Outcome, pins: &Pins, delta: f64) -> Result<Page> {
    let mut page = head(outcome).append(warnings(&outcome.verdict));
    if !outcome.accepted() {
        page = page.blank();
        for failure in &outcome.failures {
            page = page.bad(format!("  {failure}"));
        }
        return Ok(page);
    }
    Ok(page
        .blank()
        .append(foundations(outcome, delta)?)
        .blank()
        .append(identities(outcome, pins))
        .append(limits_of_this(outcome)))
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
    if outcome.accepted() {
        Page::new().good(format!("ACCEPTED  {what}"))
    } else {
        Page::new().bad(format!("DENIED  {what}"))
    }
}

/// What the platform does not protect, and every rule that the verdict does without:
/// nothing of the kind passes in silence.
fn warnings(verdict: &Verdict) -> Page {
    let mut page = Page::new();
    if verdict.platform() == Platform::Simulated {
        page = page.loud(SIMULATED);
    }
    if debug(verdict) {
        page = page.loud(DEBUG);
    }
    for check in verdict.opted_out() {
        page = page.loud(format!(
            "OPTED OUT of {}: {} Expected {}, found {}.",
            check.name, check.rule, check.expected, check.found
        ));
    }
    page
}

/// Whether the evidence is of an enclave in debug mode.
pub fn debug(verdict: &Verdict) -> bool {
    match verdict.claims() {
        Some(Claims::Nitro(claims)) => claims.debug,
        Some(Claims::SevSnp(claims)) => claims.debug,
        _ => false,
    }
}

/// The fingerprint of the vendor's root, and whether the evidence says when it was made.
fn root_and_time(verdict: &Verdict) -> Option<(String, bool)> {
    match verdict.claims()? {
        Claims::Nitro(claims) => Some((hex::encode(&claims.root_sha256[..8]), true)),
        Claims::SevSnp(claims) => Some((hex::encode(&claims.root_sha256.0[..8]), false)),
        _ => None,
    }
}

fn passed(verdict: &Verdict) -> usize {
    verdict.checks().iter().filter(|check| check.outcome == CheckOutcome::Passed).count()
}

/// What the releases rest on, from the root up.
fn foundations(outcome: &Outcome, delta: f64) -> Result<Page> {
    let first = &outcome.releases[0].checked;
    let (job, code) = (&first.job.value, &first.code.value);
    let made = ui::time(outcome.evidence_ms / 1000);
    let checks = passed(&outcome.verdict);
    let mut page = Page::new().title("What this rests on");
    let mut evidence = format!("made {made}, {checks} checks passed as of that time");
    if let Some((root, dated)) = root_and_time(&outcome.verdict) {
        page =
            page.row("vendor root", format!("{}, SHA-256 {root}...", outcome.verdict.platform()));
        if !dated {
            evidence = format!("of no time of its own, {checks} checks passed as of {made}");
        }
    }
    page = page
        .row("evidence", evidence)
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
    for tables in job.populations() {
        let (base, units) = (&first.datasets[tables.start].0, job.datasets[tables.start].units);
        for place in tables.clone() {
            let (header, broker) = (&first.datasets[place].0, key(&first.grants[place].signer));
            let what = if place == tables.start {
                format!("{units} units of owner {}", header.owner.digest().short())
            } else {
                format!("the same units, joined to {}", printable(&base.name))
            };
            let line = format!("{what}, granted by its broker {broker}");
            page = page.row(format!("data {}", printable(&header.name)), line);
        }
    }
    let gate = &job.gate;
    let line =
        format!("clip {}, {} steps, noise sigma {} steps", gate.clip, gate.steps, gate.sigma);
    page = page.row("gate", line);
    if let Some(c) = &job.centring {
        let line = format!("clip {}, {} steps, noise sigma {} steps", c.clip, c.steps, c.sigma);
        page = page.row("centring", line);
    }
    if let Some(m) = &job.metrics {
        let line = format!("clip {METRICS_CLIP}, {} steps, noise sigma {} steps", m.steps, m.sigma);
        page = page.row("metrics", line);
    }
    if let Some(measured) = measured(outcome) {
        page = measured.rows(page);
    }
    let epsilon = epsilon(outcome, delta)?;
    let each = unit::for_each(first.datasets.iter().map(|(header, _)| header));
    let line = format!("epsilon {epsilon:.4} at delta {delta:e} {each}, by the whole job");
    page = page.row("cost", line);
    if let Some(lower) = lower(outcome, delta)? {
        let line = format!("at least epsilon {lower:.4}, by any account of such noise");
        page = page.row("", line);
    }
    page = match outcome.coverage {
        Coverage::Single => page.row("models", "not replayed: that needs all releases before"),
        _ => page.row(
            "models",
            format!("{} replayed from the released sums, bit for bit", outcome.replayed),
        ),
    };
    for path in &outcome.models {
        let line = format!("{}, made again from the releases, byte for byte", shown(path));
        page = page.row("model file", line);
    }
    Ok(page)
}

/// Whose keys these are, if the verifier did not say whose they have to be.
fn identities(outcome: &Outcome, pins: &Pins) -> Page {
    let open = pins.open();
    if open.is_empty() {
        return Page::new().text("Data, job and code are of those whose enrolments were given.");
    }
    let names: Vec<_> = open.iter().map(ToString::to_string).collect();
    let options: Vec<_> = names.iter().map(|name| format!("--{name}")).collect();
    let mut page = Page::new().loud(format!(
        "IDENTITIES WERE NOT CHECKED ({}): anybody can make keys and have a job of their own \
         accepted. Give enrolments with {}, or compare these keys with those you expect:",
        names.join(", "),
        options.join(", ")
    ));
    let first = &outcome.releases[0].checked;
    for role in open {
        match role {
            Role::Orchestrator => page = page.row("orchestrator", first.job.signer.id()),
            Role::Author => page = page.row("author", first.code.signer.id()),
            _ => {
                for (header, _) in &first.datasets {
                    let name = printable(&header.name);
                    page = page
                        .row(format!("owner of {name}"), header.owner)
                        .row(format!("broker of {name}"), header.broker);
                }
            }
        }
    }
    page
}

fn limits_of_this(outcome: &Outcome) -> Page {
    match outcome.coverage {
        Coverage::Complete => Page::new(),
        _ => Page::new()
            .text("Not all releases of the job were given; the others were not looked at."),
    }
}

fn epsilon(outcome: &Outcome, delta: f64) -> Result<f64> {
    cost::epsilon(&outcome.releases[0].checked, u32::MAX, delta).doing("the job's cost")
}

fn lower(outcome: &Outcome, delta: f64) -> Result<Option<f64>> {
    outcome.releases[0].checked.job.value.charges().epsilon_lower(delta).doing("the job's cost")
}

/// The job's metrics, if their release is there.
fn measured(outcome: &Outcome) -> Option<Measured> {
    let last = outcome.releases.last()?;
    Measured::of(&last.checked.job.value, last.checked.release.value.stage, &last.tensors)
}

fn key(key: &PublicKey) -> String {
    key.id().digest().short()
}

fn machine(outcome: &Outcome, pins: &Pins, delta: f64) -> Result<Value> {
    let first = &outcome.releases[0].checked;
    let populations = first.job.value.populations();
    let datasets: Vec<_> = populations
        .flat_map(|tables| tables.clone().map(move |place| (tables.start, place)))
        .map(|(base, place)| {
            let ((header, manifest), grant) = (&first.datasets[place], &first.grants[place]);
            let joined_to = (base != place).then(|| &first.datasets[base].0.name);
            json!({
                "name": header.name,
                "population": header.population,
                "unit": unit::name(header),
                "owner": header.owner.to_string(),
                "units": manifest.value.units,
                "joined_to": joined_to,
                "broker": grant.signer.id().to_string(),
                "ledger_head": grant.value.ledger_head.to_hex(),
            })
        })
        .collect();
    let accuracy = outcome.releases.iter().rev().find_map(|one| one.tensors.scalar("accuracy"));
    Ok(json!({
        "accepted": outcome.accepted(),
        "failures": outcome.failures,
        "platform": outcome.verdict.platform(),
        "simulated": outcome.verdict.platform() == Platform::Simulated,
        "debug": debug(&outcome.verdict),
        "opted_out": outcome.verdict.opted_out().map(|check| check.name).collect::<Vec<_>>(),
        "checks_passed": passed(&outcome.verdict),
        "evidence": outcome.verdict,
        "evidence_time": root_and_time(&outcome.verdict)
            .is_none_or(|(_, dated)| dated)
            .then(|| ui::time(outcome.evidence_ms / 1000)),
        "judged_at": ui::time(outcome.evidence_ms / 1000),
        "transcript": first.transcript_id.to_string(),
        "job": first.job.id.to_string(),
        "orchestrator": first.job.signer.id().to_string(),
        "code": format!("{}@{}", first.code.value.name, first.code.value.version),
        "component": first.code.value.component.to_hex(),
        "author": first.code.signer.id().to_string(),
        "datasets": datasets,
        "releases": outcome.releases.iter().map(|r| text(&r.path)).collect::<Vec<_>>(),
        "releases_verified": if outcome.accepted() { outcome.releases.len() } else { 0 },
        "of": first.release.value.of,
        "complete": outcome.coverage == Coverage::Complete,
        "models_replayed": outcome.replayed,
        "models": outcome.models.iter().map(|path| text(path)).collect::<Vec<_>>(),
        "identities_checked": pins.open().is_empty(),
        "roles_not_checked": pins.open().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "cost_pico_rho": first.job.value.cost,
        "epsilon": epsilon(outcome, delta)?,
        "epsilon_lower": lower(outcome, delta)?,
        "order": cost::accounting(first).order(),
        "delta": delta,
        "last_accuracy": accuracy,
        "metrics": measured(outcome).as_ref().map(Measured::json),
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloister_attestation::{
        Binding, Clock, Freshness,
        nitro::{self, DebugReference, Expectations, ReferenceValues, Roots},
    };
    use cloister_simulated::{LEAF_LIFETIME, Pcrs, UnixTime, Vendor};

    use super::*;

    #[test]
    fn a_debug_enclave_is_never_accepted_in_silence() {
        // 2026-01-01, the day of the fixture.
        let now = UnixTime::since_unix_epoch(Duration::from_hours(490_896));
        let vendor = Vendor::generate(now).unwrap();
        let attester = vendor.leaf(now, LEAF_LIFETIME).unwrap();
        // Registers that are not given are zero, as those of an enclave in debug mode.
        let ms = now.as_secs() * 1000;
        let evidence = attester.document(&[7; 64], None, &Pcrs::new(), ms).unwrap();
        let reference = DebugReference::new("staging", nitro::Pcrs::new()).unwrap();
        let verdict = nitro::verify(
            &evidence,
            &Expectations {
                roots: Roots::simulated(vendor.root_der()).unwrap(),
                clock: Clock::at(now),
                freshness: Freshness::WithinBinding,
                binding: Binding::Exactly([7; 64]),
                reference: ReferenceValues::debug_only(reference),
            },
        );
        assert!(verdict.accepted() && debug(&verdict), "{verdict}");
        let page = warnings(&verdict).render();
        assert!(page.contains("DEBUG ENCLAVE"), "{page}");
        for name in ["root.pinned", "debug", "pcrs.image"] {
            assert!(page.contains(&format!("OPTED OUT of {name}: ")), "{page}");
        }
        assert_eq!(passed(&verdict), verdict.checks().len() - 3);
    }
}
