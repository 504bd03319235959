//! Operations on tensors that read like arithmetic.
//!
//! Operators that assign (`+=`, `*=`) work in place and allocate nothing. Shapes
//! are checked by the runtime; a wrong one is a trap.

use std::ops::{AddAssign, MulAssign, SubAssign};

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
}

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

/// Multiplies element by element.
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
