//! `cloister policy sign`.

use std::path::Path;

use cloister_broker::policy::{Policy, warnings};
use cloister_protocol::{Signed, limits};
use serde_json::json;

use super::{Draft, loud};
use crate::{
    error::{Context, Error, Result},
    files,
    ui::{Page, Report},
};

/// Signs what is written. Never goes back to an older version, and never signs two
/// policies of one version.
pub(super) fn sign(draft: &Draft, home: &Path) -> Result<Report> {
    let policy = draft.compile()?;
    let key = &draft.owner.key;
    let path = draft.owner.home.file("policy.cloister");
    if path.exists() {
        let before = Signed::from_bytes(files::read(&path, limits::SIGNED_OBJECT as u64)?);
        let before = Policy::open(&before, &key.id()).with_path(&path)?;
        if before.value == policy {
            let page = Page::new().good(format!("Version {} is signed already", policy.version));
            return Ok(report(page, &path, &policy, false));
        }
        if before.value.version >= policy.version {
            return Err(Error::failed(format!(
                "{}: version {} is signed already, and this one differs: set version = {}",
                draft.path.display(),
                before.value.version,
                before.value.version.saturating_add(1)
            )));
        }
    }
    let signed = policy.sign(key).with_path(&draft.path)?;
    files::write(&path, signed.as_bytes())?;
    let page = Page::new()
        .good(format!("Signed version {} as {}", policy.version, path.display()))
        .next(format!("cloister-broker --home {} --listen HOST:PORT", home.display()));
    Ok(report(page, &path, &policy, true))
}

fn report(page: Page, path: &Path, policy: &Policy, changed: bool) -> Report {
    let warnings = warnings(policy);
    let json = json!({
        "policy": path,
        "version": policy.version,
        "changed": changed,
        "warnings": warnings,
    });
    Report::done(loud(&warnings).append(page), json)
}
