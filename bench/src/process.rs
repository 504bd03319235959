//! What Linux says of a process: its time and its memory.

use std::fmt::Display;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The time that a process of one thread has had a processor.
///
/// # Errors
///
/// If there is no such process, as for all that follow.
pub fn time_of(process: u32) -> Result<Duration> {
    let file = format!("/proc/{process}/schedstat");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let first = text.split_whitespace().next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(first.parse()?))
}

/// The proportional share of a process (PSS), in bytes: what two share counts half for each.
///
/// # Errors
///
/// As [`time_of`].
pub fn share(process: impl Display) -> Result<u64> {
    field(&format!("/proc/{process}/smaps_rollup"), "Pss:")
}

/// The most memory that a process has had (RSS), in bytes.
///
/// # Errors
///
/// As [`time_of`].
pub fn largest(process: impl Display) -> Result<u64> {
    field(&format!("/proc/{process}/status"), "VmHWM:")
}

/// A field of a file of the kernel's that is in kilobytes, in bytes.
fn field(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("{file} has no {name}"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes << 10)
}
