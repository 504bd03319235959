//! Which rows there are, and the aims beside them.

use std::path::Path;

use anyhow::{Context, Result};
use cloister_bench::measure::{Cores, Row, Took, close, measure, timed};
use cloister_bench::python::Python;
use cloister_bench::throughput::{Aim, Table};
use cloister_sandbox::Compiled;

use crate::native::{self, Group, Logistic, Perceptron, Way};
use crate::ours;
use crate::problem::{LOGISTIC, PERCEPTRON, Problem, STEPS};

/// Rows of one unit in group mode.
const GROUP: usize = 4096;

/// Grid steps for it: one unit's noise of a step would hide too much of the default's.
const FINE_STEPS: u64 = 1 << 20;

/// What all tables are measured with.
pub struct Bench<'a> {
    pub cores: Cores,
    /// Or why there is none.
    pub python: Result<Python, String>,
    /// Where trainers are built.
    pub guests: &'a Path,
    /// For files that peers read and write.
    pub folder: &'a Path,
    pub runs: usize,
}

/// A table that rows are being added to.
struct Draft<'a> {
    bench: &'a Bench<'a>,
    problem: &'a Problem,
    id: &'static str,
    rows: Vec<Row<'a>>,
    left_out: Vec<String>,
    /// What ours adds up to, in the gradient's units.
    expected: Vec<f64>,
}

impl Bench<'_> {
    pub fn logistic(&self) -> Result<Table> {
        let problem = Problem::new(LOGISTIC, 20_000, 1.0, STEPS)?;
        let mut draft = self.draft("logistic", &problem, 1)?;
        draft.instances(&ours::looking(self.guests)?)?;
        for (id, what, built) in [
            ("native-fused", "native Rust, rank-1 fused", false),
            ("native-built", "native Rust, gradient built", true),
        ] {
            let mut trainer = Logistic::new(&problem);
            draft.native(id, what, move || widened(trainer.run(built)))?;
        }
        draft.jax("ghost", "1000,4000,20000")?;
        draft.jax("vmap", "1000,4000,20000")?;
        let mut table = draft.measure("logistic regression of 30 features, one row a unit")?;
        for (id, what) in [
            ("ours-1", "one worker, us a unit"),
            ("instances", "one worker, an instance for each unit, us a unit"),
        ] {
            let each = table.rate(id).map(|rate| 1e6 / rate);
            table.aims.extend(each.map(|each| Aim::at_most(what, 6.0, each)));
        }
        two_workers(&mut table);
        Ok(table)
    }

    pub fn perceptron(&self) -> Result<Table> {
        let problem = Problem::new(PERCEPTRON, 4000, 6.0, STEPS)?;
        let mut draft = self.draft("perceptron", &problem, 1)?;
        for (id, what, way) in [
            ("native-blocked", "native Rust, rank-1 fused, 8 rows at once", Way::Blocked),
            ("native-fused", "native Rust, rank-1 fused", Way::Fused),
            ("native-built", "native Rust, gradient built", Way::Built),
        ] {
            let mut trainer = Perceptron::new(&problem);
            draft.native(id, what, move || widened(&trainer.run(way)))?;
        }
        draft.jax("ghost", "250,1000,4000")?;
        draft.jax("vmap", "10,20,50")?;
        let mut table = draft.measure("perceptron 784-128-10, one row a unit")?;
        for (peer, wanted) in [("native-built", 0.7), ("native-fused", 0.7), ("jax-vmap-1", 10.0)] {
            if let Some(found) = table.ratio("ours-1", peer) {
                let what = format!("one worker, speed in that of {peer}");
                table.aims.push(Aim::at_least(what, wanted, found));
            }
        }
        two_workers(&mut table);
        Ok(table)
    }

    pub fn group(&self) -> Result<Table> {
        let problem = Problem::new(PERCEPTRON, GROUP, 0.05, FINE_STEPS)?;
        let mut draft = self.draft("group", &problem, GROUP)?;
        let mut trainer = Group::new(&problem);
        let what = "native Rust, matrixmultiply";
        draft.native("native-gemm", what, move || widened(trainer.run()))?;
        draft.numpy()?;
        let mut table = draft.measure("perceptron 784-128-10, one unit of 4096 rows")?;
        table.counted = "rows";
        for (peer, wanted) in [("native-gemm", 1.1), ("numpy", 1.1)] {
            if let Some(found) = table.ratio(peer, "ours-1") {
                let what = format!("time in that of {peer}");
                table.aims.push(Aim::at_most(what, wanted, found));
            }
        }
        Ok(table)
    }

    /// A table that begins with our own rows.
    fn draft<'a>(
        &'a self,
        id: &'static str,
        problem: &'a Problem,
        rows_each: usize,
    ) -> Result<Draft<'a>> {
        let trainer: Compiled = ours::trainer(problem.shape, self.guests)?;
        let mut draft = Draft {
            bench: self,
            problem,
            id,
            rows: Vec::new(),
            left_out: Vec::new(),
            expected: Vec::new(),
        };
        let units = problem.rows() / rows_each;
        for workers in [1, 2].into_iter().filter(|workers| *workers <= units) {
            if !draft.enough(workers, "Cloister") {
                continue;
            }
            let (row, sum) = ours::row(&trainer, problem, rows_each, workers, &self.cores)?;
            draft.rows.push(row);
            draft.expected = sum;
        }
        problem.write(&self.folder.join(id))?;
        Ok(draft)
    }
}

impl<'a> Draft<'a> {
    fn enough(&mut self, threads: usize, whose: &str) -> bool {
        let found = self.bench.cores.count();
        if found < threads {
            self.left_out.push(format!("{whose}, {threads} threads: {found} processor is allowed"));
        }
        found >= threads
    }

    /// Adds ours with code that has the same sum and gets an instance for each unit.
    fn instances(&mut self, trainer: &Compiled) -> Result<()> {
        let (row, sum) = ours::row(trainer, self.problem, 1, 1, &self.bench.cores)?;
        close(&sum, &self.expected, 0.001).context("code that looks has another sum")?;
        let (id, what) = ("instances".into(), "Cloister, 1 worker, an instance a unit".into());
        self.rows.push(Row { id, what, ..row });
        Ok(())
    }

    /// Adds native code whose sum is ours, but for what rounds differently.
    fn native(
        &mut self,
        id: &'static str,
        what: &'static str,
        mut work: impl FnMut() -> Vec<f64> + 'a,
    ) -> Result<()> {
        if let Err(reason) = native::available() {
            self.left_out.push(reason.to_string());
            return Ok(());
        }
        let gate = self.problem.gate;
        let step = gate.clip() / gate.steps() as f64;
        let sum: Vec<_> = work().into_iter().map(|value| value * step).collect();
        close(&sum, &self.expected, 0.005).with_context(|| format!("{what} and ours differ"))?;
        let run = move || {
            let (_, took) = timed(&[], || Ok(work()))?;
            Ok(took)
        };
        self.push(id.into(), what.into(), 1, Box::new(run));
        Ok(())
    }

    /// Adds JAX, in one thread and in two.
    fn jax(&mut self, method: &str, chunks: &str) -> Result<()> {
        let how = match method {
            "ghost" => "ghost clipping",
            _ => "vmap, clip, sum",
        };
        let clip = self.problem.gate.clip().to_string();
        for threads in [1, 2] {
            let (id, what) = (format!("jax-{method}-{threads}"), format!("JAX, {how}"));
            let arguments = ["jax_peer.py", method, self.id, &clip, chunks];
            self.python(id, what, threads, &arguments)?;
        }
        Ok(())
    }

    fn numpy(&mut self) -> Result<()> {
        let clip = self.problem.gate.clip().to_string();
        self.python("numpy".into(), "numpy".into(), 1, &["numpy_peer.py", &clip])
    }

    /// Adds a peer in Python; `arguments` are the script and what comes before the sum's file.
    fn python(
        &mut self,
        id: String,
        what: String,
        threads: usize,
        arguments: &[&str],
    ) -> Result<()> {
        if !self.enough(threads, &what) {
            return Ok(());
        }
        let python = match &self.bench.python {
            Ok(python) => python,
            Err(reason) => {
                self.left_out.push(format!("{what}: {reason}"));
                return Ok(());
            }
        };
        let folder = self.bench.folder.join(self.id);
        let mut peer = python
            .start(arguments, &folder, threads, &self.bench.cores)
            .with_context(|| what.clone())?;
        // Truncation takes a step at most from each number of each unit.
        close(&widened(&peer.sum), &self.expected, 0.05)
            .with_context(|| format!("{what} and ours differ"))?;
        println!("{}, {id}: {}", self.id, peer.about);
        self.push(id, what, threads, Box::new(move || peer.run()));
        Ok(())
    }

    fn push(
        &mut self,
        id: String,
        what: String,
        threads: usize,
        run: Box<dyn FnMut() -> Result<Took> + 'a>,
    ) {
        self.rows.push(Row { id, what, threads, units: self.problem.rows(), run });
    }

    fn measure(self, work: &str) -> Result<Table> {
        Ok(Table {
            work: work.into(),
            id: self.id,
            counted: "units",
            rows: measure(self.rows, self.bench.runs, &self.bench.cores)?,
            left_out: self.left_out,
            aims: Vec::new(),
        })
    }
}

fn two_workers(table: &mut Table) {
    let ratio = table.ratio("ours-2", "ours-1");
    table
        .aims
        .extend(ratio.map(|ratio| Aim::at_least("two workers, speed in that of one", 1.8, ratio)));
}

fn widened<T: Copy + Into<f64>>(sums: &[T]) -> Vec<f64> {
    sums.iter().copied().map(Into::into).collect()
}
