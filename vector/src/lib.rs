//! Runs a loop with the widest vector instructions that the processor has.
//!
//! What a loop computes does not depend on them: IEEE 754 fixes each operation, fused
//! multiply-add ([`f32::mul_add`]) included, and the compiler keeps the order of sums that
//! the loop is written in. Without such instructions the same bits take longer.

/// Calls `work`, compiled for AVX2 and FMA where the processor has both. Whatever `work`
/// calls has to be inlined into it to profit.
#[inline]
pub fn widest<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        #[allow(unsafe_code)]
        // SAFETY: the processor has the features that the function is compiled for.
        return unsafe { with_avx2_and_fma(work) };
    }
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2_and_fma<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(test)]
mod tests {
    use super::widest;

    fn chain(x: &[f32], y: &[f32]) -> f32 {
        x.iter().zip(y).fold(0.0, |total, (x, y)| x.mul_add(*y, total))
    }

    #[test]
    fn the_bits_are_the_same() {
        let x: Vec<f32> = (1..100_u8).map(|i| 1.0 / f32::from(i)).collect();
        let y: Vec<f32> = (1..100_u8).map(|i| f32::from(i).sin()).collect();
        assert_eq!(widest(|| chain(&x, &y)).to_bits(), chain(&x, &y).to_bits());
    }
}
