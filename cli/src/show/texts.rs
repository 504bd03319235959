//! Pages of the TOML that people write.

use cloister_attestation::Measurements;
use cloister_party::Identity;
use serde_json::json;
use toml::{Table, Value};

use super::Found;
use crate::{
    data::Description,
    run::JobText,
    ui::{Page, printable},
};

/// A text of ours, if it is one.
pub(super) fn text(text: &str) -> Option<Found> {
    let table: Table = toml::from_str(text).ok()?;
    if let Ok(measurements) = Measurements::from_toml(text) {
        return Some(measured(&measurements));
    }
    if let Ok(description) = toml::from_str::<Description>(text) {
        return Some(described(&description));
    }
    if let Ok(job) = toml::from_str::<JobText>(text) {
        let page = Page::new()
            .title("A job as a person writes it; `cloister run` signs and submits it")
            .row("purpose", printable(&job.purpose))
            .row("code", printable(&job.code))
            .row("rounds", job.rounds)
            .row("epsilon", format!("{} at delta {:e}", job.epsilon, job.delta));
        let claims = json!({ "purpose": job.purpose, "code": job.code, "rounds": job.rounds });
        return Some(Found { kind: "job-text", page, claims });
    }
    if let Ok(identity) = toml::from_str::<Identity>(text) {
        return Some(identified(&identity));
    }
    if table.contains_key("listen") && table.contains_key("enclave") {
        let text = |value: &Value| value.as_str().map(printable);
        let platform = table["enclave"].get("platform").and_then(text);
        let page = Page::new()
            .title("A host's settings, for `cloister-host`")
            .row_if("listens on", text(&table["listen"]))
            .row_if("platform", platform.as_deref());
        let claims = json!({ "listen": text(&table["listen"]), "platform": platform });
        return Some(Found { kind: "host-text", page, claims });
    }
    let sections = cloister_broker::policy::SECTIONS;
    let known = sections.iter().filter(|section| table.contains_key(**section)).count();
    if known * 2 > sections.len() {
        let missing: Vec<_> = sections.iter().filter(|name| !table.contains_key(**name)).collect();
        let page = Page::new()
            .title("A data policy as a person writes it; `cloister policy sign` signs it")
            .row("sections", format!("{known} of {}", sections.len()));
        let claims = json!({ "sections": known, "missing": missing });
        return Some(Found { kind: "policy-text", page, claims });
    }
    None
}

fn identified(identity: &Identity) -> Found {
    let address = identity.address.as_ref().map(ToString::to_string);
    let page = Page::new()
        .title("Who a home belongs to; others get its enrolment.cloister")
        .row("name", &identity.name)
        .row("role", identity.role)
        .row_if("population", identity.population.as_deref().map(printable))
        .row_if("address", address.as_deref());
    let claims = json!({
        "name": identity.name.to_string(),
        "role": identity.role.to_string(),
        "population": identity.population,
        "address": address,
    });
    Found { kind: "identity", page, claims }
}

fn measured(measurements: &Measurements) -> Found {
    let mut page = Page::new().title("Measurements: what approved enclaves measure to");
    let mut names = Vec::new();
    let mut add = |platform: &str, name: &str| {
        names.push(json!({ "platform": platform, "name": name }));
        printable(name)
    };
    for one in measurements.nitro_references() {
        page = page.row("AWS Nitro", add("nitro", one.name()));
    }
    for one in measurements.snp_references() {
        page = page.row("AMD SEV-SNP", add("snp", one.name()));
    }
    for one in measurements.simulated_references() {
        page = page.row("SIMULATED, no hardware", add("simulated", one.name()));
    }
    for one in measurements.nitro_debug_references() {
        page = page.row("AWS Nitro IN DEBUG MODE", add("nitro-debug", one.name()));
    }
    Found { kind: "measurements", page, claims: json!({ "enclaves": names }) }
}

fn described(description: &Description) -> Found {
    let page = Page::new()
        .title("A description of a table, for `cloister data seal`")
        .row("name", printable(&description.name))
        .row("unit", printable(&description.unit))
        .row("columns", description.columns.len());
    let claims = json!({
        "name": description.name,
        "unit": description.unit,
        "columns": description.columns,
        "ignored": description.ignore,
    });
    Found { kind: "description", page, claims }
}
