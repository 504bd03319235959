//! The product: a trainer as a component, in confined worker processes, behind the gate.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use cloister_bench::measure::{Cores, Row, timed};
use cloister_privacy::{DiscreteGaussian, IntegerSum};
use cloister_sandbox::package::{componentize, toolchain::build_guest};
use cloister_sandbox::{Compiled, Limits, Pool, Settings, compile};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::problem::{Problem, Shape};

/// The argument that makes this program a worker.
pub const WORKER: &str = "worker";

/// Builds the trainer for problems of this shape.
pub fn trainer(shape: Shape, guests: &Path) -> Result<Compiled> {
    let name = if shape.hidden == 0 { "logistic" } else { "perceptron" };
    build(&Path::new("../compute/trainers").join(name), guests)
}

/// Builds the logistic regression that is not recorded, for it looks at each unit.
pub fn looking(guests: &Path) -> Result<Compiled> {
    build(Path::new("trainers/looking"), guests)
}

fn build(folder: &Path, guests: &Path) -> Result<Compiled> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let module = build_guest(&folder, guests)?;
    let read = || format!("cannot read the module of {}", folder.display());
    let module = std::fs::read(&module).with_context(read)?;
    Ok(compile(&componentize(&module)?)?)
}

/// Workers that hold the problem's rows, in units of so many.
pub fn pool(
    trainer: &Compiled,
    problem: &Problem,
    rows_each: usize,
    workers: usize,
) -> Result<Pool> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(WORKER);
    let Shape { features, hidden, targets } = problem.shape;
    let number = |count: usize| u32::try_from(count).context("a number of columns");
    let settings = Settings {
        limits: Limits { fuel_per_unit: fuel(problem.shape, rows_each), ..Limits::default() },
        params: if hidden == 0 {
            vec![("l2".into(), 0.0)]
        } else {
            vec![("hidden".into(), f64::from(number(hidden)?))]
        },
        seed: [7; 32],
        features: number(features)?,
        targets: number(targets)?,
    };
    Ok(Pool::start(command, workers, trainer, settings)?)
}

/// Ample: twice what three products with each weight take, and a million.
fn fuel(shape: Shape, rows: usize) -> u64 {
    (shape.parameters() * rows) as u64 * 2 + 1_000_000
}

/// A row for so many workers, and what it sums up to.
pub fn row<'a>(
    trainer: &Compiled,
    problem: &'a Problem,
    rows_each: usize,
    workers: usize,
    cores: &Cores,
) -> Result<(Row<'a>, Vec<f64>)> {
    cores.allow(workers)?;
    let mut pool = pool(trainer, problem, rows_each, workers)?;
    pool.load(problem.units(rows_each))?;
    let mut round = 0;
    let first = pool.round(round, &problem.model, &problem.gate)?;
    let ids = pool.worker_ids();
    let run = move || {
        round += 1;
        let model = &problem.model;
        let (_, took) = timed(&ids, || Ok(pool.round(round, model, &problem.gate)?))?;
        Ok(took)
    };
    let row = Row {
        id: format!("ours-{workers}"),
        what: format!("Cloister, {workers} worker{}", if workers == 1 { "" } else { "s" }),
        threads: workers,
        units: problem.rows(),
        run: Box::new(run),
    };
    Ok((row, read(first)?))
}

/// What is in a sum, in the gradient's units. The only way out is through noise; this bench
/// has nobody to protect and takes the least.
fn read(sum: IntegerSum) -> Result<Vec<f64>> {
    let noise = DiscreteGaussian::new(1)?;
    let mut random = ChaCha20Rng::from_seed([3; 32]);
    Ok(sum.noise(&noise, &mut random).mean(1)?)
}
