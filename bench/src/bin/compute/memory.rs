//! How much memory the enclave's side takes: rows, pool and workers, in processes of their own.
//!
//! What two processes share counts half for each (PSS), so the sum counts it once.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use cloister_bench::process::{largest, share};
use serde::{Deserialize, Serialize};

use crate::ours;
use crate::problem::{Problem, STEPS, Shape};

/// The argument that makes this program measure its memory.
pub const ROLE: &str = "memory";

const MIB: f64 = (1 << 20) as f64;

/// What was found, in MiB.
#[derive(Serialize, Deserialize)]
pub struct Memory {
    pub workers: usize,
    pub units: usize,
    /// The rows' numbers.
    pub data: f64,
    /// All processes before the pool took the rows, without the rows.
    pub before: f64,
    /// All processes, at most, while the pool took the rows.
    pub loading: f64,
    /// All processes, at most, in rounds.
    pub rounds: f64,
    /// The largest worker, at any time (RSS).
    pub worker: f64,
}

impl Memory {
    /// Has another process, which has nothing else in memory, measure itself.
    pub fn measure(shape: Shape, units: usize, workers: usize, guests: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ROLE).arg(shape.hidden.to_string());
        command.args([units, workers].map(|number| number.to_string())).arg(guests);
        let output = command.stderr(std::process::Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the process that measures memory failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// More than the data, at most.
    pub fn beyond_data(&self) -> f64 {
        self.loading.max(self.rounds) - self.data
    }
}

/// The process that measures itself.
pub fn main(shape: Shape, units: usize, workers: usize, guests: &Path) -> Result<Memory> {
    let trainer = ours::trainer(shape, guests)?;
    let mut problem = Problem::new(shape, units, 1.0, STEPS)?;
    let data = (problem.features.len() + problem.targets.len()) * size_of::<f32>();
    let rows = problem.units(1);
    // Only one copy of the rows is the product's.
    (problem.features, problem.targets) = (Vec::new(), Vec::new());
    let watch = Watch::default();
    thread::scope(|scope| {
        scope.spawn(|| watch.look_often());
        let result = (|| {
            let mut pool = ours::pool(&trainer, &problem, 1, workers)?;
            let before = watch.peak()? - data as f64 / MIB;
            pool.load(rows)?;
            let loading = watch.peak()?;
            for round in 0..5 {
                pool.round(round, &problem.model, &problem.gate)?;
            }
            let rounds = watch.peak()?;
            ensure!(children()?.len() == workers, "workers that the kernel does not list");
            let sizes: Vec<_> =
                pool.worker_ids().into_iter().map(largest).collect::<Result<_>>()?;
            let worker = sizes.into_iter().max().unwrap_or(0) as f64 / MIB;
            let data = data as f64 / MIB;
            Ok(Memory { workers, units, data, before, loading, rounds, worker })
        })();
        watch.done.store(true, Ordering::Relaxed);
        result
    })
}

/// Looks at the sum of all processes' memory again and again.
#[derive(Default)]
struct Watch {
    peak: AtomicU64,
    done: AtomicBool,
}

impl Watch {
    fn look_often(&self) {
        while !self.done.load(Ordering::Relaxed) {
            // A process that cannot be looked at fails in `peak`.
            let _ = self.look();
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn look(&self) -> Result<()> {
        let mut sum = share("self")?;
        for worker in children()? {
            // One that has just ended has nothing any more.
            if let Ok(share) = share(&worker) {
                sum += share;
            }
        }
        self.peak.fetch_max(sum, Ordering::Relaxed);
        Ok(())
    }

    /// The largest sum since this was asked last.
    fn peak(&self) -> Result<f64> {
        self.look()?;
        Ok(self.peak.swap(0, Ordering::Relaxed) as f64 / MIB)
    }
}

/// The processes that this one started and that run.
fn children() -> Result<Vec<String>> {
    let ours = std::process::id().to_string();
    let mut children = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?;
        // One that has just ended has no file; behind its name come its state and its parent.
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if parent == Some(&ours) {
            children.push(process.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(children)
}
