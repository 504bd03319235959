//! One gradient of the perceptron over many rows, by somebody else's product of matrices.

use matrixmultiply::sgemm;

use super::Grid;
use super::perceptron::softmax_error;
use super::vectors::{add_on_grid, square};
use crate::problem::Problem;

/// A trainer with the memory that it uses again for each gradient.
pub struct Group<'a> {
    problem: &'a Problem,
    hidden: Vec<f32>,
    errors: Vec<f32>,
    back: Vec<f32>,
    gradient: Vec<f32>,
    sums: Vec<i32>,
}

/// A matrix, perhaps transposed.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// How far it is to the next row and to the next column.
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self { values, rows, columns, strides: [columns, 1] }
    }

    fn t(self) -> Self {
        let Self { rows, columns, strides: [down, right], .. } = self;
        Self { rows: columns, columns: rows, strides: [right, down], ..self }
    }
}

/// `to` = `a` times `b`, plus `beta` times `to`.
fn multiply(a: Matrix<'_>, b: Matrix<'_>, beta: f32, to: &mut [f32]) {
    assert!(a.columns == b.rows && to.len() == a.rows * b.columns);
    let stride = |matrix: Matrix<'_>| matrix.strides.map(usize::cast_signed);
    let ([a_down, a_right], [b_down, b_right]) = (stride(a), stride(b));
    let (down, right) = (b.columns.cast_signed(), 1);
    let (a_values, b_values) = (a.values.as_ptr(), b.values.as_ptr());
    #[expect(unsafe_code, reason = "the crate takes pointers")]
    // SAFETY: rows, columns and strides stay within slices of these lengths, as checked here
    // and when the matrices were made; `to` is borrowed mutably, so it overlaps with neither.
    unsafe {
        sgemm(
            a.rows,
            a.columns,
            b.columns,
            1.0,
            a_values,
            a_down,
            a_right,
            b_values,
            b_down,
            b_right,
            beta,
            to.as_mut_ptr(),
            down,
            right,
        );
    }
}

impl<'a> Group<'a> {
    pub fn new(problem: &'a Problem) -> Self {
        let (rows, shape) = (problem.rows(), problem.shape);
        let [hidden, back] = [(); 2].map(|()| vec![0.0; rows * shape.hidden]);
        let errors = vec![0.0; rows * shape.targets];
        let gradient = vec![0.0; shape.parameters()];
        Self { problem, hidden, errors, back, gradient, sums: vec![0; shape.parameters()] }
    }

    /// The mean gradient over all rows, clipped and on the grid.
    pub fn run(&mut self) -> &[i32] {
        let Self { problem, hidden, errors, back, gradient, sums } = self;
        let (shape, rows) = (problem.shape, problem.rows());
        let [w1, b1, w2, b2] = parts(&problem.model, problem);
        let x = Matrix::new(&problem.features, rows, shape.features);
        let w1 = Matrix::new(w1, shape.features, shape.hidden);
        let w2 = Matrix::new(w2, shape.hidden, shape.targets);

        hidden.chunks_exact_mut(shape.hidden).for_each(|row| row.copy_from_slice(b1));
        multiply(x, w1, 1.0, hidden);
        for z in hidden.iter_mut() {
            *z = z.max(0.0);
        }
        let h = Matrix::new(hidden, rows, shape.hidden);
        errors.chunks_exact_mut(shape.targets).for_each(|row| row.copy_from_slice(b2));
        multiply(h, w2, 1.0, errors);
        let targets = problem.targets.chunks_exact(shape.targets);
        for (errors, targets) in errors.chunks_exact_mut(shape.targets).zip(targets) {
            softmax_error(errors, targets);
            for error in errors.iter_mut() {
                *error /= rows as f32;
            }
        }
        let d2 = Matrix::new(errors, rows, shape.targets);
        multiply(d2, w2.t(), 0.0, back);
        for (back, active) in back.iter_mut().zip(&*hidden) {
            *back = if *active > 0.0 { *back } else { 0.0 };
        }
        let d1 = Matrix::new(back, rows, shape.hidden);

        let (first, rest) = gradient.split_at_mut(shape.features * shape.hidden);
        multiply(x.t(), d1, 0.0, first);
        let (bias, rest) = rest.split_at_mut(shape.hidden);
        sum_rows(back, bias);
        let (second, bias) = rest.split_at_mut(shape.hidden * shape.targets);
        multiply(h.t(), d2, 0.0, second);
        sum_rows(errors, bias);

        sums.fill(0);
        let grid = Grid::of(problem);
        #[expect(unsafe_code, reason = "the processor has been asked, in `available`")]
        // SAFETY: `available` is called before any of this is made.
        unsafe {
            let factor = grid.factor(square(gradient));
            add_on_grid(sums, factor, gradient);
        }
        sums
    }
}

/// The model's matrices: weights and bias of each layer.
fn parts<'m>(model: &'m [f32], problem: &Problem) -> [&'m [f32]; 4] {
    let shape = problem.shape;
    let (w1, rest) = model.split_at(shape.features * shape.hidden);
    let (b1, rest) = rest.split_at(shape.hidden);
    let (w2, b2) = rest.split_at(shape.hidden * shape.targets);
    [w1, b1, w2, b2]
}

fn sum_rows(matrix: &[f32], to: &mut [f32]) {
    to.fill(0.0);
    for row in matrix.chunks_exact(to.len()) {
        to.iter_mut().zip(row).for_each(|(to, x)| *to += x);
    }
}
