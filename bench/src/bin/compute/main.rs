//! `cargo xtask bench compute`: training in the sandbox beside training without one.
//!
//! Every row is the same work on the same rows, and its sum is compared with ours before
//! anything is timed. Rows take turns; a rate is that of the median run.

mod memory;
mod native;
mod ours;
mod problem;
mod tables;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use cloister_bench::measure::Cores;
use cloister_bench::python::Python;
use cloister_bench::throughput::{Aim, Table};
use memory::Memory;
use problem::{LOGISTIC, PERCEPTRON, Shape};
use serde::Serialize;
use tables::Bench;

const USAGE: &str = "run `cargo xtask bench compute`, which says where things are";

/// What is written for machines.
#[derive(Serialize)]
struct Report {
    tables: Vec<Table>,
    memory: Vec<Memory>,
    memory_aims: Vec<Aim>,
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [ours::WORKER, ..] => return Ok(cloister_sandbox::worker::main()),
        [memory::ROLE, hidden, units, workers, guests] => {
            let shape = if hidden == "0" { LOGISTIC } else { PERCEPTRON };
            let found = memory::main(shape, units.parse()?, workers.parse()?, Path::new(guests))?;
            println!("{}", serde_json::to_string(&found)?);
        }
        [report, guests, runs, how, python] => {
            let runs = runs.parse().context(USAGE)?;
            bench(Path::new(report), Path::new(guests), runs, Python::given(how, python))?;
        }
        _ => bail!(USAGE),
    }
    Ok(ExitCode::SUCCESS)
}

fn bench(report: &Path, guests: &Path, runs: usize, python: Result<Python, String>) -> Result<()> {
    ensure!(runs > 0, "no runs");
    let folder = report.with_extension("");
    let bench = Bench { cores: Cores::find()?, python, guests, folder: &folder, runs };
    let tables = vec![bench.logistic()?, bench.perceptron()?, bench.group()?];
    println!();
    for table in &tables {
        println!("{table}");
    }
    let (memory, memory_aims) = memory(&bench)?;
    let report_of_all = Report { tables, memory, memory_aims };
    let json = serde_json::to_string_pretty(&report_of_all)? + "\n";
    fs::write(report, json).with_context(|| format!("cannot write {}", report.display()))?;
    println!("written to {}", report.display());
    Ok(())
}

fn memory(bench: &Bench<'_>) -> Result<(Vec<Memory>, Vec<Aim>)> {
    println!("memory, MiB: rows, pool and workers together (PSS), at most\n");
    println!(
        "{:<30} {:>8} {:>7} {:>8} {:>9} {:>10} {:>15}",
        "", "rows", "before", "loading", "in rounds", "- rows", "largest worker"
    );
    let workers = bench.cores.count().min(2);
    let mut all = (Vec::new(), Vec::new());
    for (what, shape, units) in
        [("logistic", LOGISTIC, 200_000), ("perceptron", PERCEPTRON, 40_000)] as [(_, Shape, _); 2]
    {
        let found = Memory::measure(shape, units, workers, bench.guests)?;
        let beyond = found.beyond_data();
        println!(
            "{:<30} {:>8.1} {:>7.1} {:>8.1} {:>9.1} {beyond:>10.1} {:>15.1}",
            format!("{what}, {units} units"),
            found.data,
            found.before,
            found.loading,
            found.rounds,
            found.worker,
        );
        all.1.push(Aim::at_most(format!("{what}, MiB beyond the rows"), 64.0, beyond));
        all.0.push(found);
    }
    all.1.iter().for_each(|aim| println!("aim: {aim}"));
    println!();
    Ok(all)
}
