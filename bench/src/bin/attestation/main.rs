//! `cargo xtask bench attestation`: our verifier beside others, in one run.
//!
//! Times are criterion's, which reads the processor's clock around many runs and leaves its
//! estimates in `CRITERION_HOME`. Allocations are counted in one run more: nothing of a row is random.

mod clock;
mod peers;
mod processor;

use std::alloc::System;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use cloister_bench::evidence::{Nitro, Snp};
use cloister_bench::table::{Measured, Table};
use cloister_bench::{Group, Row, ours};
use criterion::Criterion;
use processor::ProcessorTime;
use serde::Deserialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<()> {
    const USAGE: &str = "run `cargo xtask bench attestation`, which says where results go";
    let report = env::args_os().nth(1).map(PathBuf::from).context(USAGE)?;
    let estimates = env::var_os("CRITERION_HOME").map(PathBuf::from).context(USAGE)?;

    let [nitro, snp] = [nitro()?, snp()?];
    let mut criterion = Criterion::default()
        .with_measurement(ProcessorTime)
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    let mut tables = Vec::new();
    for group in [nitro, snp] {
        tables.push(measure(group, &mut criterion, &estimates)?);
    }
    println!();
    for table in &tables {
        println!("{table}");
    }
    let json = serde_json::to_string_pretty(&tables)? + "\n";
    fs::write(&report, json).with_context(|| format!("cannot write {}", report.display()))?;
    println!("written to {}", report.display());
    Ok(())
}

fn nitro() -> Result<Group> {
    let evidence = Nitro::find()?;
    let mut group = ours::of_nitro(&evidence)?;
    peers::of_nitro(&evidence, &mut group);
    Ok(group)
}

fn snp() -> Result<Group> {
    let evidence = Snp::find()?;
    let mut group = ours::of_snp(&evidence)?;
    peers::of_snp(&evidence, &mut group);
    Ok(group)
}

fn measure(
    group: Group,
    criterion: &mut Criterion<ProcessorTime>,
    estimates: &Path,
) -> Result<Table> {
    let Group { evidence, id, mut rows, left_out } = group;
    // Everything is accepted before anything is timed; lazy statics are filled by it, too.
    for Row { what, run, .. } in &mut rows {
        run().with_context(|| format!("{id}: {what}"))?;
    }
    let mut measured = Vec::new();
    let mut timed = criterion.benchmark_group(id);
    for Row { id: row, what, mut run } in rows {
        let region = Region::new(COUNTED);
        black_box(run())?;
        let counted = region.change();
        timed.bench_function(row, |bencher| bencher.iter(&mut run));
        let median = Estimates::read(estimates, id, row)?;
        measured.push(Measured {
            id: row,
            what,
            median_ns: median.point_estimate,
            median_95_ns: [
                median.confidence_interval.lower_bound,
                median.confidence_interval.upper_bound,
            ],
            first_to_this: f64::NAN,
            allocations: counted.allocations + counted.reallocations,
            allocated_bytes: counted.bytes_allocated,
        });
    }
    timed.finish();
    Ok(Table { evidence, id, rows: measured, left_out }.with_ratios())
}

/// What criterion estimates of one row.
#[derive(Deserialize)]
struct Estimates {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

impl Estimates {
    /// Reads the estimate of the median that criterion has just written.
    fn read(folder: &Path, group: &str, row: &str) -> Result<Self> {
        let file = folder.join(group).join(row).join("new/estimates.json");
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut all: BTreeMap<String, Option<Self>> = serde_json::from_slice(&text)?;
        let median = all.remove("median").flatten();
        median.with_context(|| format!("no median in {}", file.display()))
    }
}
