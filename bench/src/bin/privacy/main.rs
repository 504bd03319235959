//! `cargo xtask bench privacy`: noise beside another library's, the gate beside a plain sum.
//!
//! What a row computes is checked before anything is timed. Rows take turns; a rate is that of
//! the median run.

mod gate;
mod memory;
mod noise;
mod plain;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use cloister_bench::measure::Cores;
use cloister_bench::python::Python;
use cloister_bench::throughput::Table;
use memory::Memory;
use serde::Serialize;

const USAGE: &str = "run `cargo xtask bench privacy`, which says where things are";

/// Names of tables, and the sigma of the noise in grid steps.
const NOISE: [(&str, u64); 3] = [("noise-16", 16), ("noise-1024", 1024), ("noise-65536", 65_536)];

/// What all tables are measured with.
struct Bench<'a> {
    cores: Cores,
    /// Or why there is none.
    python: Result<Python, String>,
    /// For files that peers write.
    folder: &'a Path,
    runs: usize,
}

/// What is written for machines.
#[derive(Serialize)]
struct Report {
    tables: Vec<Table>,
    memory: Vec<Memory>,
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [memory::ROLE, side] => println!("{}", serde_json::to_string(&memory::main(side)?)?),
        [report, runs, how, python] => {
            let runs = runs.parse().context(USAGE)?;
            bench(Path::new(report), runs, Python::given(how, python))?;
        }
        _ => bail!(USAGE),
    }
    Ok(ExitCode::SUCCESS)
}

fn bench(report: &Path, runs: usize, python: Result<Python, String>) -> Result<()> {
    ensure!(runs > 0, "no runs");
    let folder = report.with_extension("");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let bench = Bench { cores: Cores::find()?, python, folder: &folder, runs };
    let mut tables = Vec::new();
    for (id, sigma) in NOISE {
        tables.push(bench.noise(id, sigma)?);
    }
    tables.extend([bench.dense()?, bench.outer()?]);
    println!();
    for table in &tables {
        println!("{table}");
    }
    let memory: Vec<_> = memory::SIDES.into_iter().map(Memory::measure).collect::<Result<_>>()?;
    for Memory { side, parameters, bytes_each } in &memory {
        println!("memory, {side}: {bytes_each:.1} bytes a parameter, of {parameters}");
    }
    let json = serde_json::to_string_pretty(&Report { tables, memory })? + "\n";
    fs::write(report, json).with_context(|| format!("cannot write {}", report.display()))?;
    println!("written to {}", report.display());
    Ok(())
}
