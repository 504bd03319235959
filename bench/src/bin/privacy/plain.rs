//! Sums of floats: what there is to lose by clipping, rounding and checking.

use cloister_privacy::Piece;
use cloister_vector::wide;

/// Adds updates that come in pieces of the same kinds and sizes. The sum is passed over once.
pub fn add(sums: &mut [f32], updates: &[Vec<Piece<'_>>]) {
    let mut rest = sums;
    for (place, piece) in updates[0].iter().enumerate() {
        let length = match piece {
            Piece::Values(values) => values.len(),
            Piece::Outer { left, right } => left.len() * right.len(),
            Piece::Zeros(count) => *count,
        };
        let (sums, behind) = rest.split_at_mut(length);
        rest = behind;
        let mut products = Vec::with_capacity(updates.len());
        for update in updates {
            match update[place] {
                Piece::Values(values) => add_values(sums, values),
                Piece::Outer { left, right } => products.push((left, right)),
                Piece::Zeros(_) => {}
            }
        }
        add_products(sums, &products);
    }
}

wide! {
    fn add_values(sums: &mut [f32], values: &[f32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// Row by row, all products in one go.
    fn add_products(sums: &mut [f32], products: &[(&[f32], &[f32])]) {
        let Some((_, right)) = products.first() else { return };
        for (row, sums) in sums.chunks_exact_mut(right.len()).enumerate() {
            for (left, right) in products {
                let left = left[row];
                for (sum, right) in sums.iter_mut().zip(*right) {
                    *sum += left * right;
                }
            }
        }
    }
}
