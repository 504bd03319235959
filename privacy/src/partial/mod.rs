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

mod passes;

use std::slice;

use crate::{Error, Gate, IntegerSum};
use passes::square_of;

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

/// A finite update of the right length, and what scales it to the grid.
struct Update<'a> {
    pieces: &'a [Piece<'a>],
    factor: f64,
}

/// The exact sum of quantised updates of few units, in 32-bit integers.
pub struct PartialSum {
    gate: Gate,
    units: u32,
    values: Vec<i32>,
}

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

    /// The L2 norm of an update before it is clipped, if it is one: of this gate's dimension,
    /// and finite. A fact about one unit.
    #[must_use]
    pub fn norm(&self, pieces: &[Piece<'_>]) -> Option<f64> {
        let length = pieces.iter().try_fold(0_usize, |sum, piece| sum.checked_add(piece.len()?));
        // In doubles. A NaN or an infinity anywhere makes it not finite.
        let norm = pieces.iter().map(Piece::squared_norm).sum::<f64>().sqrt();
        (length == Some(self.dimension()) && norm.is_finite()).then_some(norm)
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
        self.add_all(&[pieces])
    }

    /// Counts one more unit, with the zero update.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_zero(&mut self) -> Result<(), Error> {
        self.add(&[])
    }

    /// Adds the updates of some units: what [`add`](Self::add) does with one after the other.
    /// If they come in pieces of the same kinds and sizes, the sum is passed over once for all.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_all<'a>(&mut self, updates: &[impl AsRef<[Piece<'a>]>]) -> Result<(), Error> {
        let (found, max) = (self.units as usize + updates.len(), self.gate.partial_units());
        self.units = match u32::try_from(found) {
            Ok(units) if units <= max => units,
            _ => return Err(Error::TooManyUnits { found: found as u64, max: max.into() }),
        };
        let scaled = |update| Some(Update { pieces: update, factor: self.factor(update)? });
        let updates: Vec<_> = updates.iter().map(AsRef::as_ref).filter_map(scaled).collect();
        if updates.windows(2).all(|pair| same_layout(pair[0].pieces, pair[1].pieces)) {
            self.add_alike(&updates);
        } else {
            for update in &updates {
                self.add_alike(slice::from_ref(update));
            }
        }
        Ok(())
    }

    /// What clips an update and scales it to the grid, if it is one.
    fn factor(&self, pieces: &[Piece<'_>]) -> Option<f64> {
        let norm = self.gate.norm(pieces)?;
        Some(self.gate.steps() as f64 / norm.max(self.gate.clip()))
    }

    /// Rounds toward zero and adds. In integers it is then checked; what fails is taken back,
    /// which undoes the addition exactly.
    fn add_alike(&mut self, updates: &[Update<'_>]) {
        let most = u128::from(self.gate.steps()).pow(2);
        let squares = passes::add(updates, &mut self.values);
        for (update, square) in updates.iter().zip(squares) {
            if square.is_none_or(|square| square > most) {
                let back = Update { factor: -update.factor, ..*update };
                passes::add(&[back], &mut self.values);
            }
        }
    }

    /// The gate of its updates.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
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

/// Whether both come in pieces of the same kinds and sizes.
fn same_layout(one: &[Piece<'_>], other: &[Piece<'_>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_like(other))
}

impl Piece<'_> {
    fn is_like(&self, other: &Piece<'_>) -> bool {
        match (self, other) {
            (Piece::Values(one), Piece::Values(other)) => one.len() == other.len(),
            (
                Piece::Outer { left, right },
                Piece::Outer { left: other_left, right: other_right },
            ) => left.len() == other_left.len() && right.len() == other_right.len(),
            (Piece::Zeros(one), Piece::Zeros(other)) => one == other,
            _ => false,
        }
    }

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
mod tests;
