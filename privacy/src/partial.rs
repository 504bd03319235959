//! Updates summed where they are made.
//!
//! A worker process clips, rounds and adds the updates of some units itself, so that a
//! hundred thousand numbers cross to the enclave once for all of them and not once for each.
//! [`PartialSum`] is the [`Gate`] with the sum in its hand: the same clip, the same grid, the
//! same check in integers before an update counts.
//!
//! The enclave does not take the worker's word for it. A vector belongs to at most `n` units
//! if its norm is at most `n` times the steps, which [`IntegerSum::merge_partial`] checks
//! exactly. A worker that an escape from the sandbox took over can therefore say of its units
//! what their code could have said anyway, and nothing about those of other workers.
//!
//! An update may come in [`Piece`]s. That of a dense layer for one row is the product of a
//! column and a row, whose elements are never written down: they are rounded and added as
//! they are computed. The pieces are part of what the gate computes: the same numbers in
//! other pieces may differ by a grid step. Which pieces there are follows from shapes alone.

use cloister_vector::wide;

use crate::gate::{CHUNK, MAGNITUDES, squared_norm};
use crate::{Error, Gate, IntegerSum};

/// A part of an update.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Numbers.
    Values(&'a [f32]),
    /// For each number on the left a row: all numbers on the right, times it.
    Outer {
        /// One number for each row.
        left: &'a [f32],
        /// One number for each column.
        right: &'a [f32],
    },
    /// So many zeros.
    Zeros(usize),
}

/// The exact sum of quantised updates of few units, in 32-bit integers.
pub struct PartialSum {
    gate: Gate,
    units: u32,
    values: Vec<i32>,
}

/// Shrinks products that are computed in singles by more than singles round: a product of
/// two rounded factors, rounded, is at most 1 + 3 * 2^-24 times too large.
const MARGIN: f64 = 1.0 - 1.0 / (1 << 20) as f64;

/// Rows whose squares cannot reach this add up in 32 bits.
const SMALL: f64 = 4e9;

impl Gate {
    /// An empty sum of few units.
    #[must_use]
    pub fn partial(&self) -> PartialSum {
        PartialSum { gate: *self, units: 0, values: vec![0; self.dimension()] }
    }

    /// The most units in one [`PartialSum`], so that 32 bits hold it.
    #[must_use]
    pub fn partial_units(&self) -> u32 {
        // A coordinate moves by at most `steps`, which is at most 2^24.
        u32::try_from(u64::from(i32::MAX.unsigned_abs()) / self.steps()).unwrap_or(u32::MAX)
    }
}

impl PartialSum {
    /// Adds one unit's update, `pieces` one after the other: clipped, on the grid, and zero
    /// if it has another length, is not finite, or fails the check in integers.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyUnits`] above [`Gate::partial_units`]; the sum is then as it was.
    pub fn add(&mut self, pieces: &[Piece<'_>]) -> Result<(), Error> {
        let max = self.gate.partial_units();
        if self.units >= max {
            let found = u64::from(self.units) + 1;
            return Err(Error::TooManyUnits { found, max: max.into() });
        }
        self.units += 1;
        // 1. The norm, in doubles. A NaN or an infinity anywhere makes it not finite.
        let length = pieces.iter().try_fold(0_usize, |sum, piece| sum.checked_add(piece.len()?));
        let norm = pieces.iter().map(Piece::squared_norm).sum::<f64>().sqrt();
        if length != Some(self.gate.dimension()) || !norm.is_finite() {
            return Ok(());
        }
        // 2. Clip and scale to the grid in one factor. 3. Round toward zero, and add.
        let factor = self.gate.steps() as f64 / norm.max(self.gate.clip());
        let square = self.pass(pieces, factor, ADD);
        // 4. In integers: what fails is taken back, which undoes the addition exactly.
        if square.is_none_or(|square| square > u128::from(self.gate.steps()).pow(2)) {
            self.pass(pieces, factor, TAKE_BACK);
        }
        Ok(())
    }

    /// Counts one more unit, with the zero update.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_zero(&mut self) -> Result<(), Error> {
        self.add(&[])
    }

    /// Rounds each number and combines it with the sum. Gives the sum of squares, or
    /// nothing if a number is far too large.
    fn pass(&mut self, pieces: &[Piece<'_>], factor: f64, pass: Pass) -> Option<u128> {
        let mut rest = &mut self.values[..];
        let mut total = Some(0_u128);
        for piece in pieces {
            let (sums, behind) = rest.split_at_mut(piece.len().unwrap_or(0));
            rest = behind;
            let square = match *piece {
                Piece::Values(values) => (pass.dense)(values, factor, sums),
                Piece::Outer { left, right } => (pass.outer)(left, right, factor, sums),
                Piece::Zeros(_) => Some(0),
            };
            total = total.zip(square).map(|(total, square)| total + square);
        }
        total
    }

    /// How many units are in it.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.units
    }

    /// Appends the sum to `out`, four bytes for each number, little-endian, and begins anew.
    ///
    /// This is for the channel between a worker and the enclave that started it. What is
    /// written is not noised.
    pub fn drain_into(&mut self, out: &mut Vec<u8>) {
        out.reserve(4 * self.values.len());
        out.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        self.clear();
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.values.fill(0);
        self.units = 0;
    }
}

impl Piece<'_> {
    fn len(&self) -> Option<usize> {
        match self {
            Self::Values(values) => Some(values.len()),
            Self::Outer { left, right } => left.len().checked_mul(right.len()),
            Self::Zeros(count) => Some(*count),
        }
    }

    fn squared_norm(&self) -> f64 {
        match self {
            Self::Values(values) => square_of(values),
            Self::Outer { left, right } => square_of(left) * square_of(right),
            Self::Zeros(_) => 0.0,
        }
    }
}

/// How numbers get into a sum, or out of it again.
#[derive(Clone, Copy)]
struct Pass {
    dense: fn(&[f32], f64, &mut [i32]) -> Option<u128>,
    outer: OuterPass,
}

/// Left and right side, factor, sums; the sum of squares.
type OuterPass = fn(&[f32], &[f32], f64, &mut [i32]) -> Option<u128>;

const ADD: Pass = Pass { dense: add_dense, outer: add_outer };
const TAKE_BACK: Pass = Pass { dense: take_dense_back, outer: take_outer_back };

wide! {
    fn square_of(values: &[f32]) -> f64 {
        squared_norm(values)
    }

    fn add_dense(values: &[f32], factor: f64, sums: &mut [i32]) -> Option<u128> {
        dense(values, factor, sums, i32::wrapping_add)
    }

    fn take_dense_back(values: &[f32], factor: f64, sums: &mut [i32]) -> Option<u128> {
        dense(values, factor, sums, i32::wrapping_sub)
    }

    fn add_outer(left: &[f32], right: &[f32], factor: f64, sums: &mut [i32]) -> Option<u128> {
        outer(left, right, factor, sums, i32::wrapping_add)
    }

    fn take_outer_back(left: &[f32], right: &[f32], factor: f64, sums: &mut [i32]) -> Option<u128> {
        outer(left, right, factor, sums, i32::wrapping_sub)
    }
}

/// Numbers are scaled in doubles.
#[inline(always)]
fn dense(
    values: &[f32],
    factor: f64,
    sums: &mut [i32],
    combine: impl Fn(i32, i32) -> i32,
) -> Option<u128> {
    let mut total = 0_u128;
    let mut seen = 0_u32;
    for (values, sums) in values.chunks(CHUNK).zip(sums.chunks_mut(CHUNK)) {
        let mut part = 0_u64;
        for (&x, sum) in values.iter().zip(sums) {
            let on_grid = truncated_double(f64::from(x) * factor);
            *sum = combine(*sum, on_grid);
            let magnitude = on_grid.unsigned_abs();
            seen |= magnitude;
            part = part.wrapping_add(u64::from(magnitude) * u64::from(magnitude));
        }
        total += u128::from(part);
    }
    (seen < MAGNITUDES).then_some(total)
}

/// Products are computed in singles from a left side that is scaled in doubles.
#[inline(always)]
fn outer(
    left: &[f32],
    right: &[f32],
    factor: f64,
    sums: &mut [i32],
    combine: impl Fn(i32, i32) -> i32 + Copy,
) -> Option<u128> {
    if right.is_empty() {
        return Some(0);
    }
    let largest = right.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let factor = factor * MARGIN;
    let mut total = 0_u128;
    for (left, sums) in left.iter().zip(sums.chunks_exact_mut(right.len())) {
        #[expect(clippy::cast_possible_truncation, reason = "products are computed in singles")]
        let scaled = (f64::from(*left) * factor) as f32;
        let magnitude = scaled.abs() * largest;
        // No square of this row, and not their sum, reaches 2^32.
        let bound = f64::from(magnitude) * f64::from(magnitude) * right.len() as f64;
        if bound < SMALL {
            let mut square = 0_u32;
            for (x, sum) in right.iter().zip(&mut *sums) {
                let on_grid = truncated_small(scaled * x);
                *sum = combine(*sum, on_grid);
                square = square.wrapping_add(on_grid.wrapping_mul(on_grid).cast_unsigned());
            }
            total += u128::from(square);
        } else {
            total += dense_products(scaled, right, sums, combine)?;
        }
    }
    Some(total)
}

/// A row of large products.
#[inline(always)]
fn dense_products(
    scaled: f32,
    right: &[f32],
    sums: &mut [i32],
    combine: impl Fn(i32, i32) -> i32,
) -> Option<u128> {
    let (mut total, mut seen) = (0_u128, 0_u32);
    for (x, sum) in right.iter().zip(sums) {
        let on_grid = truncated(scaled * x);
        *sum = combine(*sum, on_grid);
        seen |= on_grid.unsigned_abs();
        total += u128::from(on_grid.unsigned_abs()).pow(2);
    }
    (seen < MAGNITUDES).then_some(total)
}

/// Toward zero; what does not fit becomes 2^25, which no check lets pass. `x` is a number.
///
/// Adding 1.5 * 2^52 leaves a whole number in the low bits: a conversion that saturates
/// would be done number by number.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the number")]
fn truncated_double(x: f64) -> i32 {
    let most = f64::from(MAGNITUDES);
    let whole = x.max(-most).min(most).trunc();
    (whole + 6_755_399_441_055_744.0).to_bits() as i32
}

/// Toward zero, of numbers below 2^22.
#[inline(always)]
fn truncated_small(x: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23
    // No check for overflow, which would be done number by number.
    (x.trunc() + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()).cast_signed()
}

/// Toward zero, saturating.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "truncates toward zero and saturates; the sum of squares is checked"
)]
fn truncated(x: f32) -> i32 {
    x as i32
}

impl IntegerSum {
    /// Adds the sum of `units` units from a worker: four bytes for each number, as
    /// [`PartialSum::drain_into`] writes them.
    ///
    /// # Errors
    ///
    /// [`Error::WrongLength`], [`Error::NormTooLarge`] if no `units` updates of this gate
    /// add up to it, [`Error::TooManyUnits`]. The sum is then as it was.
    pub fn merge_partial(&mut self, units: u32, bytes: &[u8]) -> Result<(), Error> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        let expected = self.dimension();
        if numbers.len() != expected || !rest.is_empty() {
            return Err(Error::WrongLength { expected, found: bytes.len() / 4 });
        }
        let (mut low, mut high) = (0_u64, 0_u64);
        for bytes in numbers {
            let value = u64::from(i32::from_le_bytes(*bytes).unsigned_abs());
            // At most 2^62; in two halves, 2^32 of them add up exactly.
            let square = value * value;
            low += square & u64::from(u32::MAX);
            high += square >> 32;
        }
        let square = (u128::from(high) << 32) + u128::from(low);
        let most = u128::from(self.gate().steps()) * u128::from(units);
        if square > most.pow(2) {
            return Err(Error::NormTooLarge { units });
        }
        self.add_numbers(units, numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(gate: &Gate, updates: &[&[Piece<'_>]]) -> Vec<i32> {
        let mut partial = gate.partial();
        for update in updates {
            partial.add(update).unwrap();
        }
        partial.values
    }

    fn product(left: &[f32], right: &[f32]) -> Vec<f32> {
        left.iter().flat_map(|x| right.iter().map(move |y| x * y)).collect()
    }

    fn square(values: &[i32]) -> u128 {
        values.iter().map(|v| u128::from(v.unsigned_abs()).pow(2)).sum()
    }

    #[test]
    fn numbers_are_summed_as_the_gate_quantises_them() {
        let gate = Gate::new(0.5, 1024, 3).unwrap();
        let updates = [[0.5, 0.25, 0.0], [-3.0, 1.0, 2.0], [f32::NAN, 0.0, 0.0], [1e38, 1e38, 0.0]];
        let mut whole = gate.sum();
        let mut partial = gate.partial();
        for update in &updates {
            whole.add(&gate.quantise(update)).unwrap();
            partial.add(&[Piece::Values(&update[..1]), Piece::Values(&update[1..])]).unwrap();
        }
        let mut bytes = Vec::new();
        partial.drain_into(&mut bytes);
        let mut merged = gate.sum();
        merged.merge_partial(4, &bytes).unwrap();
        assert!(merged == whole);
        assert_eq!((partial.units(), square(&partial.values)), (0, 0));
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "it is what is compared")]
    fn numbers_are_truncated_as_by_a_cast() {
        for x in [0.0, -0.0, 0.4, -0.9, 1.0, -1.5, 63_000.9, -63_000.9, 16_777_215.4] {
            assert_eq!(truncated_double(x), x as i32, "{x}");
            if x.abs() < 65_536.0 {
                assert_eq!(truncated_small(x as f32), x as f32 as i32, "{x}");
            }
        }
        for x in [1e30, f64::INFINITY] {
            assert_eq!([truncated_double(x), truncated_double(-x)], [1 << 25, -(1 << 25)]);
        }
    }

    #[test]
    fn what_is_no_update_counts_as_zero() {
        let gate = Gate::new(1.0, 1024, 4).unwrap();
        let (zero, one) = ([0.0_f32; 2], [1.0_f32; 2]);
        for update in [
            &[][..],
            &[Piece::Values(&[1.0; 3])],
            &[Piece::Values(&[1.0; 5])],
            &[Piece::Zeros(usize::MAX), Piece::Zeros(5)],
            &[Piece::Outer { left: &[f32::NAN, 0.0], right: &zero }],
            &[Piece::Outer { left: &[f32::INFINITY, 0.0], right: &zero }],
            &[Piece::Outer { left: &one, right: &[f32::INFINITY, 1.0] }],
            &[Piece::Values(&[1.0, 0.0]), Piece::Values(&[f32::NEG_INFINITY, 0.0])],
        ] {
            assert_eq!(sums(&gate, &[update]), [0; 4], "{update:?}");
        }
        let kept = Piece::Outer { left: &one, right: &[0.25, 0.0] };
        assert_eq!(sums(&gate, &[&[kept]]), [255, 0, 255, 0]);
    }

    /// A left side that overflows singles once it is scaled.
    #[test]
    fn what_fails_the_check_is_taken_back_to_the_bit() {
        let gate = Gate::new(crate::gate::MIN_CLIP, 1024, 6).unwrap();
        let before = [Piece::Zeros(2), Piece::Values(&[1e-30, -1e-31, 0.0, 3e-31])];
        let wild = [
            Piece::Values(&[1e-31, 1e-31]),
            Piece::Outer { left: &[1e20, 1e-20], right: &[1e-38, 1e-38] },
        ];
        let alone = sums(&gate, &[&before]);
        assert_ne!(alone, [0; 6]);
        assert_eq!(sums(&gate, &[&before, &wild]), alone);
    }

    #[test]
    fn a_partial_sum_takes_no_more_than_32_bits_hold() {
        let gate = Gate::new(1.0, crate::gate::MAX_STEPS, 1).unwrap();
        assert_eq!(gate.partial_units(), 127);
        let mut partial = gate.partial();
        for _ in 0..127 {
            partial.add(&[Piece::Values(&[1.0])]).unwrap();
        }
        assert_eq!(partial.values, [127 << 24]);
        let refused = Err(Error::TooManyUnits { found: 128, max: 127 });
        assert_eq!(partial.add_zero(), refused);
    }

    #[test]
    fn a_worker_cannot_say_more_than_its_units_could() {
        let gate = Gate::new(1.0, 1024, 2).unwrap();
        let bytes = |values: [i32; 2]| values.map(i32::to_le_bytes).concat();
        let mut sum = gate.sum();
        for (units, values) in [(1, [1025, 0]), (2, [2048, 1]), (0, [1, 0]), (3, [i32::MIN; 2])] {
            let refused = sum.merge_partial(units, &bytes(values));
            assert_eq!(refused, Err(Error::NormTooLarge { units }));
        }
        let short = sum.merge_partial(1, &bytes([1, 1])[..4]);
        assert_eq!(short, Err(Error::WrongLength { expected: 2, found: 1 }));
        assert!(sum == gate.sum(), "nothing was added");
        sum.merge_partial(2, &bytes([-2048, 0])).unwrap();
    }

    fn any_bits(count: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(
            prop_oneof![4 => -1.0_f32..1.0, 1 => any::<u32>().prop_map(f32::from_bits)],
            count,
        )
    }

    proptest! {
        #[test]
        fn the_norm_never_exceeds_the_steps(
            values in any_bits(3), left in any_bits(4), right in any_bits(5),
            clip in prop_oneof![Just(1e-30), 1e-3_f64..10.0, Just(1e30)],
            steps in 77_u64..=crate::gate::MAX_STEPS,
        ) {
            let gate = Gate::new(clip, steps, 23).unwrap();
            let update = [Piece::Values(&values), Piece::Outer { left: &left, right: &right }];
            prop_assert!(square(&sums(&gate, &[&update])) <= u128::from(steps).pow(2));
        }

        /// Products cost a grid step of difference at most, and the margin.
        #[test]
        fn products_are_what_they_would_be_written_down(
            left in prop::collection::vec(-1.0_f32..1.0, 4),
            right in prop::collection::vec(-1.0_f32..1.0, 5),
            steps in 72_u64..1 << 20,
        ) {
            let gate = Gate::new(0.7, steps, 20).unwrap();
            let lazy = sums(&gate, &[&[Piece::Outer { left: &left, right: &right }]]);
            let eager = gate.quantise(&product(&left, &right));
            for (lazy, eager) in lazy.iter().zip(&eager.values) {
                prop_assert!((lazy - eager).abs() <= 2, "{lazy} {eager}");
            }
        }

        #[test]
        fn grouping_does_not_matter(
            updates in prop::collection::vec(any_bits(6), 1..9), split in any::<prop::sample::Index>(),
        ) {
            let gate = Gate::new(0.35, 4096, 6).unwrap();
            let split = split.index(updates.len());
            let sum = |updates: &[Vec<f32>]| {
                let mut partial = gate.partial();
                for update in updates {
                    partial.add(&[Piece::Values(update)]).unwrap();
                }
                let (units, mut bytes) = (partial.units(), Vec::new());
                partial.drain_into(&mut bytes);
                (units, bytes)
            };
            let merged = |parts: &[&[Vec<f32>]]| {
                let mut total = gate.sum();
                for part in parts {
                    let (units, bytes) = sum(part);
                    total.merge_partial(units, &bytes).unwrap();
                }
                total
            };
            let (one, two) = updates.split_at(split);
            prop_assert!(merged(&[&updates]) == merged(&[two, one]));
        }
    }
}
