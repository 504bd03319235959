//! Arithmetic, one definition of each operation.
//!
//! Everything is plain Rust in one fixed order, with fused multiply-add written out and
//! `exp`, `log` and `tanh` from `libm`, so a result is the same to the bit on every machine.
//! The order of a sum depends on shapes alone, and no element is skipped for its value.
//! Callers have checked shapes.

mod gemm;

use cloister_vector::wide;

pub(super) use gemm::Gemm;

/// Partial sums that are kept side by side, so that a sum can use vector registers.
const LANES: usize = 8;

wide! {
    /// Sum of products: lane i takes elements i, i + 8, ...; lanes are added pairwise,
    /// then the rest in order.
    pub(super) fn dot(x: &[f32], y: &[f32]) -> f32 {
        dot_in_lanes(x, y)
    }

    /// y = y + alpha * x.
    pub(super) fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
        add_scaled(alpha, x, y);
    }
}

#[inline(always)]
fn dot_in_lanes(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (y_chunks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for lane in 0..LANES {
            lanes[lane] = x[lane].mul_add(y[lane], lanes[lane]);
        }
    }
    let mut total = add_lanes(lanes);
    for (x, y) in x_rest.iter().zip(y_rest) {
        total = x.mul_add(*y, total);
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

/// y = x.
pub(super) fn copy(x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(x);
}

/// x = alpha * x.
pub(super) fn scal(alpha: f32, x: &mut [f32]) {
    for x in x {
        *x *= alpha;
    }
}

#[inline(always)]
fn add_scaled(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = alpha.mul_add(*x, *y);
    }
}

/// y = y * x.
pub(super) fn mul(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y *= x;
    }
}

/// y = y / x.
pub(super) fn div(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y /= x;
    }
}

/// Multiplies row i of y by element i of x.
pub(super) fn mul_rows(x: &[f32], y: &mut [f32]) {
    if x.is_empty() {
        return;
    }
    let columns = y.len() / x.len();
    for (x, row) in x.iter().zip(y.chunks_exact_mut(columns.max(1))) {
        scal(*x, row);
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

/// y = the sum of the rows of x, in their order.
pub(super) fn sum_rows(x: &[f32], y: &mut [f32]) {
    y.fill(0.0);
    if y.is_empty() {
        return;
    }
    for row in x.chunks_exact(y.len()) {
        axpy(1.0, row, y);
    }
}

/// y = the sum of each row of x.
pub(super) fn sum_columns(columns: usize, x: &[f32], y: &mut [f32]) {
    y.fill(0.0);
    for (row, y) in x.chunks_exact(columns.max(1)).zip(y) {
        *y = sum(row);
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

/// out = all products of x with y, row by row.
pub(super) fn outer(x: &[f32], y: &[f32], out: &mut Vec<f32>) {
    for x in x {
        out.extend(y.iter().map(|y| x * y));
    }
}

/// x = 1 / (1 + exp(-x)).
pub(super) fn sigmoid(x: &mut [f32]) {
    for x in x {
        *x = 1.0 / (1.0 + libm::expf(-*x));
    }
}

/// x = tanh(x).
pub(super) fn tanh(x: &mut [f32]) {
    for x in x {
        *x = libm::tanhf(*x);
    }
}

/// x = max(x, 0); NaN stays NaN.
pub(super) fn relu(x: &mut [f32]) {
    for x in x {
        *x = if *x < 0.0 { 0.0 } else { *x };
    }
}

/// y = y * s * (1 - s).
pub(super) fn sigmoid_backward(s: &[f32], y: &mut [f32]) {
    for (y, s) in y.iter_mut().zip(s) {
        *y *= s * (1.0 - s);
    }
}

/// y = y * (1 - t * t).
pub(super) fn tanh_backward(t: &[f32], y: &mut [f32]) {
    for (y, t) in y.iter_mut().zip(t) {
        *y *= 1.0 - t * t;
    }
}

/// y = y where r > 0, else 0.
pub(super) fn relu_backward(r: &[f32], y: &mut [f32]) {
    for (y, r) in y.iter_mut().zip(r) {
        *y = if *r > 0.0 { *y } else { 0.0 };
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

/// x = the square root of x.
pub(super) fn sqrt(x: &mut [f32]) {
    for x in x {
        *x = x.sqrt();
    }
}

/// x = min(max(x, low), high); NaN stays NaN.
pub(super) fn clamp(x: &mut [f32], low: f32, high: f32) {
    for x in x {
        *x = if *x < low { low } else { *x };
        *x = if *x > high { high } else { *x };
    }
}

/// x = 1 where x >= threshold, else 0.
pub(super) fn step(x: &mut [f32], threshold: f32) {
    for x in x {
        *x = f32::from(u8::from(*x >= threshold));
    }
}

/// Each row as exponentials divided by their sum, shifted so that none overflows.
pub(super) fn softmax(columns: usize, x: &mut [f32]) {
    for row in x.chunks_exact_mut(columns.max(1)) {
        let largest = largest(row);
        for x in &mut *row {
            *x = libm::expf(*x - largest);
        }
        scal(1.0 / sum(row), row);
    }
}

/// The logarithms of [`softmax`].
pub(super) fn log_softmax(columns: usize, x: &mut [f32]) {
    for row in x.chunks_exact_mut(columns.max(1)) {
        let largest = largest(row);
        let total: f32 = row.iter().map(|x| libm::expf(*x - largest)).sum();
        let total = libm::logf(total);
        for x in &mut *row {
            *x = (*x - largest) - total;
        }
    }
}

fn largest(row: &[f32]) -> f32 {
    row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // Without vector instructions, too.
        assert_eq!(dot_in_lanes(&x, &y).to_bits(), bits[0]);
    }

    const GOLDEN: [u32; 3] = [0x40bf_3701, 0x4063_0e2c, 0x41bc_ccf2];

    #[test]
    fn softmax_survives_large_inputs() {
        let mut x = [1000.0, 1000.0, -1000.0, 3.0, 3.0, 3.0];
        let mut logs = x;
        softmax(3, &mut x);
        assert!((x[0] - 0.5).abs() < 1e-6 && x[2].abs() < 1e-6);
        assert!((x[3] - 1.0 / 3.0).abs() < 1e-6);
        log_softmax(3, &mut logs);
        assert!((logs[0] - 0.5f32.ln()).abs() < 1e-6 && logs[2] < -1999.0);
        assert!((logs[3].exp() - 1.0 / 3.0).abs() < 1e-6);
    }

    /// A derivative against the difference of values.
    #[test]
    fn backward_passes_are_derivatives() {
        type Forward = fn(&mut [f32]);
        type Backward = fn(&[f32], &mut [f32]);
        let pairs: [(Forward, Backward); 3] =
            [(sigmoid, sigmoid_backward), (tanh, tanh_backward), (relu, relu_backward)];
        for (forward, backward) in pairs {
            for x in [-1.5f32, -0.2, 0.3, 2.0] {
                let at = |x: f32| {
                    let mut y = [x];
                    forward(&mut y);
                    y[0]
                };
                let mut slope = [1.0];
                backward(&[at(x)], &mut slope);
                let difference = (at(x + 1e-2) - at(x - 1e-2)) / 2e-2;
                assert!((slope[0] - difference).abs() < 1e-3, "{x}: {slope:?} {difference}");
            }
        }
    }

    #[test]
    fn reductions_and_rows_are_where_they_should_be() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let (mut rows, mut columns, mut scaled) = ([9.0; 3], [9.0; 2], x);
        sum_rows(&x, &mut rows);
        sum_columns(3, &x, &mut columns);
        mul_rows(&[2.0, -1.0], &mut scaled);
        assert_eq!((rows, columns), ([5.0, 7.0, 9.0], [6.0, 15.0]));
        assert_eq!(scaled, [2.0, 4.0, 6.0, -4.0, -5.0, -6.0]);
        let mut y = [-2.0, 0.5, f32::NAN];
        clamp(&mut y, -1.0, 0.25);
        assert!(y[0] == -1.0 && y[1] == 0.25 && y[2].is_nan());
        step(&mut y, 0.0);
        assert_eq!(y, [0.0, 1.0, 0.0]);
    }
}
