//! Time, and who gives it: rows take turns, so that what disturbs the machine disturbs all.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::process;
use crate::throughput::{Measured, Samples};

/// One thing to measure.
pub struct Row<'a> {
    /// A name for machines, unique in its table.
    pub id: String,
    /// A name for people.
    pub what: String,
    /// Threads that compute, or worker processes. As many processors are allowed.
    pub threads: usize,
    /// Units in one run.
    pub units: usize,
    /// Does it once.
    pub run: Box<dyn FnMut() -> Result<Took> + 'a>,
}

/// How long a run took.
pub struct Took {
    /// On the wall.
    pub wall: Duration,
    /// On processors.
    pub processor: Duration,
}

/// Runs each row once for nothing and then `runs` times, in turn.
///
/// # Errors
///
/// That of the first run that fails.
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
///
/// # Errors
///
/// That of the work, or if the system does not say the time.
pub fn timed<T>(processes: &[u32], work: impl FnOnce() -> Result<T>) -> Result<(T, Took)> {
    let processor = || {
        let ours = clock_gettime(ClockId::ThreadCPUTime);
        let ours = Duration::try_from(ours).unwrap_or_default();
        processes
            .iter()
            .try_fold(ours, |sum, process| anyhow::Ok(sum + process::time_of(*process)?))
    };
    let (before, start) = (processor()?, Instant::now());
    let done = work()?;
    let wall = start.elapsed();
    Ok((done, Took { wall, processor: processor()?.saturating_sub(before) }))
}

/// The processors that we may use.
pub struct Cores(Vec<usize>);

impl Cores {
    /// Asks which they are.
    ///
    /// # Errors
    ///
    /// If the system does not say, or says none.
    pub fn find() -> Result<Self> {
        let set = sched_getaffinity(None)?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
        ensure!(!cores.is_empty(), "no processor is allowed");
        Ok(Self(cores))
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Lets this thread, and the processes that it starts from now on, use `count` processors,
    /// the last ones: the first is where the system's own work tends to be.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn allow(&self, count: usize) -> Result<()> {
        let mut set = CpuSet::new();
        self.0.iter().rev().take(count).for_each(|core| set.set(*core));
        sched_setaffinity(None, &set).context("cannot choose processors")
    }
}

/// That two sums are the same but for so much of their length.
///
/// # Errors
///
/// If they are not.
pub fn close(found: &[f64], expected: &[f64], tolerance: f64) -> Result<()> {
    let length = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let apart = length(&mut found.iter().zip(expected).map(|(x, y)| x - y));
    let whole = length(&mut expected.iter().copied());
    ensure!(found.len() == expected.len(), "{} numbers, not {}", found.len(), expected.len());
    ensure!(
        whole > 0.0 && apart <= tolerance * whole,
        "sums of length {whole} that are {apart} apart"
    );
    Ok(())
}
