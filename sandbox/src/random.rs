//! Random numbers for compute code: a stream per unit and round.
//!
//! The numbers come from the job's seed and are public: they start models and
//! shuffle, they protect nothing. A stream is `ChaCha8` with the seed as its key, the
//! unit's own number as its nonce and a range of counters for each round, so it is the
//! same on whichever worker a unit runs, and whichever other units there are.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Which stream: calls that are not a unit's update have names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamId {
    /// `describe` and `init`.
    Setup,
    /// `score`.
    Score,
    /// `update`.
    Unit {
        /// Round of the job.
        round: u32,
        /// [`crate::UnitRows::stream`].
        stream: u64,
    },
}

/// Rounds at or above this are taken by calls that belong to no unit.
pub(crate) const MAX_ROUNDS: u32 = u32::MAX - 1;

/// Words of 32 bits that each round has of a stream: more than any fuel buys.
const ROUND_WORDS: u128 = 1 << 36;

impl StreamId {
    /// Counter of the first word, and nonce.
    fn place(self) -> (u128, u64) {
        let (round, stream) = match self {
            Self::Setup => (u32::MAX, 0),
            Self::Score => (u32::MAX, 1),
            Self::Unit { round, stream } => (round, stream),
        };
        (u128::from(round) * ROUND_WORDS, stream)
    }
}

/// A stream, which costs nothing until it is read.
pub(crate) struct Stream {
    seed: [u8; 32],
    id: StreamId,
    generator: Option<Box<ChaCha8Rng>>,
}

impl Stream {
    pub(crate) fn new(seed: [u8; 32], id: StreamId) -> Self {
        Self { seed, id, generator: None }
    }

    fn generator(&mut self) -> &mut ChaCha8Rng {
        self.generator.get_or_insert_with(|| {
            let mut generator = Box::new(ChaCha8Rng::from_seed(self.seed));
            let (word, stream) = self.id.place();
            generator.set_stream(stream);
            generator.set_word_pos(word);
            generator
        })
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.generator().next_u64()
    }

    /// Fills with uniform numbers in [low, high).
    pub(crate) fn uniform(&mut self, values: &mut [f32], low: f32, high: f32) {
        for value in values {
            *value = low + (high - low) * self.unit_interval();
        }
    }

    /// Fills with normal numbers: Box-Muller, both of each pair, in double precision.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn normal(&mut self, values: &mut [f32], mean: f32, deviation: f32) {
        for pair in values.chunks_mut(2) {
            // In (0, 1], so that the logarithm is finite.
            let first = 1.0 - self.unit_interval_f64();
            let angle = core::f64::consts::TAU * self.unit_interval_f64();
            let radius = libm::sqrt(-2.0 * libm::log(first));
            let normals = [radius * libm::cos(angle), radius * libm::sin(angle)];
            for (value, normal) in pair.iter_mut().zip(normals) {
                *value = mean + deviation * normal as f32;
            }
        }
    }

    fn unit_interval(&mut self) -> f32 {
        (self.generator().next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    fn unit_interval_f64(&mut self) -> f64 {
        (self.generator().next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(id: StreamId) -> u64 {
        Stream::new([7; 32], id).next()
    }

    #[test]
    fn streams_differ_by_round_unit_and_use() {
        let ids = [
            StreamId::Setup,
            StreamId::Score,
            StreamId::Unit { round: 0, stream: 1 },
            StreamId::Unit { round: 1, stream: 0 },
            StreamId::Unit { round: 0, stream: 0 },
            StreamId::Unit { round: MAX_ROUNDS, stream: u64::MAX },
        ];
        let mut numbers: Vec<u64> = ids.map(first).to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ids.len());
        assert_eq!(first(ids[2]), first(ids[2]));
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut stream = Stream::new([1; 32], StreamId::Setup);
        let mut values = vec![0.0; 20_001];
        stream.uniform(&mut values, -1.0, 3.0);
        assert!(values.iter().all(|value| (-1.0..3.0).contains(value)));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 1.0).abs() < 0.05, "mean {mean}");

        stream.normal(&mut values, 2.0, 3.0);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let square: f32 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (square / values.len() as f32).sqrt();
        assert!((mean - 2.0).abs() < 0.1, "mean {mean}");
        assert!((deviation - 3.0).abs() < 0.1, "deviation {deviation}");
    }
}
