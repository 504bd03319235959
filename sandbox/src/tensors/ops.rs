//! What compute code asks of its tensors, apart from looking at their elements.
//!
//! An [`Op`] is first checked, which looks at shapes alone and says what it costs, and then
//! applied. What becomes of it, a refusal included, depends on shapes and never on an
//! element: that is what lets a [`Plan`](super::Plan) stand for many units.

use super::kernels::{self, Gemm};
use super::{Data, Tensor, TensorError, Tensors, elements};
use crate::fuel;
use crate::limits::MAX_PIECE_ELEMENTS;
use crate::random::Stream;

/// A tensor of an instance.
type Id = u32;

/// One request.
#[derive(Debug)]
pub(super) enum Op {
    Drop(Id),
    Zeros { rows: u32, columns: u32 },
    Set { x: Id, row: u32, column: u32, value: f32 },
    Write { x: Id, offset: u32, values: Box<[f32]> },
    View { x: Id, offset: u32, rows: u32, columns: u32 },
    Slice { x: Id, first: u32, rows: u32 },
    SliceColumns { x: Id, first: u32, columns: u32 },
    AppendColumn { x: Id, value: f32 },
    Join(Box<[Id]>),
    Change(Change, Id),
    Combine { how: Combine, x: Id, y: Id },
    SumRows { x: Id, y: Id },
    SumColumns { x: Id, y: Id },
    Ger { alpha: f32, x: Id, y: Id, a: Id },
    Product(Product),
    Uniform { x: Id, low: f32, high: f32 },
    Normal { x: Id, mean: f32, deviation: f32 },
}

/// Changes the elements of one tensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Fill(f32),
    Scal(f32),
    Clamp(f32, f32),
    Step(f32),
    Relu,
    Sqrt,
    Sigmoid,
    Tanh,
    Exp,
    Log,
    Softmax,
    LogSoftmax,
}

/// Changes y by the elements of x.
#[derive(Clone, Copy, Debug)]
pub(super) enum Combine {
    Axpy(f32),
    /// Of the same shape, or one row for all rows of y.
    Add,
    /// Of the same shape, or one column for all columns of y.
    Mul,
    /// Of the same shape.
    With(Kernel),
}

/// From the elements of one tensor to those of another.
pub(super) type Kernel = fn(&[f32], &mut [f32]);

/// c = alpha * op(a) * op(b) + beta * c. The shapes of b and c are looked at, or, for a
/// matrix times a vector, only how many elements they have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) transpose: [bool; 2],
    pub(super) alpha: f32,
    pub(super) a: Id,
    pub(super) b: Id,
    pub(super) beta: f32,
    pub(super) c: Id,
    pub(super) vector: bool,
}

impl Op {
    /// Whether it can be done, as far as shapes tell, and what it costs; a cost that is too
    /// large to count is none.
    pub(super) fn check(&self, tensors: &Tensors) -> Result<Option<u64>, TensorError> {
        let len = |id: Id| Ok(tensors.get(id)?.len());
        let shape = |id: Id| Ok(tensors.get(id)?.shape());
        Ok(match self {
            Self::Drop(_) | Self::Set { .. } => fuel::simple(0),
            Self::Zeros { rows, columns } => fuel::simple(elements(*rows, *columns)?),
            Self::Write { values, .. } => {
                require(values.len() <= MAX_PIECE_ELEMENTS, TensorError::Range)?;
                fuel::transcendental(values.len())
            }
            Self::View { x, offset, rows, columns } => {
                let end = (*offset as usize).checked_add(elements(*rows, *columns)?);
                let len = len(*x)?;
                require(end.is_some_and(|end| end <= len), TensorError::Range)?;
                fuel::simple(0)
            }
            Self::Slice { x, first, rows } => {
                let (all, columns) = shape(*x)?;
                require(within(*first, *rows, all), TensorError::Range)?;
                fuel::simple(elements(*rows, columns)?)
            }
            Self::SliceColumns { x, first, columns } => {
                let (rows, all) = shape(*x)?;
                require(within(*first, *columns, all), TensorError::Range)?;
                // It goes through all rows, even for no column.
                fuel::simple(elements(rows, *columns)?.max(rows as usize))
            }
            Self::AppendColumn { x, .. } => {
                let (rows, columns) = shape(*x)?;
                let wider = columns.checked_add(1).ok_or(TensorError::Limit)?;
                fuel::simple(elements(rows, wider)?)
            }
            Self::Join(parts) => fuel::transcendental(parts.len()),
            Self::Change(change, x) => change.cost(len(*x)?),
            Self::Combine { how, x, y } => {
                require(how.fits(shape(*x)?, shape(*y)?), TensorError::Shape)?;
                fuel::simple(len(*y)?)
            }
            Self::SumRows { x, y } => {
                let (_, columns) = shape(*x)?;
                require(shape(*y)? == (1, columns), TensorError::Shape)?;
                fuel::simple(len(*x)? + columns as usize)
            }
            Self::SumColumns { x, y } => {
                let (rows, _) = shape(*x)?;
                require(shape(*y)? == (rows, 1), TensorError::Shape)?;
                fuel::simple(len(*x)? + rows as usize)
            }
            Self::Ger { x, y, a, .. } => {
                let (rows, columns) = (len(*x)?, len(*y)?);
                require((rows, columns) == tensors.get(*a)?.sides(false), TensorError::Shape)?;
                fuel::product(rows, columns, 1)
            }
            Self::Product(product) => {
                let Gemm { m, n, k, .. } = product.gemm(tensors)?;
                fuel::product(m, n, k)
            }
            Self::Uniform { x, .. } | Self::Normal { x, .. } => fuel::transcendental(64 + len(*x)?),
        })
    }

    /// Does it, once checked. Gives the tensor that it makes, if it makes one.
    pub(super) fn apply(
        &self,
        tensors: &mut Tensors,
        random: &mut Stream,
    ) -> Result<Option<Id>, TensorError> {
        match self {
            Self::Drop(x) => tensors.remove(*x).map(drop)?,
            Self::Zeros { rows, columns } => return tensors.zeros(*rows, *columns).map(Some),
            Self::Set { x, row, column, value } => {
                let tensor = tensors.get_mut(*x)?;
                let index = tensor.index(*row, *column)?;
                tensor.values_mut()?[index] = *value;
            }
            Self::Write { x, offset, values } => {
                let tensor = tensors.get_mut(*x)?;
                let piece = tensor.piece(*offset, values.len())?;
                tensor.values_mut()?[piece].copy_from_slice(values);
            }
            Self::View { x, offset, rows, columns } => {
                let count = elements(*rows, *columns)?;
                let data = tensors.get(*x)?.data.view(*offset as usize, count);
                let data = data.ok_or(TensorError::NotReadOnly)?;
                return tensors.insert(Tensor::of(*rows, *columns, data)).map(Some);
            }
            Self::Slice { x, first, rows } => {
                let (_, columns) = tensors.get(*x)?.shape();
                let start = elements(*first, columns)?;
                let range = start..start + elements(*rows, columns)?;
                return copy_of(tensors, *x, (*rows, columns), |x, out| {
                    out.extend_from_slice(&x[range]);
                });
            }
            Self::SliceColumns { x, first, columns } => {
                let (rows, all) = tensors.get(*x)?.shape();
                let (all, first) = (all as usize, *first as usize);
                let range = first..first + *columns as usize;
                return copy_of(tensors, *x, (rows, *columns), |x, out| {
                    for row in 0..rows as usize {
                        out.extend_from_slice(&x[row * all..][range.clone()]);
                    }
                });
            }
            Self::AppendColumn { x, value } => {
                let (rows, columns) = tensors.get(*x)?.shape();
                let wider = columns.checked_add(1).ok_or(TensorError::Limit)?;
                let columns = columns as usize;
                return copy_of(tensors, *x, (rows, wider), |x, out| {
                    for row in 0..rows as usize {
                        out.extend_from_slice(&x[row * columns..(row + 1) * columns]);
                        out.push(*value);
                    }
                });
            }
            Self::Join(parts) => return tensors.join(parts).map(Some),
            Self::Change(change, x) => {
                let columns = tensors.get(*x)?.columns as usize;
                tensors.with_output([], *x, |[], x| change.run(columns, x))?;
            }
            Self::Combine { how, x, y } => {
                let same = tensors.get(*x)?.shape() == tensors.get(*y)?.shape();
                tensors.with_output([*x], *y, |[x], y| how.run(same, x, y))?;
            }
            Self::SumRows { x, y } => {
                tensors.with_output([*x], *y, |[x], y| kernels::sum_rows(x, y))?;
            }
            Self::SumColumns { x, y } => {
                let columns = tensors.get(*x)?.columns as usize;
                tensors.with_output([*x], *y, |[x], y| kernels::sum_columns(columns, x, y))?;
            }
            Self::Ger { alpha, x, y, a } => {
                tensors.with_output([*x, *y], *a, |[x, y], a| kernels::ger(*alpha, x, y, a))?;
            }
            Self::Product(product) => product.apply(tensors)?,
            Self::Uniform { x, low, high } => {
                tensors.with_output([], *x, |[], x| random.uniform(x, *low, *high))?;
            }
            Self::Normal { x, mean, deviation } => {
                tensors.with_output([], *x, |[], x| random.normal(x, *mean, *deviation))?;
            }
        }
        Ok(None)
    }

    /// Bytes that it takes itself.
    pub(super) fn bytes(&self) -> usize {
        let behind = match self {
            Self::Write { values, .. } => size_of_val(&values[..]),
            Self::Join(parts) => size_of_val(&parts[..]),
            _ => 0,
        };
        size_of::<Self>() + behind
    }
}

impl Change {
    fn cost(self, len: usize) -> Option<u64> {
        match self {
            Self::Fill(_)
            | Self::Scal(_)
            | Self::Clamp(..)
            | Self::Step(_)
            | Self::Relu
            | Self::Sqrt => fuel::simple(len),
            Self::Sigmoid
            | Self::Tanh
            | Self::Exp
            | Self::Log
            | Self::Softmax
            | Self::LogSoftmax => fuel::transcendental(len),
        }
    }

    fn run(self, columns: usize, x: &mut [f32]) {
        match self {
            Self::Fill(value) => x.fill(value),
            Self::Scal(alpha) => kernels::scal(alpha, x),
            Self::Clamp(low, high) => kernels::clamp(x, low, high),
            Self::Step(threshold) => kernels::step(x, threshold),
            Self::Relu => kernels::relu(x),
            Self::Sqrt => kernels::sqrt(x),
            Self::Sigmoid => kernels::sigmoid(x),
            Self::Tanh => kernels::tanh(x),
            Self::Exp => kernels::exp(x),
            Self::Log => kernels::log(x),
            Self::Softmax => kernels::softmax(columns, x),
            Self::LogSoftmax => kernels::log_softmax(columns, x),
        }
    }
}

impl Combine {
    fn fits(self, x: (u32, u32), y: (u32, u32)) -> bool {
        match self {
            Self::Axpy(_) | Self::With(_) => x == y,
            Self::Add => x == y || x == (1, y.1),
            Self::Mul => x == y || x == (y.0, 1),
        }
    }

    fn run(self, same_shape: bool, x: &[f32], y: &mut [f32]) {
        match self {
            Self::Axpy(alpha) => kernels::axpy(alpha, x, y),
            Self::Add if same_shape => kernels::axpy(1.0, x, y),
            Self::Add => kernels::add_row(x, y),
            Self::Mul if same_shape => kernels::mul(x, y),
            Self::Mul => kernels::mul_rows(x, y),
            Self::With(kernel) => kernel(x, y),
        }
    }
}

/// From this size on, a column times a row is not written down before it has to be.
const OUTER: usize = 8;

impl Product {
    fn gemm(&self, tensors: &Tensors) -> Result<Gemm, TensorError> {
        let [transpose_a, transpose_b] = self.transpose;
        let (m, k) = tensors.get(self.a)?.sides(transpose_a);
        let (right, out) = (tensors.get(self.b)?, tensors.get(self.c)?);
        let ((inner, n), shape) = if self.vector {
            ((right.len(), 1), (out.len(), 1))
        } else {
            (right.sides(transpose_b), out.sides(false))
        };
        require(inner == k && shape == (m, n), TensorError::Shape)?;
        let (alpha, beta) = (self.alpha, self.beta);
        Ok(Gemm { transpose_a, transpose_b, alpha, beta, m, n, k })
    }

    fn apply(&self, tensors: &mut Tensors) -> Result<(), TensorError> {
        let gemm = self.gemm(tensors)?;
        if gemm.k == 1 && gemm.beta == 0.0 && gemm.m >= OUTER && gemm.n >= OUTER {
            return tensors.set_outer(self.a, self.b, gemm.alpha, self.c);
        }
        tensors.check_room(gemm.scratch())?;
        tensors.note_use(gemm.scratch() + gemm.m * (gemm.k + gemm.n));
        tensors.with_output([self.a, self.b], self.c, |[a, b], c| gemm.run(a, b, c))
    }

    /// One product in place of many, if all units multiply rows of their own by one and the
    /// same matrix: an element is the same chain of operations then, and the matrix is read
    /// once. Gives whether it was done.
    pub(super) fn apply_to_all(
        &self,
        units: &mut [(Tensors, Stream)],
    ) -> Result<bool, TensorError> {
        let [(first, _), others @ ..] = &*units else { return Ok(false) };
        let gemm = self.gemm(first)?;
        if others.is_empty() || self.vector || gemm.transpose_a || !gemm.is_plain() || gemm.k == 1 {
            return Ok(false);
        }
        let b = &first.get(self.b)?.data;
        for (tensors, _) in others {
            self.gemm(tensors)?;
            if !tensors.get(self.b)?.data.is_same_model(b) {
                return Ok(false);
            }
        }
        let rows = gemm.m * units.len();
        let mut a = Vec::with_capacity(rows * gemm.k);
        for (tensors, _) in &mut *units {
            a.extend_from_slice(tensors.values(self.a)?);
        }
        let mut c = vec![0.0; rows * gemm.n];
        let all = Gemm { m: rows, ..gemm };
        all.run(&a, units[0].0.get(self.b)?.values(), &mut c);
        let each = gemm.m * gemm.n;
        for (place, (tensors, _)) in units.iter_mut().enumerate() {
            let part = &c[place * each..][..each];
            tensors.with_output([self.a, self.b], self.c, |_, c| c.copy_from_slice(part))?;
        }
        Ok(true)
    }
}

/// A new tensor made from the elements of another.
fn copy_of(
    tensors: &mut Tensors,
    source: Id,
    (rows, columns): (u32, u32),
    copy: impl FnOnce(&[f32], &mut Vec<f32>),
) -> Result<Option<Id>, TensorError> {
    let needed = elements(rows, columns)?;
    tensors.check_room(needed)?;
    let mut values = Vec::with_capacity(needed);
    copy(tensors.values(source)?, &mut values);
    tensors.insert(Tensor::of(rows, columns, Data::Own(values))).map(Some)
}

fn within(first: u32, count: u32, all: u32) -> bool {
    first.checked_add(count).is_some_and(|end| end <= all)
}

pub(super) fn require(condition: bool, error: TensorError) -> Result<(), TensorError> {
    if condition { Ok(()) } else { Err(error) }
}
