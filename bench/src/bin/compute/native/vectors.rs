//! Vectors of eight, and the loops that everything else is made of.

use std::arch::x86_64::{
    __m256, __m256i, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps,
    _mm256_add_epi32, _mm256_castps256_ps128, _mm256_cvttps_epi32, _mm256_extractf128_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps, _mm256_storeu_si256,
};

pub const LANES: usize = 8;

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn load(from: &[f32; LANES]) -> __m256 {
    #[expect(unsafe_code, reason = "loads take a pointer")]
    // SAFETY: eight numbers are there, aligned or not.
    unsafe {
        _mm256_loadu_ps(from.as_ptr())
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn store(to: &mut [f32; LANES], x: __m256) {
    #[expect(unsafe_code, reason = "stores take a pointer")]
    // SAFETY: there is room for eight numbers, aligned or not.
    unsafe {
        _mm256_storeu_ps(to.as_mut_ptr(), x);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn load_integers(from: &[i32; LANES]) -> __m256i {
    #[expect(unsafe_code, reason = "loads take a pointer")]
    // SAFETY: eight numbers are there, aligned or not.
    unsafe {
        _mm256_loadu_si256(from.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn store_integers(to: &mut [i32; LANES], x: __m256i) {
    #[expect(unsafe_code, reason = "stores take a pointer")]
    // SAFETY: there is room for eight numbers, aligned or not.
    unsafe {
        _mm256_storeu_si256(to.as_mut_ptr().cast(), x);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn total(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// The sum of squares.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn square(x: &[f32]) -> f32 {
    dot(x, x)
}

/// The sum of products.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    let (x_blocks, x_rest) = x.as_chunks::<{ 4 * LANES }>();
    let (y_blocks, y_rest) = y.as_chunks::<{ 4 * LANES }>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((sum, x), y) in
            sums.iter_mut().zip(x.as_chunks::<LANES>().0).zip(y.as_chunks::<LANES>().0)
        {
            *sum = _mm256_fmadd_ps(load(x), load(y), *sum);
        }
    }
    let (x_blocks, x_rest) = x_rest.as_chunks::<LANES>();
    let (y_blocks, y_rest) = y_rest.as_chunks::<LANES>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        sums[0] = _mm256_fmadd_ps(load(x), load(y), sums[0]);
    }
    let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums.into_iter().map(|sum| total(sum)).sum::<f32>() + rest
}

/// Adds to each sum `factor` times a number, truncated toward zero.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn add_on_grid(sums: &mut [i32], factor: f32, x: &[f32]) {
    let (sum_blocks, sum_rest) = sums.as_chunks_mut::<LANES>();
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let factors = _mm256_set1_ps(factor);
    for (sums, x) in sum_blocks.iter_mut().zip(x_blocks) {
        let on_grid = _mm256_cvttps_epi32(_mm256_mul_ps(factors, load(x)));
        store_integers(sums, _mm256_add_epi32(load_integers(sums), on_grid));
    }
    for (sum, x) in sum_rest.iter_mut().zip(x_rest) {
        #[expect(clippy::cast_possible_truncation, reason = "truncates toward zero")]
        let on_grid = (factor * x) as i32;
        *sum = sum.wrapping_add(on_grid);
    }
}

/// `to` = `factor` times `x`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn scaled(to: &mut [f32], factor: f32, x: &[f32]) {
    let (to_blocks, to_rest) = to.as_chunks_mut::<LANES>();
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let factors = _mm256_set1_ps(factor);
    for (to, x) in to_blocks.iter_mut().zip(x_blocks) {
        store(to, _mm256_mul_ps(factors, load(x)));
    }
    for (to, x) in to_rest.iter_mut().zip(x_rest) {
        *to = factor * x;
    }
}
