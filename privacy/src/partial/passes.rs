//! Passes over a sum: each number of an update is rounded and added as it is computed.
//!
//! Everything is symmetric about zero, so that a pass with the factor's sign changed undoes
//! one to the bit.

use cloister_vector::{LANES, add_whole_products, in_blocks, wide};

use super::{Piece, Update};
use crate::gate::{CHUNK, MAGNITUDES, squared_norm};

/// Shrinks products that are computed in singles by more than singles round: a product of
/// two rounded factors, rounded, is at most 1 + 3 * 2^-24 times too large.
const MARGIN: f64 = 1.0 - 1.0 / (1 << 20) as f64;

/// Rows whose squares cannot reach this add up in 32 bits.
const SMALL: f64 = 4e9;

/// Adds updates in pieces of the same kinds and sizes to the sum. Gives for each the sum of
/// squares, or nothing if a number is far too large.
pub(super) fn add(updates: &[Update<'_>], sums: &mut [i32]) -> Vec<Option<u128>> {
    let mut squares = vec![Some(0_u128); updates.len()];
    let mut count = |unit: usize, square: Option<u128>| {
        squares[unit] = squares[unit].zip(square).map(|(total, square)| total + square);
    };
    let layout = updates.first().map_or(&[][..], |first| first.pieces);
    let mut rest = sums;
    for (place, piece) in layout.iter().enumerate() {
        let (sums, behind) = rest.split_at_mut(piece.len().unwrap_or(0));
        rest = behind;
        let mut products = Vec::with_capacity(updates.len());
        for (unit, update) in updates.iter().enumerate() {
            match update.pieces[place] {
                Piece::Values(values) => count(unit, add_dense(values, update.factor, sums)),
                Piece::Outer { left, right } => {
                    products.push(Product::new(left, right, update.factor));
                }
                Piece::Zeros(_) => {}
            }
        }
        let squares = add_products(&products, sums);
        squares.into_iter().enumerate().for_each(|(unit, square)| count(unit, square));
    }
    squares
}

wide! {
    pub(super) fn square_of(values: &[f32]) -> f64 {
        squared_norm(values)
    }

    /// Numbers are scaled in doubles.
    fn add_dense(values: &[f32], factor: f64, sums: &mut [i32]) -> Option<u128> {
        let mut total = 0_u128;
        let mut seen = 0_u32;
        for (values, sums) in values.chunks(CHUNK).zip(sums.chunks_mut(CHUNK)) {
            let mut part = 0_u64;
            for (&x, sum) in values.iter().zip(sums) {
                let on_grid = truncated(f64::from(x) * factor);
                *sum = sum.wrapping_add(on_grid);
                let magnitude = on_grid.unsigned_abs();
                seen |= magnitude;
                part = part.wrapping_add(u64::from(magnitude) * u64::from(magnitude));
            }
            total += u128::from(part);
        }
        (seen < MAGNITUDES).then_some(total)
    }
}

/// A column times a row, of one unit.
struct Product<'a> {
    left: &'a [f32],
    right: &'a [f32],
    factor: f64,
    /// The largest magnitude on the right.
    largest: f32,
}

/// Rows of products that are computed at once, so that their squares are summed up once.
const ROWS: usize = 16;

/// Adds products whose sides have the same lengths. They are computed in singles from left
/// sides that are scaled in doubles. Gives for each the sum of squares, or nothing if a number
/// is far too large. The sum goes through the caches once, whatever the number of units.
fn add_products(products: &[Product<'_>], sums: &mut [i32]) -> Vec<Option<u128>> {
    let mut totals = vec![Some(0_u128); products.len()];
    let columns = products.first().map_or(0, |product| product.right.len());
    if columns == 0 {
        return totals;
    }
    let rights: Vec<_> = products.iter().flat_map(|product| in_blocks(product.right)).collect();
    let (mut lefts, mut squares) = (Vec::new(), vec![[0; LANES]; products.len()]);
    for (block, sums) in sums.chunks_mut(ROWS * columns).enumerate() {
        let (first, rows) = (block * ROWS, sums.len() / columns);
        // For each row a number of each product. Zero stands for what is too large for this.
        lefts.clear();
        lefts.resize(rows * products.len(), 0.0);
        for (place, (product, total)) in products.iter().zip(&mut totals).enumerate() {
            let scaled = product.scaled(first);
            if product.is_small(&scaled[..rows]) {
                let column = lefts.iter_mut().skip(place).step_by(products.len());
                column.zip(scaled).for_each(|(to, scaled)| *to = scaled);
            } else {
                let square = product.add_large(&scaled[..rows], sums);
                *total = total.zip(square).map(|(total, square)| total + square);
            }
        }
        squares.fill([0; LANES]);
        add_whole_products(&lefts, &rights, columns, sums, &mut squares);
        for (total, parts) in totals.iter_mut().zip(&squares) {
            *total =
                total.map(|total| parts.iter().fold(total, |sum, part| sum + u128::from(*part)));
        }
    }
    totals
}

impl<'a> Product<'a> {
    fn new(left: &'a [f32], right: &'a [f32], factor: f64) -> Self {
        let largest = right.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        Self { left, right, factor: factor * MARGIN, largest }
    }

    /// The left side from the `first` row on. It stays finite, for infinity times zero is no
    /// number, and has no sign that another pass could change.
    #[expect(clippy::cast_possible_truncation, reason = "products are computed in singles")]
    fn scaled(&self, first: usize) -> [f32; ROWS] {
        let mut scaled = [0.0; ROWS];
        for (scaled, left) in scaled.iter_mut().zip(&self.left[first..]) {
            let most = f64::from(f32::MAX);
            *scaled = (f64::from(*left) * self.factor).clamp(-most, most) as f32;
        }
        scaled
    }

    /// Whether no square of these rows, and not their sum, reaches 2^32.
    fn is_small(&self, scaled: &[f32]) -> bool {
        let square = |left: &f32| f64::from(left.abs() * self.largest).powi(2);
        scaled.iter().map(square).sum::<f64>() * (self.right.len() as f64) < SMALL
    }

    /// Adds rows of large numbers: the sum of their squares.
    fn add_large(&self, scaled: &[f32], sums: &mut [i32]) -> Option<u128> {
        let rows = scaled.iter().zip(sums.chunks_exact_mut(self.right.len()));
        let (mut total, mut seen) = (0_u128, 0_u32);
        for (scaled, sums) in rows {
            for (x, sum) in self.right.iter().zip(sums) {
                let on_grid = truncated((scaled * x).into());
                *sum = sum.wrapping_add(on_grid);
                seen |= on_grid.unsigned_abs();
                total += u128::from(on_grid.unsigned_abs()).pow(2);
            }
        }
        (seen < MAGNITUDES).then_some(total)
    }
}

/// Toward zero; what does not fit becomes 2^25, which no check lets pass. `x` is a number.
///
/// Adding 1.5 * 2^52 leaves a whole number in the low bits: a conversion that saturates
/// would be done number by number.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the number")]
pub(super) fn truncated(x: f64) -> i32 {
    debug_assert!(!x.is_nan(), "a pass is undone only if all is symmetric about zero");
    let most = f64::from(MAGNITUDES);
    let whole = x.max(-most).min(most).trunc();
    (whole + 6_755_399_441_055_744.0).to_bits() as i32
}
