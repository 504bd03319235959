//! The threat model names tests; they have to exist.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};

#[test]
fn every_test_that_the_threat_model_names_exists() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let page = fs::read_to_string(root.join("docs/threat-model.md"))?;
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let member = path.join("Cargo.toml").is_file() || path.ends_with("attestation");
        if member && !path.ends_with("target") {
            functions(&path, &mut known)?;
        }
    }
    let mut count = 0;
    for name in page.split('`').skip(1).step_by(2) {
        // A test's name, unlike a path or a command, is words and underscores.
        let is_name =
            name.contains('_') && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_name {
            count += 1;
            ensure!(known.contains(name), "docs/threat-model.md names `{name}`, which is no test");
        }
    }
    ensure!(count > 40, "only {count} tests are named");
    Ok(())
}

/// Names of all functions in Rust files below a folder.
fn functions(folder: &Path, known: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                functions(&path, known)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            known.extend(names.map(str::to_owned));
        }
    }
    Ok(())
}
