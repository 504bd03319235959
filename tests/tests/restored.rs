//! A ledger that was put back from an old copy, with all its files, is complete in itself. The
//! releases of the jobs that it forgot are not.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use cloister_tests::{programs::output, small, world::World};
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
    fs::write(root.join("job.toml"), small::measured_job(2, 500))?;
    world.start()?;
    world.push()?;
    let ran = output(&mut world.run(&root.join("job.toml"), &root.join("results"))?)?;
    ensure!(ran.contains("on the owners' own rows") && ran.contains("(noise sd "), "{ran}");
    let verified = &world.verify(&root.join("results"))?["jobs"][0]["releases_verified"];
    ensure!(*verified == 3, "{verified} releases verify");

    let history = ["budget", "history", "--home", "north", "--results", "results", "--json"];
    let found: Value = serde_json::from_str(&world.cloister(&history)?)?;
    let against = &found["against"];
    ensure!(against["receipts"] == 3 && against["gaps"] == Value::Array(vec![]), "{against}");
    ensure!(against["reservations"][0]["releases"] == 3, "{against}");

    // An auditor computes all of it again, from what the owners hand over.
    for owner in OWNERS {
        export(&world, owner, owner)?;
    }
    let audited = audit(&world, &["results"], &OWNERS)?;
    let history = &audited["history"];
    ensure!(history["holds"] == true && history["not_given"] == Value::Array(vec![]), "{history}");
    for log in history["logs"].as_array().context("no logs")? {
        let people = &log["populations"]["patients"];
        ensure!(people["jobs_computed"] == 1, "{people}");
        ensure!(people["computed_pico_rho"] == people["pico_rho"], "{people}");
    }

    // The whole ledger as it was before the job: by itself nothing is wrong with it.
    world.owners.iter_mut().for_each(|owner| owner.broker = None);
    copy(&old, &home)?;
    let history = ["budget", "history", "--home", "north", "--results", "results"];
    ensure!(world.cloister(&history[..4]).is_ok(), "an old ledger is complete in itself");
    let error = world.cloister(&[&["--quiet"], &history[..]].concat());
    let error = format!("{:#}", error.err().context("the old ledger was believed")?);
    ensure!(error.contains("the ledger is older than this release"), "{error}");
    export(&world, "north", "old")?;
    denied(audit(&world, &["results"], &["old", "south"]), &["grant-missing"])?;

    // It was shown what it has forgotten, and grants nothing until that is back.
    world.start()?;
    let run = || world.run(&root.join("job.toml"), &root.join("refused"));
    ensure!(output(&mut run()?).is_err(), "it grants again what it had granted");
    ensure!(fs::read_to_string(home.join("ledger.witness"))?.lines().count() == 1);

    // An owner that takes that away has two logs.
    fs::remove_file(home.join("ledger.witness"))?;
    output(&mut world.run(&root.join("job.toml"), &root.join("again"))?)?;
    export(&world, "north", "north-again")?;
    export(&world, "south", "south-again")?;
    let known = audit(&world, &["again"], &["north-again", "south-again"])?;
    let notes = known["history"]["not_given"].as_array().context("no notes")?.len();
    ensure!(notes == 1, "south knows of a job without a receipt, north forgot it: {known}");
    let all = ["results", "again"];
    denied(audit(&world, &all, &["north-again", "south-again"]), &["grant-missing"])?;
    // Both grants are of entries of one number, and an auditor who kept the other log sees it.
    let logs = ["north", "north-again", "south-again"];
    denied(audit(&world, &["again"], &logs), &["log-fork"])
}

/// Writes an owner's log to `NAME.log`.
fn export(world: &World, owner: &str, name: &str) -> Result<()> {
    let file = format!("{name}.log");
    world.cloister(&["budget", "history", "--home", owner, "--export", &file]).map(drop)
}

/// What an auditor finds in these results and logs; an error, if it is denied.
fn audit(world: &World, results: &[&str], logs: &[&str]) -> Result<Value> {
    let logs: Vec<_> = logs.iter().map(|name| format!("{name}.log")).collect();
    let mut words = vec!["verify", "--trust", "measurements.toml"];
    words.extend(logs.iter().flat_map(|log| ["--log", log]));
    words.extend(results);
    // Without JSON what denies is on standard error, if anything does.
    world.cloister(&[&["--quiet"], &words[..]].concat())?;
    words.push("--json");
    Ok(serde_json::from_str(&world.cloister(&words)?)?)
}

/// Requires that it is denied for these reasons and no other.
fn denied(audited: Result<Value>, codes: &[&str]) -> Result<()> {
    let error = format!("{:#}", audited.err().context("it was believed")?);
    let found: Vec<_> = error
        .lines()
        .filter_map(|line| line.trim_end().strip_suffix(']')?.rsplit('[').next())
        .collect();
    ensure!(found == codes, "{codes:?}: {error}");
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
