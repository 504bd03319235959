//! Known answers, goodness of fit and moments of the samplers.

use core::convert::Infallible;

use rand_chacha::ChaCha12Rng;
use rand_core::{SeedableRng, TryRng};

use super::{uniform::uniform_below, *};

/// A generator that reads its words from a script and panics at its end.
pub(super) struct Script {
    words: Vec<u32>,
}

impl Script {
    pub(super) fn new(words: &[u32]) -> Self {
        Self { words: words.iter().rev().copied().collect() }
    }

    pub(super) fn assert_used_up(&self) {
        assert!(self.words.is_empty(), "left over: {:?}", self.words);
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.words.pop().expect("the script has another word"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.try_next_u32()?);
        Ok(u64::from(self.try_next_u32()?) << 32 | low)
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        unreachable!("the samplers read words")
    }
}

/// `SplitMix64`, whose upper half serves 32-bit draws: small enough to write again in
/// the script that computed the known answers.
struct SplitMix(u64);

impl TryRng for SplitMix {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.try_next_u64()? >> 32).expect("32 bits are left"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        unreachable!("the samplers read words")
    }
}

#[test]
fn uniform_redraws_the_surplus() {
    // 2^64 mod 3 is 1: of all draws only 0 is surplus.
    let mut rng = Script::new(&[0, 0, 1, 0]);
    assert_eq!(uniform_below(3, &mut rng), 0);
    rng.assert_used_up();
    // A power of two never redraws.
    assert_eq!(uniform_below(1 << 32, &mut Script::new(&[0, 0])), 0);
    assert_eq!(
        uniform_below(1 << 32, &mut Script::new(&[5, 7])),
        7,
        "the upper half of 2^32 * draw"
    );
    assert_eq!(uniform_below(1, &mut Script::new(&[9, 9])), 0);
    assert_eq!(uniform_below(10, &mut Script::new(&[!0, !0])), 9);
}

#[test]
fn laplace_follows_its_script() {
    let laplace = DiscreteLaplace::new(10).unwrap();
    let half = 1 << 31;
    // Uniform: upper word of 0.75 gives 7. Coin of 7/10 fails: accepted.
    // Quotient: 0.4 is an exp(-1) that comes up, 0.5 one that does not.
    // Sign bit set: -(1 * 10 + 7).
    let mut rng = Script::new(&[0, 0xc000_0000, !0, 0x6666_6666, half, half]);
    assert_eq!(laplace.sample(&mut rng), -17);
    rng.assert_used_up();
    // A negative zero is redrawn; a positive one is not.
    let zero = [0, 0x0100_0000, !0, half];
    let mut rng = Script::new(&[&zero[..], &[half], &zero[..], &[0]].concat());
    assert_eq!(laplace.sample(&mut rng), 0);
    rng.assert_used_up();
}

/// The same draws through an independent implementation: Python, `Fraction`s and
/// a coin that keeps the interval of the uniform real as two fractions.
#[test]
fn known_answers() {
    for (sigma, expected) in KNOWN {
        let gaussian = DiscreteGaussian::new(sigma).unwrap();
        let mut rng = SplitMix(sigma);
        let found: [i64; 12] = core::array::from_fn(|_| gaussian.sample(&mut rng));
        assert_eq!(found, expected, "sigma {sigma}");
    }
}

const KNOWN: [(u64, [i64; 12]); 5] = [
    (1, [1, -2, 0, -2, 1, 0, 0, -1, -1, 0, -1, 0]),
    (16, [26, -1, -19, 25, -58, 7, 8, -17, 12, 8, -32, 12]),
    (1_000, [234, 458, 942, 1_468, -561, 946, 834, -769, -557, 590, -128, 1_133]),
    (
        65_537,
        [
            25_727, -25_333, 17_275, 5_376, 36_807, -64_777, 16_994, 16_973, 132_470, 76_824,
            38_555, -175_737,
        ],
    ),
    (
        4_294_967_296,
        [
            -3_291_240_986,
            2_112_123_210,
            944_319_105,
            -1_098_456_998,
            -907_631_813,
            -3_363_631_101,
            1_685_900_246,
            7_171_635_548,
            -2_952_239_293,
            -5_378_268_940,
            -2_852_091_939,
            406_618_679,
        ],
    ),
];

#[test]
fn sigma_out_of_range_is_refused() {
    for sigma in [0, MAX_SIGMA_STEPS + 1, u64::MAX] {
        let refused = Error::SigmaOutOfRange { found: sigma, max: MAX_SIGMA_STEPS };
        assert_eq!(DiscreteGaussian::new(sigma), Err(refused.clone()));
        assert_eq!(DiscreteLaplace::new(sigma), Err(refused));
    }
    assert!(DiscreteGaussian::new(1).is_ok());
    assert!(DiscreteGaussian::new(MAX_SIGMA_STEPS).is_ok());
}

/// How often a test below would fail for a sampler that is right, were the seed
/// not fixed.
const NORMAL_QUANTILE_OF_A_MILLIONTH: f64 = 4.753_424;

/// Pearson's statistic of `samples` against integer weights, pooled from the left
/// into bins of at least a hundredth of them, must stay below the quantile that a right
/// sampler exceeds once in a million (Wilson and Hilferty's approximation).
fn assert_fits(name: &str, samples: &[i64], reach: i64, weight: impl Fn(f64) -> f64) {
    let support: Vec<f64> = (-reach..=reach).map(|x| weight(x as f64)).collect();
    let total: f64 = support.iter().sum();
    let mut counts = vec![0_u32; support.len()];
    for &sample in samples {
        let slot = usize::try_from((sample + reach).clamp(0, 2 * reach)).unwrap();
        counts[slot] += 1;
    }
    let (mut statistic, mut bins) = (0.0, 0.0);
    let (mut expected, mut count) = (0.0, 0.0);
    let least = samples.len() as f64 / 100.0;
    let mut expected_left = samples.len() as f64;
    for (weight, slot) in support.iter().zip(counts) {
        let here = weight / total * samples.len() as f64;
        expected += here;
        expected_left -= here;
        count += f64::from(slot);
        if expected >= least && expected_left >= least {
            statistic += (count - expected).powi(2) / expected;
            bins += 1.0;
            (expected, count) = (0.0, 0.0);
        }
    }
    statistic += (count - expected).powi(2) / expected;
    // The last bin is not among them: one degree of freedom less than bins.
    let freedom: f64 = bins;
    let spread = 2.0 / (9.0 * freedom);
    let limit = freedom * (1.0 - spread + NORMAL_QUANTILE_OF_A_MILLIONTH * spread.sqrt()).powi(3);
    assert!(freedom >= 2.0, "{name}: too few bins");
    assert!(
        statistic < limit,
        "{name}: chi-square {statistic:.1} with {freedom} degrees of freedom, limit {limit:.1}"
    );
}

#[test]
fn gaussian_fits() {
    for (sigma, reach) in [(1, 9), (2, 18), (7, 60), (1000, 8000)] {
        let gaussian = DiscreteGaussian::new(sigma).unwrap();
        let mut rng = ChaCha12Rng::from_seed([7; 32]);
        let samples: Vec<i64> = (0..200_000).map(|_| gaussian.sample(&mut rng)).collect();
        let variance = (sigma * sigma) as f64;
        assert_fits(&format!("sigma {sigma}"), &samples, reach, |x| {
            (-x * x / (2.0 * variance)).exp()
        });
    }
}

#[test]
fn laplace_fits() {
    for (scale, reach) in [(1, 40), (5, 200), (300, 12_000)] {
        let laplace = DiscreteLaplace::new(scale).unwrap();
        let mut rng = ChaCha12Rng::from_seed([8; 32]);
        let samples: Vec<i64> = (0..200_000).map(|_| laplace.sample(&mut rng)).collect();
        assert_fits(&format!("scale {scale}"), &samples, reach, |x| {
            (-x.abs() / scale as f64).exp()
        });
    }
}

/// The test of fit is alive: it tells a Gaussian from one that is 2% wider.
#[test]
#[should_panic(expected = "chi-square")]
fn a_wrong_sigma_does_not_fit() {
    let gaussian = DiscreteGaussian::new(1000).unwrap();
    let mut rng = ChaCha12Rng::from_seed([7; 32]);
    let samples: Vec<i64> = (0..200_000).map(|_| gaussian.sample(&mut rng)).collect();
    assert_fits("sigma 1020", &samples, 8000, |x| (-x * x / (2.0 * 1020.0 * 1020.0)).exp());
}

/// Mean, variance and kurtosis within 4.75 standard errors, up to the largest sigma.
#[test]
fn gaussian_moments() {
    let count = 200_000_u32;
    let n = f64::from(count);
    for sigma in [16, 65_536, MAX_SIGMA_STEPS - 1, MAX_SIGMA_STEPS] {
        let gaussian = DiscreteGaussian::new(sigma).unwrap();
        let mut rng = ChaCha12Rng::from_seed([9; 32]);
        let (mut first, mut second, mut fourth) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            let z = gaussian.sample(&mut rng) as f64 / sigma as f64;
            first += z;
            second += z * z;
            fourth += z.powi(4);
        }
        for (name, found, expected, variance) in [
            ("mean", first / n, 0.0, 1.0),
            ("variance", second / n, 1.0, 2.0),
            ("fourth moment", fourth / n, 3.0, 96.0),
        ] {
            let deviation = (found - expected) / (variance / n).sqrt();
            assert!(
                deviation.abs() < NORMAL_QUANTILE_OF_A_MILLIONTH,
                "sigma {sigma}: {name} {found}, {deviation} standard errors from {expected}"
            );
        }
    }
}
