//! What computing costs.
//!
//! Fuel is counted, never timed: an instance that runs out is cut off at the same
//! instruction on every machine. One unit of fuel is about one WebAssembly
//! instruction; slow instructions cost more, and kernels charge by size.
//!
//! Admission needs the other direction, the longest time that fuel can buy:
//! [`worst_case_round`]. Its constants were measured with code written to be slow
//! (`cargo test --release -p cloister-sandbox --test workers -- --ignored slow_fuel`), and
//! the slowest found was then halved at least.

use std::time::Duration;

use crate::limits::Limits;

/// Fuel that takes a millisecond at most, whatever the guest does with it.
pub const FUEL_PER_MILLISECOND: u64 = 50_000;

/// The longest that it takes to set up an instance, hand over a unit and take the
/// result back, without page faults and rows; and to run what one function may hold
/// after its fuel was looked at. The first was measured below 100; the second is an estimate.
pub const UNIT_OVERHEAD: Duration = Duration::from_micros(300);

/// The longest that it takes to hand out, and to take back, one page of 4 KiB.
pub const PAGE_OVERHEAD: Duration = Duration::from_micros(4);

/// Fuel of an instruction that reads or writes memory or a table.
pub(crate) const LOAD: u8 = 4;
/// Fuel of a call.
pub(crate) const CALL: u8 = 8;
/// Fuel of a division or square root.
pub(crate) const DIVIDE: u8 = 4;
/// Fuel of an instruction that is a call of the runtime.
pub(crate) const BULK: u8 = 64;
/// Fuel of a call of a kernel, whatever its size.
const KERNEL: u64 = 100;

/// The longest that a round of `units`, of all that are loaded, can take on `workers`
/// workers, each with a core of its own.
#[must_use]
pub fn worst_case_round(units: u64, loaded: u64, workers: u32, limits: &Limits) -> Duration {
    let share = units.div_ceil(u64::from(workers.max(1)));
    let share = u32::try_from(share).unwrap_or(u32::MAX);
    // A worker that takes over from others may meet all shapes there are.
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    let recordings = recordings(u32::try_from(loaded).unwrap_or(u32::MAX)).min(units);
    worst_case_unit(limits).saturating_mul(share.saturating_add(recordings))
}

/// How often a worker may call code to find out what it does with units of one shape, for a
/// round of so many units: each takes as long as a unit, and how many shapes there are is the
/// owners' secret. Those beyond get an instance for each unit.
pub(crate) fn recordings(units: u32) -> u32 {
    8 + units / 64
}

/// The longest that one unit can take.
#[must_use]
pub fn worst_case_unit(limits: &Limits) -> Duration {
    let computing = Duration::from_millis(limits.fuel_per_unit.div_ceil(FUEL_PER_MILLISECOND));
    let pages = limits.guest_memory_bytes.div_ceil(4096);
    let paging = PAGE_OVERHEAD.saturating_mul(u32::try_from(pages).unwrap_or(u32::MAX));
    UNIT_OVERHEAD.saturating_add(computing).saturating_add(paging)
}

/// Cost of a kernel that passes over `elements` with simple arithmetic, or copies.
pub(crate) fn simple(elements: usize) -> Option<u64> {
    KERNEL.checked_add(elements as u64 / 4)
}

/// Cost of a kernel with an exp, a log or a random number for each element.
pub(crate) fn transcendental(elements: usize) -> Option<u64> {
    (elements as u64).checked_mul(4)?.checked_add(KERNEL)
}

/// Cost of a product of an m x k with a k x n matrix.
pub(crate) fn product(m: usize, n: usize, k: usize) -> Option<u64> {
    let (m, n, k) = (m as u64, n as u64, k as u64);
    let multiplications = m.checked_mul(n)?.checked_mul(k)?;
    let written = m.checked_mul(n)?;
    KERNEL.checked_add(multiplications / 4)?.checked_add(written / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_too_large_to_count_is_refused() {
        assert_eq!(product(usize::MAX, 2, 2), None);
        assert_eq!(transcendental(usize::MAX), None);
    }

    #[test]
    fn worst_case_grows_with_units_and_shrinks_with_workers() {
        let limits = Limits::default();
        let one = worst_case_round(100, 100, 1, &limits);
        let beside = recordings(100);
        assert_eq!(one, worst_case_unit(&limits) * (100 + beside));
        assert_eq!(
            worst_case_round(100, 100, 4, &limits),
            worst_case_unit(&limits) * (25 + beside)
        );
        // Of a sample each may be of a shape that was not met before.
        assert_eq!(worst_case_round(4, 6400, 1, &limits), worst_case_unit(&limits) * 8);
        assert_eq!(worst_case_round(0, 0, 2, &limits), Duration::ZERO);
    }
}
