//! Compiles a function twice: for processors with AVX2 and FMA, and for any.
//!
//! What a function computes does not depend on it: IEEE 754 fixes each operation, fused
//! multiply-add ([`f32::mul_add`]) included, and the compiler keeps the order of sums that
//! the function is written in. Without such instructions the same bits take longer.
//!
//! ```
//! cloister_vector::wide! {
//!     /// The sum of products, from the first to the last.
//!     pub fn chain(x: &[f32], y: &[f32]) -> f32 {
//!         x.iter().zip(y).fold(0.0, |total, (x, y)| x.mul_add(*y, total))
//!     }
//! }
//!
//! assert_eq!(chain(&[1.0, 2.0], &[3.0, 4.0]), 11.0);
//! ```

mod products;

pub use products::{LANES, add_whole_products, in_blocks};

/// Defines functions that use the widest instructions the processor has. What they call has to
/// be marked `#[inline(always)]` to profit.
#[macro_export]
macro_rules! wide {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?
        $body:block
    )*) => { $(
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($argument: $type),*) $(-> $result)? {
                    portable($($argument),*)
                }

                if ::std::is_x86_feature_detected!("avx2")
                    && ::std::is_x86_feature_detected!("fma")
                {
                    // SAFETY: the processor has the features that the function is compiled for.
                    return unsafe { wide($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    )* };
}

#[cfg(test)]
mod tests {
    fn plain(x: &[f32], y: &[f32]) -> f32 {
        x.iter().zip(y).fold(0.0, |total, (x, y)| x.mul_add(*y, total))
    }

    #[test]
    #[allow(unsafe_code, reason = "in this crate the macro is not somebody else's")]
    fn the_bits_are_the_same() {
        wide! {
            fn chain(x: &[f32], y: &[f32]) -> f32 {
                plain(x, y)
            }
        }
        let x: Vec<f32> = (1..100_u8).map(|i| 1.0 / f32::from(i)).collect();
        let y: Vec<f32> = (1..100_u8).map(|i| f32::from(i).sin()).collect();
        assert_eq!(chain(&x, &y).to_bits(), plain(&x, &y).to_bits());
    }
}
