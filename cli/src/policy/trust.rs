//! `cloister policy trust-image`.

use std::path::Path;

use cloister_broker::policy::{Enclave, Unprotected, trust_image};
use serde_json::{Map, Value, json};

use super::{Draft, OfHome};
use crate::{
    error::{Context, Result},
    files,
    ui::{Page, Report, printable},
};

/// Adds the enclaves of a file to the policy, and shows each: what is not looked at now
/// is trusted with the data.
pub(super) fn trust(measurements: &Path, allow: Unprotected, of: &OfHome) -> Result<Report> {
    let draft = Draft::read(&of.home)?;
    let text = files::read_text(measurements)?;
    let (text, added) = trust_image(&draft.text, &text, allow).with_path(measurements)?;
    let changed = draft.replace(&text)?;
    let page = added.iter().fold(Page::new(), show);
    let mut report =
        super::changed_report(changed, &draft, &of.home, "the enclave is trusted", page);
    report.json["added"] = added.iter().map(machine).collect();
    Ok(report)
}

fn show(page: Page, enclave: &Enclave) -> Page {
    let head = format!("{}: {}", enclave.section, printable(&enclave.name));
    let page = match enclave.section.flag() {
        None => page.title(head),
        Some(_) => page.loud(format!("{head}, whoever runs it can read the data")),
    };
    enclave.marks.iter().fold(page, |page, (name, value)| page.row(name, value))
}

fn machine(enclave: &Enclave) -> Value {
    let marks: Map<_, _> =
        enclave.marks.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({ "platform": enclave.section.name(), "name": enclave.name, "marks": marks })
}
