//! Products of matrices.
//!
//! Each element of the product is one chain of fused multiply-adds over k = 0, 1, 2, ...,
//! begun at zero; only a matrix times a vector (n = 1, a not transposed) sums in lanes, as
//! [`dot`](super::dot) does. Then c = alpha * chain + beta * c. Blocks and
//! tiles change what is computed when, never the order within a chain.

use cloister_vector::wide;

use super::{add_scaled, axpy, dot_in_lanes, scal};

/// Rows of a tile.
const MR: usize = 6;
/// Columns of a tile: two vector registers.
const NR: usize = 16;
/// Links of a chain between two stores: a panel of `KC` x `NR` stays in the first cache.
const KC: usize = 256;
/// Rows of a block, which stays in the second.
const MC: usize = 16 * MR;
/// Columns of a block, which stays in the third.
const NC: usize = 64 * NR;
/// Columns of a row times a matrix that are summed at once.
const WIDE: usize = 64;

/// c = alpha * op(a) * op(b) + beta * c, where c is m x n and op(a) is m x k.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gemm {
    pub(crate) transpose_a: bool,
    pub(crate) transpose_b: bool,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

impl Gemm {
    /// Elements of memory that [`run`](Self::run) needs besides its arguments.
    pub(crate) fn scratch(&self) -> usize {
        let chains = if self.is_plain() { 0 } else { self.m.saturating_mul(self.n) };
        let links = self.k.min(KC);
        let panels = (self.m.min(MC) + MR + self.n.min(NC) + NR).saturating_mul(links);
        chains.saturating_add(panels)
    }

    /// Beta 0 overwrites whatever c holds, as in BLAS.
    pub(crate) fn run(&self, a: &[f32], b: &[f32], c: &mut [f32]) {
        if self.is_plain() {
            c.fill(0.0);
            return chains(*self, a, b, c);
        }
        let mut chains = vec![0.0; c.len()];
        self::chains(*self, a, b, &mut chains);
        if self.beta == 0.0 {
            c.fill(0.0);
        } else {
            scal(self.beta, c);
        }
        axpy(self.alpha, &chains, c);
    }

    /// Whether c is the product and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        self.alpha.to_bits() == 1.0f32.to_bits() && self.beta == 0.0
    }

    #[inline(always)]
    fn blocks(&self, a: &[f32], b: &[f32], c: &mut [f32]) {
        let Self { m, n, k, .. } = *self;
        let links = k.min(KC);
        let mut panel_a = vec![0.0; m.min(MC).next_multiple_of(MR) * links];
        let mut panel_b = vec![0.0; n.min(NC).next_multiple_of(NR) * links];
        for column in (0..n).step_by(NC) {
            let columns = (n - column).min(NC);
            for link in (0..k).step_by(KC) {
                let links = (k - link).min(KC);
                self.pack_b(b, [link, links], [column, columns], &mut panel_b);
                for row in (0..m).step_by(MC) {
                    let rows = (m - row).min(MC);
                    self.pack_a(a, [link, links], [row, rows], &mut panel_a);
                    let strips_a = panel_a.chunks_exact(MR * links);
                    for (top, strip_a) in (row..row + rows).step_by(MR).zip(strips_a) {
                        let strips_b = panel_b.chunks_exact(NR * links);
                        for (left, strip_b) in (column..column + columns).step_by(NR).zip(strips_b)
                        {
                            let size =
                                [(row + rows - top).min(MR), (column + columns - left).min(NR)];
                            tile(strip_a, strip_b, &mut c[top * n + left..], n, size);
                        }
                    }
                }
            }
        }
    }

    /// Strips of `MR` rows of op(a), link by link, with zeros where there are no rows.
    #[inline(always)]
    fn pack_a(
        &self,
        a: &[f32],
        [link, links]: [usize; 2],
        [row, rows]: [usize; 2],
        out: &mut [f32],
    ) {
        let strips = rows.div_ceil(MR);
        for (strip, out) in out.chunks_exact_mut(MR * links).enumerate().take(strips) {
            for (p, out) in out.chunks_exact_mut(MR).enumerate() {
                for (i, out) in out.iter_mut().enumerate() {
                    let at = strip * MR + i;
                    *out = match (at < rows, self.transpose_a) {
                        (false, _) => 0.0,
                        (true, false) => a[(row + at) * self.k + link + p],
                        (true, true) => a[(link + p) * self.m + row + at],
                    };
                }
            }
        }
    }

    /// Strips of `NR` columns of op(b), link by link, with zeros where there are no columns.
    #[inline(always)]
    fn pack_b(
        &self,
        b: &[f32],
        [link, links]: [usize; 2],
        [column, columns]: [usize; 2],
        out: &mut [f32],
    ) {
        let strips = columns.div_ceil(NR);
        for (strip, out) in out.chunks_exact_mut(NR * links).enumerate().take(strips) {
            let left = strip * NR;
            let count = columns.saturating_sub(left).min(NR);
            for (p, out) in out.chunks_exact_mut(NR).enumerate() {
                let (used, rest) = out.split_at_mut(count);
                rest.fill(0.0);
                if self.transpose_b {
                    for (j, out) in used.iter_mut().enumerate() {
                        *out = b[(column + left + j) * self.k + link + p];
                    }
                } else {
                    let start = (link + p) * self.n + column + left;
                    used.copy_from_slice(&b[start..start + count]);
                }
            }
        }
    }
}

wide! {
    /// Adds all chains to `c`, which is zero.
    fn chains(gemm: Gemm, a: &[f32], b: &[f32], c: &mut [f32]) {
        let Gemm { transpose_a, transpose_b, m, n, k, .. } = gemm;
        if m == 0 || n == 0 || k == 0 {
            return;
        }
        if n == 1 && !transpose_a {
            for (row, c) in a.chunks_exact(k).zip(c) {
                *c = dot_in_lanes(row, b);
            }
        } else if n == 1 {
            for (row, b) in a.chunks_exact(m).zip(b) {
                add_scaled(*b, row, c);
            }
        } else if m == 1 && !transpose_b {
            row_times_matrix(a, b, c);
        } else {
            gemm.blocks(a, b, c);
        }
    }
}

/// Continues the chains of a tile of c by the links in two strips.
#[inline(always)]
fn tile(
    strip_a: &[f32],
    strip_b: &[f32],
    c: &mut [f32],
    stride: usize,
    [rows, columns]: [usize; 2],
) {
    let mut sums = [[0.0f32; NR]; MR];
    for (i, sums) in sums.iter_mut().enumerate().take(rows) {
        sums[..columns].copy_from_slice(&c[i * stride..i * stride + columns]);
    }
    let (a, _) = strip_a.as_chunks::<MR>();
    let (b, _) = strip_b.as_chunks::<NR>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..MR {
            for j in 0..NR {
                sums[i][j] = a[i].mul_add(b[j], sums[i][j]);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate().take(rows) {
        c[i * stride..i * stride + columns].copy_from_slice(&sums[..columns]);
    }
}

/// One row times a matrix, which is read once, from left to right and top to bottom.
#[inline(always)]
fn row_times_matrix(a: &[f32], b: &[f32], c: &mut [f32]) {
    let n = c.len();
    let (wide, rest) = c.as_chunks_mut::<WIDE>();
    for (block, c) in wide.iter_mut().enumerate() {
        let mut sums = [0.0f32; WIDE];
        for (a, row) in a.iter().zip(b.chunks_exact(n)) {
            let row = &row[block * WIDE..(block + 1) * WIDE];
            for j in 0..WIDE {
                sums[j] = a.mul_add(row[j], sums[j]);
            }
        }
        *c = sums;
    }
    let done = n - rest.len();
    for (a, row) in a.iter().zip(b.chunks_exact(n)) {
        add_scaled(*a, &row[done..], rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37) % 23) as f32 / 7.0 - 1.5).collect()
    }

    fn transposed(rows: usize, columns: usize, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        for i in 0..rows {
            for j in 0..columns {
                out[j * rows + i] = x[i * columns + j];
            }
        }
        out
    }

    const SHAPES: [(usize, usize, usize); 12] = [
        (1, 1, 1),
        (3, 1, 20),
        (4, 5, 6),
        (2, 9, 3),
        (0, 3, 2),
        (2, 3, 0),
        (1, 150, 40),
        (6, 16, 256),
        (7, 17, 257),
        (100, 33, 600),
        (13, 1030, 3),
        (784, 2, 1),
    ];

    fn each_form(mut test: impl FnMut(Gemm, &[f32], &[f32])) {
        for (m, n, k) in SHAPES {
            let (a, b) = (numbers(m * k), numbers(k * n));
            for (transpose_a, transpose_b) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let left = if transpose_a { transposed(m, k, &a) } else { a.clone() };
                let right = if transpose_b { transposed(k, n, &b) } else { b.clone() };
                let gemm = Gemm { transpose_a, transpose_b, alpha: 1.0, beta: 0.0, m, n, k };
                test(gemm, &left, &right);
            }
        }
    }

    /// To the bit: blocks, tiles and forms leave every chain as it is defined.
    #[test]
    fn every_element_is_the_chain_that_defines_it() {
        each_form(|gemm, a, b| {
            let Gemm { m, n, k, .. } = gemm;
            let mut result = vec![f32::NAN; m * n];
            gemm.run(a, b, &mut result);
            let a_at = |i, p| if gemm.transpose_a { a[p * m + i] } else { a[i * k + p] };
            let b_at = |p, j| if gemm.transpose_b { b[j * k + p] } else { b[p * n + j] };
            for i in 0..m {
                for j in 0..n {
                    let chain = if n == 1 && !gemm.transpose_a {
                        dot_in_lanes(&a[i * k..(i + 1) * k], b)
                    } else {
                        (0..k).fold(0.0f32, |sum, p| a_at(i, p).mul_add(b_at(p, j), sum))
                    };
                    assert_eq!(result[i * n + j].to_bits(), chain.to_bits(), "{gemm:?} {i} {j}");
                }
            }
        });
    }

    #[test]
    fn alpha_and_beta_scale_as_in_blas() {
        each_form(|plain, a, b| {
            let c = numbers(plain.m * plain.n);
            let (mut product, mut result) = (c.clone(), c.clone());
            plain.run(a, b, &mut product);
            Gemm { alpha: 0.5, beta: 2.0, ..plain }.run(a, b, &mut result);
            for ((product, c), result) in product.iter().zip(&c).zip(&result) {
                assert_eq!(result.to_bits(), 0.5f32.mul_add(*product, 2.0 * c).to_bits());
            }
        });
    }

    #[test]
    fn beta_zero_overwrites_nan() {
        for alpha in [1.0, 0.5] {
            let mut c = [f32::NAN];
            let (transpose_a, transpose_b, beta) = (false, false, 0.0);
            let gemm = Gemm { transpose_a, transpose_b, alpha, beta, m: 1, n: 1, k: 1 };
            gemm.run(&[2.0], &[3.0], &mut c);
            assert_eq!(c[0].to_bits(), (alpha * 6.0).to_bits());
        }
    }
}
