//! A ledger that was put back from an old copy, with all its files, is complete in itself. The
//! releases of the jobs that it forgot are not.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use cloister_tests::{programs::output, small};
use serde_json::Value;

const OWNERS: [&str; 2] = ["north", "south"];
const LEDGER: [&str; 3] = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.head"];

#[test]
fn a_ledger_from_an_old_copy_is_found_by_releases() -> Result<()> {
    let root = small::folder(env!("CARGO_TARGET_TMPDIR"), "restored")?;
    let mut world = small::world(&root, &OWNERS, 20, &|_, table| table)?;
    let (home, old) = (root.join("north"), root.join("old"));
    fs::create_dir(&old)?;
    copy(&home, &old)?;
    fs::write(root.join("job.toml"), small::job(2, 500))?;
    world.start()?;
    world.push()?;
    output(&mut world.run(&root.join("job.toml"), &root.join("results"))?)?;
    let verified = &world.verify(&root.join("results"))?["jobs"][0]["releases_verified"];
    ensure!(*verified == 2, "{verified} releases verify");

    let history = ["budget", "history", "--home", "north", "--results", "results", "--json"];
    let found: Value = serde_json::from_str(&world.cloister(&history)?)?;
    let against = &found["against"];
    ensure!(against["receipts"] == 2 && against["gaps"] == Value::Array(vec![]), "{against}");
    ensure!(against["reservations"][0]["releases"] == 2, "{against}");

    // The whole ledger as it was before the job: by itself nothing is wrong with it.
    world.owners.iter_mut().for_each(|owner| owner.broker = None);
    copy(&old, &home)?;
    ensure!(world.cloister(&history[..4]).is_ok(), "an old ledger is complete in itself");
    let error = world.cloister(&[&["--quiet"], &history[..6]].concat());
    let error = format!("{:#}", error.err().context("the old ledger was believed")?);
    ensure!(error.contains("the ledger is older than this release"), "{error}");
    Ok(())
}

/// The files of a ledger, and none that the other has not.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for name in LEDGER {
        match fs::copy(from.join(name), to.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let _ = fs::remove_file(to.join(name));
            }
            copied => _ = copied?,
        }
    }
    Ok(())
}
