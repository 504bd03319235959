//! Logistic regression.

use super::Grid;
use super::vectors::{add_on_grid, dot, scaled, square};
use crate::problem::Problem;

/// A trainer with the memory that it uses again for each row.
pub struct Logistic<'a> {
    problem: &'a Problem,
    gradient: Vec<f32>,
    sums: Vec<i32>,
}

impl<'a> Logistic<'a> {
    pub fn new(problem: &'a Problem) -> Self {
        let parameters = problem.shape.parameters();
        Self { problem, gradient: vec![0.0; parameters], sums: vec![0; parameters] }
    }

    /// The sum over all rows; `built` writes each gradient down first.
    pub fn run(&mut self, built: bool) -> &[i32] {
        self.sums.fill(0);
        #[expect(unsafe_code, reason = "the processor has been asked, in `available`")]
        // SAFETY: `available` is called before any of this is made.
        unsafe {
            if built { self.built() } else { self.fused() }
        }
        &self.sums
    }

    #[target_feature(enable = "avx2,fma")]
    fn built(&mut self) {
        let Self { problem, gradient, sums } = self;
        let grid = Grid::of(problem);
        for (row, target) in rows(problem) {
            let error = error(&problem.model, row, target);
            let (weights, bias) = gradient.split_at_mut(row.len());
            scaled(weights, error, row);
            bias[0] = error;
            let factor = grid.factor(square(gradient));
            add_on_grid(sums, factor, gradient);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn fused(&mut self) {
        let Self { problem, sums, .. } = self;
        let grid = Grid::of(problem);
        for (row, target) in rows(problem) {
            let error = error(&problem.model, row, target);
            let factor = error * grid.factor(error * error * (square(row) + 1.0));
            let (weights, bias) = sums.split_at_mut(row.len());
            add_on_grid(weights, factor, row);
            add_on_grid(bias, factor, &[1.0]);
        }
    }
}

fn rows(problem: &Problem) -> impl Iterator<Item = (&[f32], f32)> {
    problem.features.chunks_exact(problem.shape.features).zip(problem.targets.iter().copied())
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn error(model: &[f32], row: &[f32], target: f32) -> f32 {
    let z = dot(&model[..row.len()], row) + model[row.len()];
    1.0 / (1.0 + (-z).exp()) - target
}
