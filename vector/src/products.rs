//! Products of columns and rows, added up in integers.

#![allow(unsafe_code, reason = "vector registers are loaded and stored through pointers")]

/// Numbers in a vector register.
pub const LANES: usize = 8;

/// A row in blocks, the last filled up with zeros.
pub fn in_blocks(row: &[f32]) -> impl Iterator<Item = [f32; LANES]> {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    blocks.iter().copied().chain((!rest.is_empty()).then_some(last))
}

/// Adds the whole parts of many products, each of a column and a row, to one matrix of so many
/// columns.
///
/// For each row of `sums`, `lefts` has a number of each product; `rights` has the row of each
/// product, in blocks, the last filled up with zeros. A product of two numbers is rounded to
/// singles, then toward zero. `squares` counts for each product the squares of what was added,
/// in parts whose sum is meant. They have to stay below 2^32; if they do not, what is added is
/// not specified.
///
/// The matrix is read and written once, whatever the number of products.
///
/// # Panics
///
/// If lengths do not fit.
pub fn add_whole_products(
    lefts: &[f32],
    rights: &[[f32; LANES]],
    columns: usize,
    sums: &mut [i32],
    squares: &mut [[u32; LANES]],
) {
    let (products, rows) = (squares.len(), sums.len().checked_div(columns).unwrap_or(0));
    assert_eq!(sums.len(), rows * columns, "whole rows");
    assert_eq!(lefts.len(), rows * products, "a number for each row and product");
    assert_eq!(rights.len(), products * columns.div_ceil(LANES), "a row for each product");
    if products == 0 || columns == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the features that the function is compiled for.
        return unsafe { wide::add_whole_products(lefts, rights, columns, sums, squares) };
    }
    portable(lefts, rights, columns, sums, squares);
}

fn portable(
    lefts: &[f32],
    rights: &[[f32; LANES]],
    columns: usize,
    sums: &mut [i32],
    squares: &mut [[u32; LANES]],
) {
    let rows = sums.chunks_exact_mut(columns).zip(lefts.chunks_exact(squares.len()));
    for (sums, lefts) in rows {
        let rights = rights.chunks_exact(columns.div_ceil(LANES));
        for ((left, right), squares) in lefts.iter().zip(rights).zip(&mut *squares) {
            for (place, (x, sum)) in right.as_flattened().iter().zip(&mut *sums).enumerate() {
                #[expect(clippy::cast_possible_truncation, reason = "the whole part is wanted")]
                let whole = (left * x) as i32;
                *sum = sum.wrapping_add(whole);
                let square = &mut squares[place % LANES];
                *square = square.wrapping_add(whole.wrapping_mul(whole).cast_unsigned());
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256, __m256i, _mm256_add_epi32, _mm256_cvttps_epi32, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_mul_ps, _mm256_mullo_epi32, _mm256_set1_ps,
        _mm256_setzero_si256, _mm256_storeu_si256,
    };

    use super::LANES;

    /// Registers of sums that stay where they are while products pass by.
    const STRIP: usize = 8;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_whole_products(
        lefts: &[f32],
        rights: &[[f32; LANES]],
        columns: usize,
        sums: &mut [i32],
        squares: &mut [[u32; LANES]],
    ) {
        let whole = columns / LANES;
        let mut block = 0;
        while whole - block >= STRIP {
            add_strip::<STRIP>(lefts, rights, [columns, block], sums, squares);
            block += STRIP;
        }
        while whole - block >= 1 {
            add_strip::<1>(lefts, rights, [columns, block], sums, squares);
            block += 1;
        }
        if columns > whole * LANES {
            let rows = sums.chunks_exact_mut(columns).zip(lefts.chunks_exact(squares.len()));
            for (sums, lefts) in rows {
                let sums = &mut sums[whole * LANES..];
                let mut last = [[0; LANES]];
                last[0][..sums.len()].copy_from_slice(sums);
                add_to_row(lefts, rights, [columns, whole], &mut last, squares);
                sums.copy_from_slice(&last[0][..sums.len()]);
            }
        }
    }

    /// Adds `N` blocks of columns, from the `first` on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add_strip<const N: usize>(
        lefts: &[f32],
        rights: &[[f32; LANES]],
        [columns, first]: [usize; 2],
        sums: &mut [i32],
        squares: &mut [[u32; LANES]],
    ) {
        let rows = sums.chunks_exact_mut(columns).zip(lefts.chunks_exact(squares.len()));
        for (sums, lefts) in rows {
            let (sums, _) = sums[first * LANES..].as_chunks_mut::<LANES>();
            if let Some(sums) = sums.first_chunk_mut::<N>() {
                add_to_row(lefts, rights, [columns, first], sums, squares);
            }
        }
    }

    /// The same for one row.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add_to_row<const N: usize>(
        lefts: &[f32],
        rights: &[[f32; LANES]],
        [columns, first]: [usize; 2],
        sums: &mut [[i32; LANES]; N],
        squares: &mut [[u32; LANES]],
    ) {
        let mut totals = [_mm256_setzero_si256(); N];
        for (total, sums) in totals.iter_mut().zip(&*sums) {
            *total = load_integers(sums);
        }
        let rights = rights.chunks_exact(columns.div_ceil(LANES));
        for ((left, right), squares) in lefts.iter().zip(rights).zip(squares) {
            let left = _mm256_set1_ps(*left);
            let mut parts = squares.map(u32::cast_signed);
            let mut square = load_integers(&parts);
            for (total, x) in totals.iter_mut().zip(&right[first..first + N]) {
                let whole = _mm256_cvttps_epi32(_mm256_mul_ps(left, load(x)));
                *total = _mm256_add_epi32(*total, whole);
                square = _mm256_add_epi32(square, _mm256_mullo_epi32(whole, whole));
            }
            store(&mut parts, square);
            *squares = parts.map(i32::cast_unsigned);
        }
        for (total, sums) in totals.iter().zip(sums) {
            store(sums, *total);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(from: &[f32; LANES]) -> __m256 {
        // SAFETY: eight numbers are there, aligned or not.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load_integers(from: &[i32; LANES]) -> __m256i {
        // SAFETY: eight numbers are there, aligned or not.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn store(to: &mut [i32; LANES], numbers: __m256i) {
        // SAFETY: there is room for eight numbers, aligned or not.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), numbers) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_parts_are_added_whatever_the_lengths() {
        for (rows, columns) in [(0, 3), (2, 0), (1, 1), (3, 7), (2, 8), (5, 29), (4, 64), (3, 90)] {
            for products in [1, 2, 5] {
                check(rows, columns, products);
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the whole part is wanted")]
    fn check(rows: usize, columns: usize, products: usize) {
        let number = |i: usize| (i as f32 * 0.37).sin() * 300.0;
        let lefts: Vec<f32> = (0..rows * products).map(number).collect();
        let rights: Vec<f32> = (0..columns * products).map(|i| number(i + 100) / 10.0).collect();
        let before: Vec<i32> = (-20..).take(rows * columns).collect();
        let mut expected = before.clone();
        let mut squares = vec![0_u64; products];
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            for (product, square) in squares.iter_mut().enumerate() {
                let x = lefts[row * products + product] * rights[product * columns + column];
                let whole = x.trunc() as i32;
                expected[row * columns + column] += whole;
                *square += u64::from(whole.unsigned_abs()).pow(2);
            }
        }
        let mut blocks = Vec::new();
        for right in rights.chunks_exact(columns.max(1)) {
            blocks.extend(in_blocks(right));
        }
        for add in [add_whole_products, portable] {
            let (mut sums, mut found) = (before.clone(), vec![[0; LANES]; products]);
            if columns > 0 {
                add(&lefts, &blocks, columns, &mut sums, &mut found);
            }
            assert_eq!(sums, expected, "{rows} x {columns}");
            let found = found.iter().map(|parts| parts.iter().map(|part| u64::from(*part)).sum());
            assert_eq!(found.collect::<Vec<u64>>(), squares, "{rows} x {columns}");
        }
    }
}
