//! Operations on tensors that read like arithmetic.
//!
//! Operators that assign (`+=`, `*=`) work in place and allocate nothing. Shapes
//! are checked by the runtime; a wrong one is a trap.

use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

use crate::Tensor;
use crate::bindings::cloister::compute::tensors;

impl Tensor {
    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(rows: u32, columns: u32) -> Self {
        Self::new(rows, columns)
    }

    /// A matrix in which every element is `value`.
    #[must_use]
    pub fn filled(rows: u32, columns: u32, value: f32) -> Self {
        let tensor = Self::new(rows, columns);
        tensors::fill(&tensor, value);
        tensor
    }

    /// A matrix of zeros of the same shape.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self::new(self.rows(), self.columns())
    }

    /// A copy.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        self.slice(0, self.rows())
    }

    /// A part of a read-only tensor (model, features, targets) as a matrix of its own:
    /// `rows` x `columns` elements in row-major order from `offset`. Nothing is copied.
    #[must_use]
    pub fn part(&self, offset: u32, rows: u32, columns: u32) -> Self {
        self.view(offset, rows, columns)
    }

    /// One row that holds the elements of the parts, one part after the other. This is
    /// how a model of several matrices, and its gradient, become one tensor; nothing is
    /// copied.
    #[must_use]
    pub fn join<const N: usize>(parts: [Self; N]) -> Self {
        tensors::join(parts.into())
    }

    /// The transpose, as an operand: nothing is copied.
    #[must_use]
    pub fn t(&self) -> Transposed<'_> {
        Transposed(self)
    }

    /// The matrix product of `self` and `other`.
    #[must_use]
    pub fn matmul(&self, other: &Self) -> Self {
        let product = Self::new(self.rows(), other.columns());
        tensors::gemm(false, false, 1.0, self, other, 0.0, &product);
        product
    }

    /// The matrix product of `self` and the transposed `other`.
    #[must_use]
    pub fn matmul_t(&self, other: &Self) -> Self {
        let product = Self::new(self.rows(), other.rows());
        tensors::gemm(false, true, 1.0, self, other, 0.0, &product);
        product
    }

    /// The sum of the rows: one row.
    #[must_use]
    pub fn sum_rows(&self) -> Self {
        let sum = Self::new(1, self.columns());
        tensors::sum_rows(self, &sum);
        sum
    }

    /// The sum of each row: one column.
    #[must_use]
    pub fn sum_columns(&self) -> Self {
        let sum = Self::new(self.rows(), 1);
        tensors::sum_columns(self, &sum);
        sum
    }

    /// All elements, row after row.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        let (mut values, count) = (Vec::new(), self.rows() * self.columns());
        let mut offset = 0;
        while offset < count {
            let piece = (count - offset).min(PIECE);
            values.extend(self.read(offset, piece));
            offset += piece;
        }
        values
    }

    /// A matrix with these elements, row after row.
    ///
    /// # Panics
    ///
    /// If there are not `rows` x `columns` of them.
    #[must_use]
    pub fn from_slice(rows: u32, columns: u32, values: &[f32]) -> Self {
        assert_eq!((rows * columns) as usize, values.len());
        let tensor = Self::new(rows, columns);
        let mut offset = 0;
        for piece in values.chunks(PIECE as usize) {
            tensor.write(offset, piece);
            offset += PIECE;
        }
        tensor
    }

    /// The sum of products of elements.
    #[must_use]
    pub fn dot(&self, other: &Self) -> f32 {
        tensors::dot(self, other)
    }

    /// The sum of all elements.
    #[must_use]
    pub fn sum(&self) -> f32 {
        tensors::sum(self)
    }

    /// The square root of the sum of squares.
    #[must_use]
    pub fn norm(&self) -> f32 {
        tensors::nrm2(self)
    }

    /// Adds `alpha * other`.
    pub fn scaled_add(&mut self, alpha: f32, other: &Self) {
        tensors::axpy(alpha, other, self);
    }

    /// Adds `alpha` times the outer product of two vectors.
    pub fn add_outer(&mut self, alpha: f32, x: &Self, y: &Self) {
        tensors::ger(alpha, x, y, self);
    }

    /// The logistic function of each element.
    #[must_use]
    pub fn sigmoid(self) -> Self {
        tensors::sigmoid(&self);
        self
    }

    /// The larger of each element and zero.
    #[must_use]
    pub fn relu(self) -> Self {
        tensors::relu(&self);
        self
    }

    /// The hyperbolic tangent of each element.
    #[must_use]
    pub fn tanh(self) -> Self {
        tensors::tanh(&self);
        self
    }

    /// The square root of each element.
    #[must_use]
    pub fn sqrt(self) -> Self {
        tensors::sqrt(&self);
        self
    }

    /// Each element, but at least `low` and at most `high`.
    #[must_use]
    pub fn clamp(self, low: f32, high: f32) -> Self {
        tensors::clamp(&self, low, high);
        self
    }

    /// 1 where an element is at least `threshold`, else 0.
    #[must_use]
    pub fn step(self, threshold: f32) -> Self {
        tensors::step(&self, threshold);
        self
    }

    /// A gradient, taken backwards through `output = x.sigmoid()`.
    #[must_use]
    pub fn sigmoid_backward(self, output: &Self) -> Self {
        tensors::sigmoid_backward(output, &self);
        self
    }

    /// A gradient, taken backwards through `output = x.tanh()`.
    #[must_use]
    pub fn tanh_backward(self, output: &Self) -> Self {
        tensors::tanh_backward(output, &self);
        self
    }

    /// A gradient, taken backwards through `output = x.relu()`.
    #[must_use]
    pub fn relu_backward(self, output: &Self) -> Self {
        tensors::relu_backward(output, &self);
        self
    }

    /// e to the power of each element.
    #[must_use]
    pub fn exp(self) -> Self {
        tensors::exp(&self);
        self
    }

    /// The natural logarithm of each element.
    #[must_use]
    pub fn ln(self) -> Self {
        tensors::log(&self);
        self
    }

    /// Each row as probabilities: exponentials divided by their sum.
    #[must_use]
    pub fn softmax(self) -> Self {
        tensors::softmax(&self);
        self
    }

    /// The logarithms of [`softmax`](Self::softmax).
    #[must_use]
    pub fn log_softmax(self) -> Self {
        tensors::log_softmax(&self);
        self
    }
}

/// Elements that cross at once.
const PIECE: u32 = 1024;

/// A transposed operand; see [`Tensor::t`].
#[derive(Clone, Copy)]
pub struct Transposed<'a>(&'a Tensor);

impl Transposed<'_> {
    /// The matrix product of the transposed matrix and `other`.
    #[must_use]
    pub fn matmul(self, other: &Tensor) -> Tensor {
        let product = Tensor::new(self.0.columns(), other.columns());
        tensors::gemm(true, false, 1.0, self.0, other, 0.0, &product);
        product
    }
}

/// Adds element by element; a right side of one row is added to each row.
impl AddAssign<&Tensor> for Tensor {
    fn add_assign(&mut self, other: &Tensor) {
        tensors::add(other, self);
    }
}

/// Subtracts element by element.
impl SubAssign<&Tensor> for Tensor {
    fn sub_assign(&mut self, other: &Tensor) {
        tensors::axpy(-1.0, other, self);
    }
}

/// Divides element by element.
impl DivAssign<&Tensor> for Tensor {
    fn div_assign(&mut self, other: &Tensor) {
        tensors::div(other, self);
    }
}

/// Multiplies element by element; a right side of one column multiplies each row.
impl MulAssign<&Tensor> for Tensor {
    fn mul_assign(&mut self, other: &Tensor) {
        tensors::mul(other, self);
    }
}

/// Multiplies every element by a number.
impl MulAssign<f32> for Tensor {
    fn mul_assign(&mut self, alpha: f32) {
        tensors::scal(alpha, self);
    }
}
