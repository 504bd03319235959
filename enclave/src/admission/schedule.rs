//! Time: the work of each release has to be over when it is due.
//!
//! The fuel that code may use bounds the time of a round whatever the rows are, so a
//! release is never late because of them.

use std::time::Duration;

use cloister_protocol::job::Job;
use cloister_sandbox::{MAX_UNIT_ELEMENTS, Settings, fuel};

use super::public_rows;
use crate::{
    refusal::{Code, Refused},
    rounds::Plan,
};

/// The gate, for each number of an update: measured at a few nanoseconds; the rest is room
/// for subnormal numbers, which are slow on some processors and were not measured.
const GATE_NANOSECONDS: u64 = 100;
/// The rows, for each number: centred, scaled and copied to where workers share them, before
/// the first round. An estimate.
const ROWS_NANOSECONDS: u64 = 30;
/// Finding each unit of the tables that are joined in the others, for which they are sorted,
/// and taking its rows out. Measured at 0.8 microseconds with a million units in two tables.
const MATCH_NANOSECONDS: u64 = 4000;
/// Noise, step and file, for each number of the model: measured at some 0.2 microseconds.
const RELEASE_NANOSECONDS: u64 = 2000;
/// Workers begin anew when they are given the rows, all at once, before the first round:
/// measured at some 20 milliseconds. It is in each interval, for there is one for all.
const WORKERS_BEGIN: Duration = Duration::from_millis(40);
/// Signatures, and the threads' own time.
const RELEASE_OVERHEAD: Duration = Duration::from_millis(5);

/// How much data a job has, as its owners have signed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Rows of all populations, with each one's tables joined: the most there can be.
    pub rows: u64,
    /// Units of all populations.
    pub units: u64,
    /// Updates of a round: one for each unit, or for each group; where units are sampled, more
    /// than take part in one of 2^100 rounds.
    pub contributions: u64,
    /// Of the rows, those that are joined from several tables.
    pub joined: u64,
    /// Units of those tables, all together.
    pub matched: u64,
}

/// The least interval in which any round of this job is sure to be over, and its metrics.
#[must_use]
pub fn least_interval(data: Extent, plan: &Plan, settings: &Settings, workers: usize) -> Duration {
    let round = round(data, plan, settings, workers);
    match plan.measured() {
        Some(measured) => round.max(metrics(measured, data, plan, settings, workers)),
        None => round,
    }
}

/// Two calls for each that is measured, an update and a score, both with the fuel of an update; a
/// pass over the update for its norm, and one over the rows for what was predicted of them.
fn metrics(
    measured: u64,
    data: Extent,
    plan: &Plan,
    settings: &Settings,
    workers: usize,
) -> Duration {
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    fuel::worst_case_round(measured, measured, workers, &settings.limits)
        .saturating_mul(2)
        .saturating_add(gate(measured, plan.dimension() as u64))
        .saturating_add(handling(data.rows, settings))
}

fn round(data: Extent, plan: &Plan, settings: &Settings, workers: usize) -> Duration {
    let Extent { rows, units, contributions, .. } = data;
    let dimension = plan.dimension() as u64;
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    WORKERS_BEGIN
        .saturating_add(fuel::worst_case_round(contributions, units, workers, &settings.limits))
        .saturating_add(gate(contributions, dimension))
        .saturating_add(handling(rows, settings))
        .saturating_add(score(plan, settings))
}

/// The least time to the first release: that of a round, or of centring if there is one,
/// and before either tables are joined. How long that takes is about who is in which table,
/// so it is over before anything can be seen of it.
#[must_use]
pub fn least_first(data: Extent, plan: &Plan, settings: &Settings, workers: usize) -> Duration {
    let first = if plan.has_centring() {
        gate(data.units, u64::from(settings.features)).saturating_add(handling(data.rows, settings))
    } else {
        round(data, plan, settings, workers)
    };
    first.saturating_add(joining(data, settings))
}

/// Matching units, and writing joined rows.
fn joining(data: Extent, settings: &Settings) -> Duration {
    let matching = Duration::from_nanos(data.matched.saturating_mul(MATCH_NANOSECONDS));
    matching.saturating_add(handling(data.joined, settings))
}

/// Passing over all rows once or twice.
fn handling(rows: u64, settings: &Settings) -> Duration {
    let columns = u64::from(settings.features) + u64::from(settings.targets);
    Duration::from_nanos(rows.saturating_mul(columns).saturating_mul(ROWS_NANOSECONDS))
}

/// Clipping all updates, adding them up, noise.
fn gate(units: u64, dimension: u64) -> Duration {
    let each = dimension.saturating_mul(GATE_NANOSECONDS);
    let once = dimension.saturating_mul(RELEASE_NANOSECONDS);
    Duration::from_nanos(units.saturating_mul(each).saturating_add(once))
        .saturating_add(RELEASE_OVERHEAD)
}

/// One call of `score` for each piece of the public set.
fn score(plan: &Plan, settings: &Settings) -> Duration {
    let columns = u64::from(settings.features) + u64::from(settings.targets);
    let elements = public_rows(plan.public()).saturating_mul(columns);
    let pieces = elements.div_ceil(MAX_UNIT_ELEMENTS as u64);
    let mut limits = settings.limits.clone();
    limits.fuel_per_unit = limits.fuel_public;
    fuel::worst_case_unit(&limits).saturating_mul(u32::try_from(pieces).unwrap_or(u32::MAX))
}

pub(super) fn check(
    job: &Job,
    data: Extent,
    plan: &Plan,
    settings: &Settings,
    workers: usize,
) -> Result<(), Refused> {
    let updates = data.contributions;
    let metrics = if plan.measured().is_some() {
        ", or leave out [metrics], which take two calls for each"
    } else {
        ""
    };
    for (field, found, least) in [
        ("first_ms", job.schedule.first_ms, least_first(data, plan, settings, workers)),
        ("interval_ms", job.schedule.interval_ms, least_interval(data, plan, settings, workers)),
    ] {
        if Duration::from_millis(found) < least {
            let why = format!(
                "schedule.{field} is {found}; {updates} units or groups with this fuel and memory on {workers} workers may take {} ms: allow that, or lower limits.fuel or limits.memory{metrics}",
                least.as_millis() + 1
            );
            return Err(Refused::new(Code::ScheduleTooTight, why));
        }
    }
    Ok(())
}
