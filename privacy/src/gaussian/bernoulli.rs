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
///
/// The general case below for a fraction of 1, but with one uniform real u for the
/// whole run: the coin of 1/k, for k = 2, 3, ..., comes up when u < 1/k!. The answer
/// is whether an odd number of them does.
#[inline]
pub(super) fn bernoulli_exp_one<R: Rng + ?Sized>(rng: &mut R) -> bool {
    // u = (bits + rest) / 2^32
    let bits = rng.next_u32();
    let [half, sixth, part, least, ..] = THRESHOLDS;
    // All but 1 of 120 end here, with three comparisons and no branch that cannot be foreseen.
    if bits > least && bits != part && bits != sixth {
        return (bits < half) ^ (bits < sixth) ^ (bits < part);
    }
    bernoulli_exp_one_small(bits, rng)
}

/// The same where four coins or more may come up.
#[cold]
fn bernoulli_exp_one_small<R: Rng + ?Sized>(bits: u32, rng: &mut R) -> bool {
    let below = THRESHOLDS.iter().filter(|threshold| bits < **threshold).count();
    // The first threshold is an integer, so to equal it decides.
    if bits > 0 && !THRESHOLDS[1..].contains(&bits) {
        return below % 2 == 1;
    }
    bernoulli_exp_one_undecided(bits, rng)
}

/// `2^32 / k!` for k from 2 to 12, rounded down. Where it is not an integer, the
/// 32 bits that equal it do not decide whether u < 1/k!. From 13! on it is 0.
const THRESHOLDS: [u32; 11] = thresholds();

const fn thresholds() -> [u32; 11] {
    let mut thresholds = [1 << 31; 11];
    let mut k = 3;
    let mut index = 1;
    while index < thresholds.len() {
        // Rounding down twice is rounding down once.
        thresholds[index] = thresholds[index - 1] / k;
        k += 1;
        index += 1;
    }
    thresholds
}

/// The same where 32 bits of u were not enough, 11 of 2^32 cases: finds the first
/// coin that they do not decide and goes on from there.
#[cold]
fn bernoulli_exp_one_undecided<R: Rng + ?Sized>(bits: u32, rng: &mut R) -> bool {
    let unit = 1_u128 << 32;
    let bits = u128::from(bits);
    // u = (bits + rest) / 2^32 is below 1/k! for certain while (bits + 1) * k! <= 2^32.
    let mut k = 2_u64;
    let mut factorial = 2;
    while (bits + 1) * factorial <= unit {
        k += 1;
        factorial *= u128::from(k);
    }
    // Coin k comes up when rest < (2^32 - bits * k!) / k!.
    if bernoulli(unit - bits * factorial, factorial, rng) {
        k += 1;
        // If bits are 0, u is now uniform below 1/(k-1)!, so that each further coin
        // is one of 1/k. Otherwise bits is 2^32 / (k-1)! rounded down, at least 8, and
        // k at least 4: u is far above 1/k!, and the next coin fails.
        while bits == 0 && one_in(k, rng) {
            k += 1;
        }
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
                assert!(bernoulli(denominator, denominator, &mut Script::new(&[word])));
            }
        }
    }

    #[test]
    fn exp_of_minus_one_is_the_parity_of_a_run() {
        for (k, threshold) in (2_u64..).zip(THRESHOLDS) {
            assert_eq!(u64::from(threshold), (1 << 32) / (2..=k).product::<u64>());
        }
        for (bits, expected) in [
            // Not below 1/2: no coin comes up. Below it, not below 1/6: one. And so on.
            (u32::MAX, false),
            (1 << 31, false),
            ((1 << 31) - 1, true),
            (715_827_883, true),
            (715_827_881, false),
            // Below 1/11!, not below 1/12!: ten coins. Below that: eleven.
            (9, false),
            (7, true),
            (1, true),
        ] {
            let mut rng = Script::new(&[bits]);
            assert_eq!(bernoulli_exp_one(&mut rng), expected, "{bits}");
            rng.assert_used_up();
        }
    }

    #[test]
    fn an_undecided_run_reads_on() {
        // 2^32 / 6 = 715,827,882 + 2/3: the coin of 1/6 comes up for a rest below 2/3.
        let two_thirds = 0xaaaa_aaaa;
        for (words, expected) in [
            (vec![715_827_882, two_thirds - 1], false),
            (vec![715_827_882, two_thirds + 1], true),
            (vec![715_827_882, two_thirds, two_thirds - 1], false),
            // 2^32 / 12! = 8.966...: the coin of 1/12! for a rest below 0.966...
            (vec![8, 0xf000_0000], true),
            (vec![8, 0xffff_0000], false),
            // Zero is below 1/12! for certain; 2^32 / 13! = 0.689..., then 1/14, 1/15.
            (vec![0, 0xc000_0000], true),
            (vec![0, 0x8000_0000, u32::MAX], false),
            (vec![0, 0x8000_0000, 0, u32::MAX], true),
        ] {
            let mut rng = Script::new(&words);
            assert_eq!(bernoulli_exp_one(&mut rng), expected, "{words:?}");
            rng.assert_used_up();
        }
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
        for (numerator, denominator) in
            [(1, 1), (1, 3), (7, 9), (5, 2), (4, 1), (1 << 64, (1 << 65) - 1), (1, 1_000_000)]
        {
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
