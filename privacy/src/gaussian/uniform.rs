//! Uniform integers below a bound.

use rand_core::Rng;

/// A uniform integer in `0..bound`, `bound` at least 1, without bias.
///
/// Multiplies 64 random bits by the bound and keeps the upper half of the
/// product (Lemire 2019, *Fast Random Integer Generation in an Interval*). Each
/// result then has either `2^64 / bound` preimages, rounded down, or one more; the
/// draws whose lower half is below `2^64 mod bound` are the surplus and are redrawn.
pub(super) fn uniform_below<R: Rng + ?Sized>(bound: u64, rng: &mut R) -> u64 {
    debug_assert!(bound > 0);
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        let (upper, lower) = halves(product);
        // `2^64 mod bound` is below `bound`: divide only where it can matter.
        if lower >= bound || lower >= bound.wrapping_neg() % bound {
            return upper;
        }
    }
}

/// The upper and lower 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "taking halves is the point")]
fn halves(value: u128) -> (u64, u64) {
    ((value >> 64) as u64, value as u64)
}
