//! `cargo xtask demo`: three hospitals train one model on patients that no host
//! process ever sees in clear. Every step is a command that a person could type.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use cloister_tests::{
    World,
    breast_cancer::{DELTA, EPSILON, HOSPITALS, job, policy},
    memory::PeakMemory,
    world::HOST,
};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [root, component] = &arguments[..] else {
        anyhow::bail!("usage: demo FOLDER COMPONENT; `cargo xtask demo` calls it so");
    };
    let root = &std::path::absolute(root)?;
    let begun = Instant::now();
    let memory = PeakMemory::watch();

    say("1. Three hospitals, a code author, a laboratory and a host make their keys.");
    let mut world = World::create(root, &HOSPITALS, announce)?;
    say("2. An author signs a trainer; each hospital looks at it and approves it.");
    let code = world.sign_code(component, "logistic")?;
    world.approve(&code)?;
    say("3. Each hospital says in its policy who may do what, at what cost, and signs it.");
    world.sign_policies(&|_, text| policy(&text, EPSILON))?;
    say("4. Each hospital seals its patients. Only sealed files leave its house.");
    let data = root.join("data");
    world.seal(&|name| data.join(format!("{name}.csv")), &data.join("dataset.toml"))?;
    say("5. Three brokers and a host start, each its own process; sealed data is brought.");
    world.start()?;
    world.push()?;

    say("6. The laboratory orders one job: the enclave attests itself, three brokers verify\n   \
         it, charge their patients' budget, and grant their keys to it alone.");
    let results = root.join("results");
    let file = root.join("job.toml");
    fs::write(&file, job("\"all\"", "data"))?;
    let status = world.run(&file, &results)?.status()?;
    ensure!(status.success(), "the job failed; the logs are in {}", root.join("logs").display());
    let peaks = memory.peaks();

    say("7. Anybody verifies the releases offline: root, evidence, job, code, data, noise.");
    let verified = world.verify(Path::new("results"))?;
    println!("{}", world.verified(Path::new("results"), &[])?);

    let report = report(&verified, &peaks, begun.elapsed().as_secs_f64())?;
    let file = root.join("report.json");
    fs::write(&file, serde_json::to_vec_pretty(&report)?)?;
    explain(&report, root, &file);
    Ok(())
}

fn report(verified: &Value, peaks: &BTreeMap<String, u64>, seconds: f64) -> Result<Value> {
    ensure!(verified["accepted"] == true, "the releases do not verify: {verified}");
    let job = &verified["jobs"][0];
    let units: u64 = job["datasets"]
        .as_array()
        .context("no datasets in the verdict")?
        .iter()
        .filter_map(|dataset| dataset["units"].as_u64())
        .sum();
    let releases = job["of"].as_u64().context("no number of releases in the verdict")?;
    let epsilon = job["epsilon"].as_f64().context("no epsilon in the verdict")?;
    ensure!(epsilon <= EPSILON, "the job cost epsilon {epsilon}, more than {EPSILON}");
    Ok(json!({
        "accuracy": job["last_accuracy"],
        "epsilon": epsilon,
        "delta": DELTA,
        "owners": HOSPITALS.len(),
        "units": units,
        "rounds": releases - 1,
        "releases": releases,
        "releases_verified": job["releases_verified"],
        "seconds": seconds,
        "platform": job["platform"],
        "peak_memory_bytes": peaks,
    }))
}

fn explain(report: &Value, root: &Path, file: &Path) {
    let folder = |name: &str| root.join(name).display().to_string();
    println!(
        "\nWhat just happened: {} patients of {} hospitals trained one model over {} rounds.\n\
         It is right on {:.1}% of the public patients. Whatever the training code did, no\n\
         single patient's presence changes what left by more than epsilon {:.3} at delta {}.\n\
         The host held sealed files and noised sums, nothing else. The platform was\n\
         SIMULATED: this run shows the path, it protects nothing.\n\n  \
         releases and model   {}\n  \
         what a host has      {}\n  \
         policies, budgets    {}\n  \
         logs                 {}\n  \
         report               {}\n",
        report["units"],
        report["owners"],
        report["rounds"],
        100.0 * report["accuracy"].as_f64().unwrap_or(0.0),
        report["epsilon"].as_f64().unwrap_or(0.0),
        report["delta"],
        folder("results"),
        folder(HOST),
        folder("hospital-{a,b,c}"),
        folder("logs"),
        file.display(),
    );
}

fn say(step: &str) {
    println!("\n{step}");
}

fn announce(line: &str) {
    println!("   $ {line}");
}
