//! A hospital with two tables of its patients, and another with one wide table, train one
//! model: all programs as processes of their own, the commands those of a person.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, ensure};
use cloister_tests::{World, programs::output, small, world::HOST};
use serde_json::Value;

const OWNERS: [&str; 2] = ["north", "south"];
const UNITS: u32 = 30;

/// A world in which north has its patients' sizes in one table, and in another, but for one
/// of them, the rest.
fn world(root: &Path) -> Result<World> {
    let world = small::world(root, &OWNERS, UNITS, &|_, table| table)?;
    let wide = fs::read_to_string(root.join("data/north.csv"))?;
    let (mut clinic, mut laboratory) = (String::new(), String::new());
    let mut seen = BTreeSet::new();
    for (place, line) in wide.lines().enumerate() {
        let [patient, size, rest @ ..] = &line.split(',').collect::<Vec<_>>()[..] else {
            anyhow::bail!("a line of {wide:?} has no columns")
        };
        // One row of each patient in the one table, all in the other.
        if seen.insert((*patient).to_owned()) {
            writeln!(clinic, "{patient},{size}")?;
        }
        if place != 1 {
            writeln!(laboratory, "{patient},{}", rest.join(","))?;
        }
    }
    writeln!(laboratory, "a patient of another ward,0.1,1")?;
    let columns: Vec<&str> = small::DATASET.split("\n[[column]]\n").collect();
    let describe = |name: &str, rows: &str, places: &[usize]| {
        let top = columns[0].replace("\"small\"", &format!("\"{name}\""));
        let top = top.replace("max-rows-per-unit = 2", rows);
        places.iter().fold(top, |text, place| text + "\n[[column]]\n" + columns[*place])
    };
    let data = root.join("data");
    fs::write(data.join("clinic.csv"), clinic)?;
    fs::write(data.join("laboratory.csv"), laboratory)?;
    fs::write(data.join("clinic.toml"), describe("clinic", "max-rows-per-unit = 1", &[1, 2]))?;
    let laboratory = describe("laboratory", "max-rows-per-unit = 2", &[1, 3, 4]);
    fs::write(data.join("laboratory.toml"), laboratory)?;
    for table in ["clinic", "laboratory"] {
        let [csv, description] = ["csv", "toml"].map(|end| format!("data/{table}.{end}"));
        let sealed = format!("{table}.sealed");
        let seal = ["data", "seal", &csv, "--dataset", &description, "--home", "north"];
        world.cloister(&[&seal[..], &["-o", &sealed]].concat())?;
    }
    Ok(world)
}

fn push(world: &World, sealed: &str, owner: &str) -> Result<()> {
    world.cloister(&["data", "push", sealed, "--home", owner, "--host", HOST]).map(drop)
}

fn json(world: &World, arguments: &[&str]) -> Result<Value> {
    let printed = world.cloister(&[arguments, &["--json"]].concat())?;
    serde_json::from_str(&printed).context("`--json` did not print JSON")
}

#[test]
fn two_tables_of_one_hospital_train_beside_a_wide_one_and_are_charged_once() -> Result<()> {
    let root = small::folder(env!("CARGO_TARGET_TMPDIR"), "joined")?;
    let mut world = world(&root)?;
    world.start()?;
    push(&world, "clinic.sealed", "north")?;
    push(&world, "laboratory.sealed", "north")?;
    push(&world, "south.sealed", "south")?;

    // 1. Whoever does not say which table is the base is asked to, and nothing is charged.
    let job = |datasets: &str| small::centred_job(2, 500).replace("\"all\"", datasets);
    let file = root.join("job.toml");
    fs::write(&file, job("\"all\""))?;
    let guessed = output(&mut world.run(&file, &root.join("guessed"))?);
    let error = format!("{:#}", guessed.err().context("a base table was guessed")?);
    let says = "datasets = [\"north/clinic\", \"north/laboratory\"]";
    ensure!(error.contains(says), "{error}");
    ensure!(json(&world, &["budget", "show", "--home", "north"])?["spent"]["pico_rho"] == 0);

    // 2. The job, which names north's tables apart.
    fs::write(&file, job("[\"north/clinic\", \"south\", \"north/laboratory\"]"))?;
    let results = root.join("results");
    let printed = output(&mut world.run(&file, &results)?)?;
    ensure!(printed.contains("units of clinic, joined with laboratory"), "{printed}");

    // 3. Anybody sees which tables were joined, and that each has a grant of the one entry.
    let verified = world.verify(&results)?;
    let job = &verified["jobs"][0];
    ensure!(job["releases_verified"] == 3 && verified["accepted"] == true, "{verified}");
    let datasets = job["datasets"].as_array().context("datasets")?;
    let names: Vec<_> = datasets.iter().map(|one| (&one["name"], &one["joined_to"])).collect();
    let expected = [
        (&Value::from("clinic"), &Value::Null),
        (&Value::from("laboratory"), &Value::from("clinic")),
        (&Value::from("small"), &Value::Null),
    ];
    ensure!(names == expected, "{names:?}");
    ensure!(datasets[0]["ledger_head"] == datasets[1]["ledger_head"], "{datasets:?}");
    let page = world.verified(&results, &[])?;
    ensure!(page.contains("the same units, joined to clinic"), "{page}");

    // 4. Each hospital was charged the job's cost, once.
    for owner in OWNERS {
        let shown = json(&world, &["budget", "show", "--home", owner])?;
        let (spent, cost) = (&shown["spent"]["pico_rho"], &job["cost_pico_rho"]);
        ensure!(spent == cost, "{owner} was charged {spent} for a job of {cost}");
    }
    let history = ["budget", "history", "--home", "north", "--results", "results"];
    let found = json(&world, &history)?;
    let against = &found["against"];
    ensure!(against["receipts"] == 3 && against["gaps"] == Value::Array(vec![]), "{against}");
    let reservations = against["reservations"].as_array().context("reservations")?;
    ensure!(reservations.len() == 1 && reservations[0]["releases"] == 3, "{against}");
    let entries = found["entries"].as_array().context("entries")?;
    let reserved = entries.iter().find(|entry| entry["event"] == "reserved").context("none")?;
    ensure!(reserved["dataset_name"] == "clinic", "{reserved}");
    ensure!(reserved["joined"][0]["dataset_name"] == "laboratory", "{reserved}");
    let page = world.cloister(&history)?;
    ensure!(page.contains("joined with") && page.contains("laboratory ("), "{page}");
    Ok(())
}
