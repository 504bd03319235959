//! Time, and who gives it: rows take turns, so that what disturbs the machine disturbs all.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cloister_bench::throughput::{Measured, Samples};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// One thing to measure.
pub struct Row<'a> {
    pub id: String,
    pub what: String,
    /// Threads that compute, or worker processes. As many processors are allowed.
    pub threads: usize,
    /// Units in one run.
    pub units: usize,
    pub run: Box<dyn FnMut() -> Result<Took> + 'a>,
}

/// How long a run took.
pub struct Took {
    pub wall: Duration,
    pub processor: Duration,
}

/// Runs each row once for nothing and then `runs` times, in turn.
pub fn measure(mut rows: Vec<Row<'_>>, runs: usize, cores: &Cores) -> Result<Vec<Measured>> {
    let mut samples = vec![Samples::default(); rows.len()];
    for pass in 0..=runs {
        for (row, samples) in rows.iter_mut().zip(&mut samples) {
            cores.allow(row.threads)?;
            let took = (row.run)().with_context(|| row.what.clone())?;
            if pass > 0 {
                samples.wall.push(took.wall.as_secs_f64());
                samples.processor.push(took.processor.as_secs_f64());
            }
        }
    }
    cores.allow(cores.count())?;
    let measured = rows.into_iter().zip(samples);
    Ok(measured
        .map(|(Row { id, what, threads, units, .. }, samples)| {
            Measured::new(id, what, threads, units, samples)
        })
        .collect())
}

/// Times `work` of this thread and of other processes that answer it.
pub fn timed<T>(processes: &[u32], work: impl FnOnce() -> Result<T>) -> Result<(T, Took)> {
    let processor = || {
        let ours = clock_gettime(ClockId::ThreadCPUTime);
        let ours = Duration::try_from(ours).unwrap_or_default();
        processes.iter().try_fold(ours, |sum, process| anyhow::Ok(sum + time_of(*process)?))
    };
    let (before, start) = (processor()?, Instant::now());
    let done = work()?;
    let wall = start.elapsed();
    Ok((done, Took { wall, processor: processor()?.saturating_sub(before) }))
}

/// The time that a process of one thread has had a processor.
fn time_of(process: u32) -> Result<Duration> {
    let file = format!("/proc/{process}/schedstat");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let first = text.split_whitespace().next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(first.parse()?))
}

/// The processors that we may use.
pub struct Cores(Vec<usize>);

impl Cores {
    pub fn find() -> Result<Self> {
        let set = sched_getaffinity(None)?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
        ensure!(!cores.is_empty(), "no processor is allowed");
        Ok(Self(cores))
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Lets this thread, and the processes that it starts from now on, use `count` processors,
    /// the last ones: the first is where the system's own work tends to be.
    pub fn allow(&self, count: usize) -> Result<()> {
        let mut set = CpuSet::new();
        self.0.iter().rev().take(count).for_each(|core| set.set(*core));
        sched_setaffinity(None, &set).context("cannot choose processors")
    }
}
