//! Coins whose probabilities are rational, or exponentials of rationals.

use rand_core::Rng;

/// True with probability `numerator / denominator`, exactly.
///
/// `numerator <= denominator`, `0 < denominator < 2^95`.
///
/// Reads a uniform real from the interval 0 to 1, 32 bits at a time, until it is
/// certain on which side of the fraction it lies: the bits r say that it is
/// (r + rest) / 2^32, and it is below the fraction if and only if the rest is
/// below (numerator * 2^32 - r * denominator) / denominator.
#[inline]
pub(super) fn bernoulli<R: Rng + ?Sized>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
    debug_assert!(numerator <= denominator && denominator > 0 && denominator >> 95 == 0);
    let mut numerator = numerator;
    loop {
        let scaled = numerator << 32;
        let low = u128::from(rng.next_u32()) * denominator;
        if scaled <= low {
            return false;
        }
        if scaled >= low + denominator {
            return true;
        }
        numerator = scaled - low;
    }
}

/// True with probability `1 / k`, `k` at least 1.
#[inline]
fn one_in<R: Rng + ?Sized>(k: u64, rng: &mut R) -> bool {
    bernoulli(1, u128::from(k), rng)
}

/// True with probability `exp(-numerator / denominator)`, exactly.
///
/// `0 < denominator < 2^95`.
#[inline]
pub(super) fn bernoulli_exp<R: Rng + ?Sized>(
    numerator: u128,
    denominator: u128,
    rng: &mut R,
) -> bool {
    // exp(-n/d) = exp(-1)^floor(n/d) * exp(-(n mod d)/d)
    let mut fraction = numerator;
    while fraction >= denominator {
        if !bernoulli_exp_one(rng) {
            return false;
        }
        fraction -= denominator;
    }
    bernoulli_exp_fraction(fraction, denominator, rng)
}

/// True with probability `exp(-1)`, exactly.
#[inline]
pub(super) fn bernoulli_exp_one<R: Rng + ?Sized>(rng: &mut R) -> bool {
    // The general case below with the fraction 1, of which the first coin is
    // certain: count the coins of 1/k that come up, from k = 2 on.
    let mut k = 2;
    while one_in(k, rng) {
        k += 1;
    }
    k % 2 == 1
}

/// True with probability `exp(-numerator / denominator)` for a fraction x of at most 1.
///
/// Throws coins of x, x/2, x/3, ... until one fails. The first k all come up with
/// probability x^k / k!, so the first failure is at an odd place with probability
/// 1 - x + x^2/2 - x^3/6 ... = exp(-x) (von Neumann 1951).
#[inline]
fn bernoulli_exp_fraction<R: Rng + ?Sized>(
    numerator: u128,
    denominator: u128,
    rng: &mut R,
) -> bool {
    let mut k = 1;
    // A coin of x/k is a coin of x and a coin of 1/k: no product to overflow.
    while bernoulli(numerator, denominator, rng) && (k == 1 || one_in(k, rng)) {
        k += 1;
    }
    k % 2 == 1
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::super::tests::Script;
    use super::*;

    #[test]
    fn a_coin_reads_bits_until_it_knows() {
        // 1/3 of 2^32 is 0x5555_5555 and a third.
        for (words, expected) in [
            (vec![0x5555_5554], true),
            (vec![0x5555_5556], false),
            // Undecided: the rest has to be below one third again.
            (vec![0x5555_5555, 0], true),
            (vec![0x5555_5555, 0x5555_5556], false),
            (vec![0x5555_5555, 0x5555_5555, 0x5555_5555, 5], true),
        ] {
            let mut rng = Script::new(&words);
            assert_eq!(bernoulli(1, 3, &mut rng), expected);
            rng.assert_used_up();
        }
    }

    #[test]
    fn certain_coins_are_certain() {
        for word in [0, 1, u32::MAX] {
            let largest = (1 << 95) - 1;
            for denominator in [1, 2, 1 << 65, largest] {
                assert!(!bernoulli(0, denominator, &mut Script::new(&[word])));
                assert!(bernoulli(
                    denominator,
                    denominator,
                    &mut Script::new(&[word])
                ));
            }
        }
    }

    #[test]
    fn exp_of_minus_one_is_the_parity_of_a_run() {
        // Half fails at once: k stays 2, false.
        let half = 1 << 31;
        assert!(!bernoulli_exp_one(&mut Script::new(&[half])));
        // Half comes up, a third fails: k = 3, true.
        assert!(bernoulli_exp_one(&mut Script::new(&[half - 1, half])));
        // Half and a third come up, a quarter fails: k = 4, false.
        assert!(!bernoulli_exp_one(&mut Script::new(&[0, 0, half])));
    }

    #[test]
    fn exp_of_zero_is_certain() {
        assert!(bernoulli_exp(0, 7, &mut Script::new(&[0])));
        assert!(bernoulli_exp(0, 7, &mut Script::new(&[u32::MAX])));
    }

    /// 400,000 throws of each coin. Each count is within 4.5 standard deviations,
    /// which a right coin misses once in 147,000; the seed is fixed.
    #[test]
    fn exponential_coins_have_their_probabilities() {
        let mut rng = ChaCha12Rng::from_seed([3; 32]);
        let throws = 400_000_u32;
        for (numerator, denominator) in [
            (1, 1),
            (1, 3),
            (7, 9),
            (5, 2),
            (4, 1),
            (1 << 64, (1 << 65) - 1),
            (1, 1_000_000),
        ] {
            let mut count = 0_u32;
            for _ in 0..throws {
                count += u32::from(bernoulli_exp(numerator, denominator, &mut rng));
            }
            let p = (-(numerator as f64) / denominator as f64).exp();
            let n = f64::from(throws);
            let deviation = (f64::from(count) - n * p) / (n * p * (1.0 - p)).sqrt();
            assert!(
                deviation.abs() < 4.5,
                "exp(-{numerator}/{denominator}): {count} of {throws}, {deviation} sd"
            );
        }
    }
}
