//! The perceptron, one gradient for each row: of 128 hidden units with `ReLU`, and softmax.
//!
//! Inside, the output layer's weights lie transposed, so that all rows are as wide as the
//! hidden layer. With the bias as one more row, the first layer's gradient is the product of
//! a row's features, and 1, with what comes back to the hidden layer.

use std::arch::x86_64::{
    __m256, _mm256_add_epi32, _mm256_cvttps_epi32, _mm256_fmadd_ps, _mm256_mul_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256,
};

use super::Grid;
use super::vectors::{
    LANES, add_on_grid, dot, load, load_integers, scaled, square, store, store_integers,
};
use crate::problem::{PERCEPTRON, Problem};

const FEATURES: usize = PERCEPTRON.features;
const HIDDEN: usize = PERCEPTRON.hidden;
const CLASSES: usize = PERCEPTRON.targets;
/// Numbers of the first layer, bias included.
const FIRST: usize = (FEATURES + 1) * HIDDEN;
/// Numbers up to the last layer's bias.
const WEIGHTS: usize = FIRST + CLASSES * HIDDEN;

/// Columns whose sums stay in registers.
const STRIP: usize = 8 * LANES;
/// Rows that are taken together.
const BLOCK: usize = 8;

type Layer = [f32; HIDDEN];

/// How gradients become a sum.
#[derive(Clone, Copy)]
pub enum Way {
    /// Each is written down, then measured, then added.
    Built,
    /// Elements of products are added as they are computed.
    Fused,
    /// The same for eight rows at a time, so that model and sums are read once for eight.
    Blocked,
}

/// A trainer with the memory that it uses again for each row.
pub struct Perceptron<'a> {
    problem: &'a Problem,
    model: Vec<f32>,
    gradient: Vec<f32>,
    sums: Vec<i32>,
}

/// One row, forwards and backwards.
struct Pass {
    hidden: Layer,
    /// Gradient of the loss by what goes into the hidden layer.
    back: Layer,
    /// Gradient of the loss by what goes into the softmax.
    error: [f32; CLASSES],
}

impl<'a> Perceptron<'a> {
    pub fn new(problem: &'a Problem) -> Self {
        let parameters = problem.shape.parameters();
        let mut model = problem.model.clone();
        transpose(&problem.model, &mut model, false);
        Self { problem, model, gradient: vec![0.0; parameters], sums: vec![0; parameters] }
    }

    /// The sum over all rows, in the order of the model.
    pub fn run(&mut self, way: Way) -> Vec<i32> {
        self.sums.fill(0);
        #[expect(unsafe_code, reason = "the processor has been asked, in `available`")]
        // SAFETY: `available` is called before any of this is made.
        unsafe {
            match way {
                Way::Built => self.built(),
                Way::Fused => self.fused(),
                Way::Blocked => self.blocked(),
            }
        }
        let mut sums = self.sums.clone();
        transpose(&self.sums, &mut sums, true);
        sums
    }

    #[target_feature(enable = "avx2,fma")]
    fn built(&mut self) {
        let grid = Grid::of(self.problem);
        for (row, targets) in rows(self.problem) {
            let pass = Pass::new(&self.model, &hidden(&self.model, row), targets);
            let (first, rest) = self.gradient.split_at_mut(FIRST);
            for (to, x) in first.chunks_exact_mut(HIDDEN).zip(row.iter().chain(&[1.0])) {
                scaled(to, *x, &pass.back);
            }
            let (second, bias) = rest.split_at_mut(CLASSES * HIDDEN);
            for (to, error) in second.chunks_exact_mut(HIDDEN).zip(pass.error) {
                scaled(to, error, &pass.hidden);
            }
            bias.copy_from_slice(&pass.error);
            let factor = grid.factor(square(&self.gradient));
            add_on_grid(&mut self.sums, factor, &self.gradient);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn fused(&mut self) {
        let grid = Grid::of(self.problem);
        for (row, targets) in rows(self.problem) {
            let pass = Pass::new(&self.model, &hidden(&self.model, row), targets);
            let factor = grid.factor(pass.square(row));
            let (first, rest) = self.sums.split_at_mut(FIRST);
            for (sums, x) in first.chunks_exact_mut(HIDDEN).zip(row.iter().chain(&[1.0])) {
                add_on_grid(sums, factor * x, &pass.back);
            }
            pass.add_second(rest, factor);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn blocked(&mut self) {
        let grid = Grid::of(self.problem);
        let mut scaled_rows = vec![[0.0; BLOCK]; FEATURES + 1];
        let features = self.problem.features.chunks(BLOCK * FEATURES);
        let targets = self.problem.targets.chunks(BLOCK * CLASSES);
        for (features, targets) in features.zip(targets) {
            let mut backs = [[0.0; HIDDEN]; BLOCK];
            let hidden = hidden_of_block(&self.model, features);
            let rows = features.chunks_exact(FEATURES).zip(targets.chunks_exact(CLASSES));
            for (place, (row, targets)) in rows.enumerate() {
                let pass = Pass::new(&self.model, &hidden[place], targets);
                let factor = grid.factor(pass.square(row));
                for (to, x) in scaled_rows.iter_mut().zip(row.iter().chain(&[1.0])) {
                    to[place] = factor * x;
                }
                pass.add_second(&mut self.sums[FIRST..], factor);
                backs[place] = pass.back;
            }
            add_block(&mut self.sums[..FIRST], &scaled_rows, &backs);
        }
    }
}

impl Pass {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(model: &[f32], hidden: &Layer, targets: &[f32]) -> Self {
        let second = &model[FIRST..WEIGHTS];
        let mut error = [0.0; CLASSES];
        for ((to, weights), bias) in
            error.iter_mut().zip(second.chunks_exact(HIDDEN)).zip(&model[WEIGHTS..])
        {
            *to = dot(weights, hidden) + bias;
        }
        softmax_error(&mut error, targets);
        let mut back = [0.0; HIDDEN];
        for (error, weights) in error.iter().zip(second.chunks_exact(HIDDEN)) {
            for (to, weight) in back.iter_mut().zip(weights) {
                *to = error.mul_add(*weight, *to);
            }
        }
        for (to, active) in back.iter_mut().zip(hidden) {
            *to = if *active > 0.0 { *to } else { 0.0 };
        }
        Self { hidden: *hidden, back, error }
    }

    /// The gradient's squared norm: of products it is the product.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn square(&self, row: &[f32]) -> f32 {
        (square(row) + 1.0) * square(&self.back)
            + (square(&self.hidden) + 1.0) * square(&self.error)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add_second(&self, sums: &mut [i32], factor: f32) {
        let (second, bias) = sums.split_at_mut(CLASSES * HIDDEN);
        for (sums, error) in second.chunks_exact_mut(HIDDEN).zip(self.error) {
            add_on_grid(sums, factor * error, &self.hidden);
        }
        add_on_grid(bias, factor, &self.error);
    }
}

fn rows(problem: &Problem) -> impl Iterator<Item = (&[f32], &[f32])> {
    problem.features.chunks_exact(FEATURES).zip(problem.targets.chunks_exact(CLASSES))
}

/// What a row makes of the hidden layer.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn hidden(model: &[f32], row: &[f32]) -> Layer {
    let mut hidden = [0.0; HIDDEN];
    for (strip, to) in hidden.chunks_exact_mut(STRIP).enumerate() {
        let mut sums = [_mm256_setzero_ps(); STRIP / LANES];
        let columns = strip * STRIP;
        for (weights, x) in model[..FIRST].chunks_exact(HIDDEN).zip(row.iter().chain(&[1.0])) {
            let x = _mm256_set1_ps(*x);
            let (weights, _) = weights[columns..columns + STRIP].as_chunks::<LANES>();
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm256_fmadd_ps(x, load(weights), *sum);
            }
        }
        for (to, sum) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
            store(to, sum);
        }
    }
    hidden.map(|z| z.max(0.0))
}

/// The same for eight rows or fewer, four at a time: the model is read twice, not eight times.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn hidden_of_block(model: &[f32], features: &[f32]) -> [Layer; BLOCK] {
    const TOGETHER: usize = 4;
    const WIDTH: usize = 2;
    let mut hidden = [[0.0; HIDDEN]; BLOCK];
    let last = features.len() / FEATURES - 1;
    for (four, to) in hidden.chunks_exact_mut(TOGETHER).enumerate() {
        // A row that is not there is the last one once more.
        let rows: [&[f32]; TOGETHER] = std::array::from_fn(|place| {
            let row = (four * TOGETHER + place).min(last);
            &features[row * FEATURES..][..FEATURES]
        });
        for columns in (0..HIDDEN).step_by(WIDTH * LANES) {
            let mut sums = [[_mm256_setzero_ps(); WIDTH]; TOGETHER];
            let take = |weights: &[f32]| -> [__m256; WIDTH] {
                let (weights, _) = weights[columns..columns + WIDTH * LANES].as_chunks::<LANES>();
                [load(&weights[0]), load(&weights[1])]
            };
            for (feature, weights) in model.chunks_exact(HIDDEN).take(FEATURES).enumerate() {
                let weights = take(weights);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let x = _mm256_set1_ps(row[feature]);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm256_fmadd_ps(x, weights, *sum);
                    }
                }
            }
            let one = _mm256_set1_ps(1.0);
            let bias = take(&model[FEATURES * HIDDEN..FIRST]);
            for (to, sums) in to.iter_mut().zip(sums) {
                let (to, _) = to[columns..columns + WIDTH * LANES].as_chunks_mut::<LANES>();
                for ((to, sum), bias) in to.iter_mut().zip(sums).zip(bias) {
                    store(to, _mm256_fmadd_ps(one, bias, sum));
                }
            }
        }
    }
    hidden.map(|layer| layer.map(|z| z.max(0.0)))
}

/// Adds eight rows' products to the first layer's sums, which pass through registers once.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_block(sums: &mut [i32], scaled_rows: &[[f32; BLOCK]], backs: &[Layer; BLOCK]) {
    for (sums, factors) in sums.chunks_exact_mut(HIDDEN).zip(scaled_rows) {
        for (strip, sums) in sums.chunks_exact_mut(STRIP).enumerate() {
            let (sums, _) = sums.as_chunks_mut::<LANES>();
            let mut kept = [_mm256_setzero_si256(); STRIP / LANES];
            for (kept, sums) in kept.iter_mut().zip(&*sums) {
                *kept = load_integers(sums);
            }
            for (factor, back) in factors.iter().zip(backs) {
                let factor = _mm256_set1_ps(*factor);
                let (back, _) = back[strip * STRIP..][..STRIP].as_chunks::<LANES>();
                for (kept, back) in kept.iter_mut().zip(back) {
                    let on_grid = _mm256_cvttps_epi32(_mm256_mul_ps(factor, load(back)));
                    *kept = _mm256_add_epi32(*kept, on_grid);
                }
            }
            for (kept, sums) in kept.into_iter().zip(sums) {
                store_integers(sums, kept);
            }
        }
    }
}

/// From what goes into the softmax to the loss's gradient by it.
pub fn softmax_error(z: &mut [f32], targets: &[f32]) {
    let largest = z.iter().fold(f32::NEG_INFINITY, |largest, z| largest.max(*z));
    for z in z.iter_mut() {
        *z = (*z - largest).exp();
    }
    let scale = 1.0 / z.iter().sum::<f32>();
    for (z, target) in z.iter_mut().zip(targets) {
        *z = *z * scale - target;
    }
}

/// The output layer's weights, from the model's order to ours, or back.
fn transpose<T: Copy>(from: &[T], to: &mut [T], back: bool) {
    let (rows, columns) = if back { (CLASSES, HIDDEN) } else { (HIDDEN, CLASSES) };
    to.copy_from_slice(from);
    for row in 0..rows {
        for column in 0..columns {
            to[FIRST + column * rows + row] = from[FIRST + row * columns + column];
        }
    }
}
