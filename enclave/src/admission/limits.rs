//! Room: for one call of the code, and for all releases.

use cloister_protocol::{
    job::{CallLimits, Job},
    limits,
};
use cloister_sandbox::{Limits, Settings};

use super::{Vetted, tables};
use crate::{
    refusal::{Code, Refused},
    release::file_bound,
    rounds::{Plan, Workshop},
};

/// Bytes of a page of linear memory.
const PAGE: u64 = 1 << 16;

/// Fuel of `init`, and of `score` without public rows: a model of a million numbers.
const LEAST_PUBLIC_FUEL: u64 = 5_000_000;

/// The program, the compiler while it admits a job, and the kernel of the enclave.
const PROGRAM_BYTES: u64 = 256 << 20;

/// All releases of a job, which are kept to be asked for again; and its last iterates.
const KEPT_BYTES: u64 = 1 << 30;

/// The sandbox's limits, from the job's.
///
/// Half of the memory, in whole pages of 64 KiB, is linear memory, the rest tensors. A
/// score may use the fuel of one unit for each public row.
#[must_use]
pub fn call_limits(limits: &CallLimits, public_rows: u64) -> Limits {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let guest = (limits.memory / 2 / PAGE * PAGE).max(PAGE);
    let standard = Limits::default();
    let public = limits.fuel.saturating_mul(public_rows.max(1));
    Limits {
        fuel_per_unit: limits.fuel,
        fuel_public: public.clamp(LEAST_PUBLIC_FUEL, standard.fuel_public.max(limits.fuel)),
        guest_memory_bytes: bytes(guest),
        tensor_bytes: bytes(limits.memory.saturating_sub(guest)),
        ..standard
    }
}

/// Refuses a job that could take more memory than there is. When memory runs out the
/// kernel ends processes by their size, and a unit that took all it was allowed would
/// decide what happens to others.
pub(super) fn check_memory(
    vetted: &Vetted,
    plan: &Plan,
    settings: &Settings,
    workshop: &Workshop,
) -> Result<(), Refused> {
    let job = &vetted.job.value;
    // 1. Workers that see rows, and the one that scores.
    let processes = workshop.workers() as u64 + 1;
    let workers = processes.saturating_mul(settings.limits.worker_bytes());
    // 2. All rows, at the time at which they take most.
    let data = tables::data_bytes(job, &vetted.manifests, &vetted.joined);
    // 3. All releases that are kept, and the program itself.
    let releases = all_releases(job, plan).saturating_add(iterates(plan));
    let needed = [workers, data, releases, PROGRAM_BYTES].into_iter().fold(0, u64::saturating_add);
    if needed <= workshop.memory() {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let why = format!(
        "the job may take {} MiB: {} of {processes} workers, {} of data, {} of releases; the enclave has {}: give it more memory, or lower limits.memory",
        mebibytes(needed),
        mebibytes(workers),
        mebibytes(data),
        mebibytes(releases),
        mebibytes(workshop.memory()),
    );
    Err(Refused::new(Code::Memory, why))
}

/// Bytes of all releases of a job, but for what the largest has more than others.
fn all_releases(job: &Job, plan: &Plan) -> u64 {
    file_bound(plan.dimension(), 2).saturating_mul(u64::from(job.releases()))
}

/// Bytes of the iterates that are averaged.
fn iterates(plan: &Plan) -> u64 {
    file_bound(plan.dimension(), 1).saturating_mul(u64::from(plan.average_last()))
}

/// Refuses a job whose releases are larger than a file, or all together than the memory.
pub(super) fn check(job: &Job, plan: &Plan) -> Result<(), Refused> {
    // The last round has three vectors of the model's size, the first release one more than the
    // others, which have two. That of metrics is small.
    let vectors = if job.rounds == 1 && job.centring.is_none() { 4 } else { 3 };
    let largest = file_bound(plan.dimension(), vectors);
    for (what, found, limit) in [
        ("the largest release", largest, limits::TENSORS),
        ("all releases", all_releases(job, plan).saturating_add(largest), KEPT_BYTES),
        ("the iterates that are averaged", iterates(plan), KEPT_BYTES),
    ] {
        if found > limit {
            let why = format!(
                "{what} of a model of {} numbers would take {found} bytes; {limit} are allowed",
                plan.dimension()
            );
            return Err(Refused::new(Code::ModelSize, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_split_and_nothing_is_lost() {
        for memory in [1 << 16, 1 << 20, (1 << 20) + 12_345, 1 << 30] {
            let limits = call_limits(&CallLimits { fuel: 1000, memory }, 0);
            assert_eq!(limits.guest_memory_bytes % (1 << 16), 0);
            assert_eq!((limits.guest_memory_bytes + limits.tensor_bytes) as u64, memory);
        }
    }

    #[test]
    fn a_score_may_use_what_its_rows_may() {
        let fuel =
            |fuel, rows| call_limits(&CallLimits { fuel, memory: 1 << 20 }, rows).fuel_public;
        assert_eq!(fuel(1000, 0), LEAST_PUBLIC_FUEL);
        assert_eq!(fuel(1_000_000, 100), 100_000_000);
        assert_eq!(fuel(1_000_000, 1 << 40), Limits::default().fuel_public);
        assert_eq!(fuel(1_000_000_000_000, 3), 1_000_000_000_000);
    }
}
