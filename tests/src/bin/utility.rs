//! `cargo xtask bench utility`: how good is a model at epsilon 1? One job on each of many
//! splits of the table, each through the whole product: sealed data, brokers, enclave,
//! sandbox, gate, verified releases.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use cloister_tests::{
    World,
    breast_cancer::{DELTA, EPSILON, HOSPITALS, job, policy},
};
use serde_json::{Value, json};

/// The least mean accuracy that is worth calling useful.
const AIM: f64 = 0.95;

/// What one split gave.
struct Outcome {
    seed: String,
    accuracy: f64,
    epsilon: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [root, component, report] = &arguments[..] else {
        anyhow::bail!("usage: utility FOLDER COMPONENT REPORT; `cargo xtask bench` calls it so");
    };
    let root = &std::path::absolute(root)?;
    let splits = splits(root)?;
    let begun = Instant::now();

    // One budget for all jobs: trying twenty times is paid for twenty times.
    let mut world = World::create(root, &HOSPITALS, |_| {})?;
    let code = world.sign_code(component, "logistic")?;
    world.approve(&code)?;
    world.sign_policies(&|_, text| policy(&text, 20.0))?;
    world.start()?;

    println!("  split  accuracy  epsilon at delta {DELTA:e}");
    let mut outcomes = Vec::new();
    for split in splits {
        let outcome = run(&world, &split)?;
        println!("{:>7}  {:>8.4}  {:>7.4}", outcome.seed, outcome.accuracy, outcome.epsilon);
        outcomes.push(outcome);
    }
    let seconds = begun.elapsed().as_secs_f64();
    summary(&outcomes, seconds, report)
}

/// Folders of splits, by name.
fn splits(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(root.join("splits"))?;
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.sort();
    ensure!(!folders.is_empty(), "there is no split in {}", root.display());
    Ok(folders)
}

/// Seals the split's tables under a name of their own, runs the job on them and verifies
/// its releases.
fn run(world: &World, split: &Path) -> Result<Outcome> {
    let name = split.file_name().and_then(|name| name.to_str()).context("a split has a name")?;
    let description = split.join("dataset.toml");
    let text = fs::read_to_string(&description)?;
    fs::write(&description, text.replace(r#""breast-cancer""#, &format!("{name:?}")))?;
    world.seal(&|hospital| split.join(format!("{hospital}.csv")), &description)?;
    world.push()?;

    let datasets: Vec<String> = HOSPITALS.iter().map(|of| format!("{of}/{name}")).collect();
    let file = world.root.join(format!("{name}.toml"));
    fs::write(&file, job(&format!("{datasets:?}"), &format!("splits/{name}")))?;
    let results = world.root.join("results").join(name);
    let ended = world.run(&file, &results)?.stdin(Stdio::null()).output()?;
    let complaint = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{name}: {}", complaint.trim());

    let verdict = world.verify(&results)?;
    let job = &verdict["jobs"][0];
    ensure!(verdict["accepted"] == true, "{name}: the releases do not verify: {verdict}");
    let number = |field: &str| job[field].as_f64().with_context(|| format!("no {field}: {job}"));
    let (accuracy, epsilon) = (number("last_accuracy")?, number("epsilon")?);
    ensure!(epsilon <= EPSILON, "{name}: epsilon {epsilon} is more than {EPSILON}");
    Ok(Outcome { seed: name.to_owned(), accuracy, epsilon })
}

fn summary(outcomes: &[Outcome], seconds: f64, report: &Path) -> Result<()> {
    let mut accuracies: Vec<f64> = outcomes.iter().map(|outcome| outcome.accuracy).collect();
    accuracies.sort_by(f64::total_cmp);
    let count = accuracies.len() as f64;
    let mean = accuracies.iter().sum::<f64>() / count;
    let squares: f64 = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
    let (least, most) = (accuracies[0], accuracies[accuracies.len() - 1]);
    let epsilon = outcomes.iter().map(|outcome| outcome.epsilon).fold(0.0, f64::max);
    println!(
        "\n{} splits in {seconds:.0} s: accuracy {mean:.4} on average (standard deviation of one \
         {deviation:.4}, {least:.4} to {most:.4}), epsilon {epsilon:.4} at delta {DELTA:e}",
        outcomes.len()
    );
    let each: Vec<Value> = outcomes
        .iter()
        .map(|one| json!({ "split": one.seed, "accuracy": one.accuracy, "epsilon": one.epsilon }))
        .collect();
    let text = serde_json::to_vec_pretty(&json!({
        "splits": each,
        "mean_accuracy": mean,
        "standard_deviation": deviation,
        "epsilon": epsilon,
        "delta": DELTA,
        "seconds": seconds,
    }))?;
    fs::write(report, text)?;
    println!("report: {}", report.display());
    ensure!(mean >= AIM, "a mean accuracy of {mean:.4} is below {AIM}");
    Ok(())
}
