//! Arithmetic, one definition of each operation.
//!
//! Everything is plain Rust in one fixed order, so a result is the same to the bit on
//! every machine: no fused multiply-add, no kernel picked by the processor, `exp` and
//! `log` from `libm`. The order of a sum depends on shapes alone. Callers have
//! checked shapes.

/// Partial sums that are kept side by side, so that a sum can use vector registers.
const LANES: usize = 8;

/// Sum of products: lane i takes elements i, i + 8, ...; lanes are added pairwise,
/// then the rest in order.
pub(super) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (y_chunks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let mut total = add_lanes(lanes);
    for (x, y) in x_rest.iter().zip(y_rest) {
        total += x * y;
    }
    total
}

/// Sum of elements, in the order of [`dot`].
pub(super) fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] += x[lane];
        }
    }
    rest.iter().fold(add_lanes(lanes), |total, x| total + x)
}

fn add_lanes(lanes: [f32; LANES]) -> f32 {
    let [l0, l1, l2, l3, l4, l5, l6, l7] = lanes;
    ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
}

/// x = alpha * x.
pub(super) fn scal(alpha: f32, x: &mut [f32]) {
    for x in x {
        *x *= alpha;
    }
}

/// y = y + alpha * x.
pub(super) fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += alpha * x;
    }
}

/// y = y * x.
pub(super) fn mul(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y *= x;
    }
}

/// Adds the row x to each row of y.
pub(super) fn add_row(x: &[f32], y: &mut [f32]) {
    if x.is_empty() {
        return;
    }
    for row in y.chunks_exact_mut(x.len()) {
        axpy(1.0, x, row);
    }
}

/// a = a + alpha * x * transpose(y).
pub(super) fn ger(alpha: f32, x: &[f32], y: &[f32], a: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    for (x, row) in x.iter().zip(a.chunks_exact_mut(y.len())) {
        axpy(alpha * x, y, row);
    }
}

/// c = alpha * op(a) * op(b) + beta * c, where c is m x n and op(a) is m x k.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gemm {
    pub(super) transpose_a: bool,
    pub(super) transpose_b: bool,
    pub(super) alpha: f32,
    pub(super) beta: f32,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
}

impl Gemm {
    /// Beta 0 overwrites whatever c holds, as in BLAS.
    pub(super) fn run(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        if self.beta == 0.0 {
            c.fill(0.0);
        } else {
            scal(self.beta, c);
        }
        if self.m == 0 || self.n == 0 || self.k == 0 {
            return;
        }
        match (self.transpose_a, self.transpose_b) {
            (false, false) if self.n == 1 => self.dots(a, b, c),
            (false, true) => self.dots(a, b, c),
            (false, false) => self.rows(a, b, c),
            (true, false) => self.outer_products(a, b, c),
            (true, true) => self.turned(a, b, c),
        }
    }

    /// Rows of a with rows of transposed b.
    fn dots(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        for (a_row, c_row) in a.chunks_exact(self.k).zip(c.chunks_exact_mut(self.n)) {
            for (b_row, c) in b.chunks_exact(self.k).zip(c_row) {
                *c += self.alpha * dot(a_row, b_row);
            }
        }
    }

    /// Each row of c as a sum of rows of b.
    fn rows(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        for (a_row, c_row) in a.chunks_exact(self.k).zip(c.chunks_exact_mut(self.n)) {
            for (a, b_row) in a_row.iter().zip(b.chunks_exact(self.n)) {
                axpy(self.alpha * a, b_row, c_row);
            }
        }
    }

    /// The sum of outer products of rows of a with rows of b.
    fn outer_products(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        for (a_row, b_row) in a.chunks_exact(self.m).zip(b.chunks_exact(self.n)) {
            if let [b] = b_row {
                axpy(self.alpha * b, a_row, c);
            } else {
                ger(self.alpha, a_row, b_row, c);
            }
        }
    }

    /// Both transposed: a is turned around first, for a column of it is far apart.
    fn turned(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        let mut rows = vec![0.0; a.len()];
        for (p, a_row) in a.chunks_exact(self.m).enumerate() {
            for (i, a) in a_row.iter().enumerate() {
                rows[i * self.k + p] = *a;
            }
        }
        self.dots(&rows, b, c);
    }
}

/// x = 1 / (1 + exp(-x)).
pub(super) fn sigmoid(x: &mut [f32]) {
    for x in x {
        *x = 1.0 / (1.0 + libm::expf(-*x));
    }
}

/// x = max(x, 0); NaN stays NaN.
pub(super) fn relu(x: &mut [f32]) {
    for x in x {
        if *x < 0.0 {
            *x = 0.0;
        }
    }
}

/// x = exp(x).
pub(super) fn exp(x: &mut [f32]) {
    for x in x {
        *x = libm::expf(*x);
    }
}

/// x = log(x).
pub(super) fn log(x: &mut [f32]) {
    for x in x {
        *x = libm::logf(*x);
    }
}

/// Each row as exponentials divided by their sum, shifted so that none overflows.
pub(super) fn softmax(columns: usize, x: &mut [f32]) {
    if columns == 0 {
        return;
    }
    for row in x.chunks_exact_mut(columns) {
        let largest = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for x in &mut *row {
            *x = libm::expf(*x - largest);
        }
        scal(1.0 / sum(row), row);
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

    #[test]
    fn every_form_of_gemm_agrees_with_the_definition() {
        for (m, n, k) in [(1, 1, 1), (3, 1, 20), (4, 5, 6), (2, 9, 3), (0, 3, 2), (2, 3, 0)] {
            let (a, b, c) = (numbers(m * k), numbers(k * n), numbers(m * n));
            for (transpose_a, transpose_b) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let left = if transpose_a { transposed(m, k, &a) } else { a.clone() };
                let right = if transpose_b { transposed(k, n, &b) } else { b.clone() };
                let mut result = c.clone();
                let gemm = Gemm { transpose_a, transpose_b, alpha: 0.5, beta: 2.0, m, n, k };
                gemm.run(&left, &right, &mut result);
                for i in 0..m {
                    for j in 0..n {
                        let product: f32 = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
                        let expected = 0.5 * product + 2.0 * c[i * n + j];
                        let found = result[i * n + j];
                        assert!((expected - found).abs() < 1e-4, "{gemm:?}: {expected} {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn beta_zero_overwrites_nan() {
        let gemm = Gemm {
            transpose_a: false,
            transpose_b: false,
            alpha: 1.0,
            beta: 0.0,
            m: 1,
            n: 1,
            k: 1,
        };
        let mut c = [f32::NAN];
        gemm.run(&[2.0], &[3.0], &mut c);
        assert_eq!(c.map(f32::to_bits), [6.0f32.to_bits()]);
    }

    /// Golden bits: a change of order or of `exp` shows here.
    #[test]
    fn sums_and_exponentials_keep_their_bits() {
        let x: Vec<f32> = (1u8..=19).map(|i| 1.0 / f32::from(i)).collect();
        let mut y = x.clone();
        exp(&mut y);
        let bits = [dot(&x, &y).to_bits(), sum(&x).to_bits(), sum(&y).to_bits()];
        assert_eq!(bits, GOLDEN, "{bits:#x?}");
        let exact: f64 = (1..=19).map(f64::from).map(|i| (1.0 / i).exp() / i).sum();
        assert!((f64::from(dot(&x, &y)) - exact).abs() < 1e-5);
    }

    const GOLDEN: [u32; 3] = [0x40bf_3701, 0x4063_0e2c, 0x41bc_ccf2];

    #[test]
    fn softmax_survives_large_inputs() {
        let mut x = [1000.0, 1000.0, -1000.0, 3.0, 3.0, 3.0];
        softmax(3, &mut x);
        assert!((x[0] - 0.5).abs() < 1e-6 && x[2].abs() < 1e-6);
        assert!((x[3] - 1.0 / 3.0).abs() < 1e-6);
    }
}
