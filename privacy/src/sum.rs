//! From the sum of many updates to a release: the only exit is through noise.
//!
//! [`IntegerSum`] can be added to and merged, in any order with the same result.
//! Reading it needs [`IntegerSum::noise`], which consumes it: a sum that
//! has been released cannot be released again with other noise.

use rand_core::CryptoRng;

use crate::{DiscreteGaussian, Error, Gate, Quantised};

/// The most units in one sum. Each moves a coordinate by at most
/// [`MAX_STEPS`](crate::gate::MAX_STEPS) = 2^24, so a sum stays within 2^56, and
/// with noise, also within 2^56, it fits 64 bits.
pub const MAX_UNITS: u64 = 1 << 32;

/// The exact sum of quantised updates, before noise.
///
/// It cannot be read, printed or serialised (but see
/// [the feature](crate::gate#the-feature-visible-sum)):
///
#[cfg_attr(not(feature = "visible-sum"), doc = "```compile_fail")]
#[cfg_attr(feature = "visible-sum", doc = "```")]
/// let sum = cloister_privacy::Gate::new(1.0, 1024, 2)?.sum();
/// println!("{:?}", sum.values());
/// # Ok::<(), cloister_privacy::Error>(())
/// ```
#[cfg_attr(test, derive(PartialEq))]
pub struct IntegerSum {
    gate: Gate,
    units: u64,
    values: Vec<i64>,
}

impl IntegerSum {
    pub(crate) fn empty(gate: Gate) -> Self {
        Self { gate, units: 0, values: vec![0; gate.dimension()] }
    }

    /// The number of coordinates.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.gate.dimension()
    }

    /// The gate whose updates this sums.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Adds one unit's update.
    ///
    /// # Errors
    ///
    /// [`Error::GateMismatch`] if another gate made it, [`Error::TooManyUnits`]
    /// above [`MAX_UNITS`]. The sum is then as it was. Neither depends on data: the
    /// number of slots is public.
    pub fn add(&mut self, update: &Quantised) -> Result<(), Error> {
        self.admit(&update.gate, 1)?;
        for (sum, &value) in self.values.iter_mut().zip(&update.values) {
            // Within 2^56 (see MAX_UNITS), so this never wraps; a check for each
            // coordinate would keep the loop from being vectorised.
            *sum = sum.wrapping_add(i64::from(value));
        }
        Ok(())
    }

    /// Adds the sum of other units.
    ///
    /// # Errors
    ///
    /// As for [`add`](Self::add).
    pub fn merge(&mut self, other: Self) -> Result<(), Error> {
        self.admit(&other.gate, other.units)?;
        for (sum, value) in self.values.iter_mut().zip(other.values) {
            *sum += value;
        }
        Ok(())
    }

    /// Adds numbers whose norm was checked, of so many units.
    pub(crate) fn add_numbers(
        &mut self,
        units: u32,
        numbers: impl Iterator<Item = i32>,
    ) -> Result<(), Error> {
        let gate = self.gate;
        self.admit(&gate, units.into())?;
        for (sum, value) in self.values.iter_mut().zip(numbers) {
            *sum = sum.wrapping_add(i64::from(value));
        }
        Ok(())
    }

    fn admit(&mut self, gate: &Gate, units: u64) -> Result<(), Error> {
        if *gate != self.gate {
            return Err(Error::GateMismatch);
        }
        // Both are at most 2^32.
        let found = self.units + units;
        if found > MAX_UNITS {
            return Err(Error::TooManyUnits { found, max: MAX_UNITS });
        }
        self.units = found;
        Ok(())
    }

    /// Adds an independent sample to each coordinate and gives up the sum.
    ///
    /// What this costs the people in the sum is [`Release::cost`](crate::Release::cost).
    pub fn noise<R: CryptoRng + ?Sized>(self, noise: &DiscreteGaussian, rng: &mut R) -> NoisySum {
        let mut values = self.values;
        for value in &mut values {
            // 2^56 each at most.
            *value += noise.sample(rng);
        }
        NoisySum { gate: self.gate, values }
    }
}

#[cfg(feature = "visible-sum")]
impl IntegerSum {
    /// **For tests only**: the sum before noise, in grid steps.
    #[must_use]
    pub fn values(&self) -> &[i64] {
        &self.values
    }
}

/// A sum with noise: what may leave.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisySum {
    gate: Gate,
    values: Vec<i64>,
}

impl NoisySum {
    /// A noised sum as somebody else released it, for recomputing what follows.
    ///
    /// # Errors
    ///
    /// [`Error::WrongLength`] unless there is a value for each of the gate's dimensions.
    pub fn from_released(gate: Gate, values: Vec<i64>) -> Result<Self, Error> {
        if values.len() != gate.dimension() {
            return Err(Error::WrongLength { expected: gate.dimension(), found: values.len() });
        }
        Ok(Self { gate, values })
    }

    /// The gate of the updates in this sum.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The sum, in grid steps.
    #[must_use]
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    /// The sum in the update's units, over a *public* divisor: the number of
    /// declared slots, or q times it. Never a number that was counted in the data.
    ///
    /// Each coordinate is value * clip / steps / divisor in doubles, in this
    /// order, so that a verifier gets the same bits.
    ///
    /// # Errors
    ///
    /// [`Error::ZeroDivisor`].
    pub fn mean(&self, divisor: u64) -> Result<Vec<f64>, Error> {
        if divisor == 0 {
            return Err(Error::ZeroDivisor);
        }
        let (clip, steps, divisor) = (self.gate.clip(), self.gate.steps() as f64, divisor as f64);
        Ok(self.values.iter().map(|&value| value as f64 * clip / steps / divisor).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn gate(dimension: usize) -> Gate {
        Gate::new(0.35, 4096, dimension).unwrap()
    }

    fn summed<'a>(gate: &Gate, updates: impl IntoIterator<Item = &'a Vec<f32>>) -> IntegerSum {
        let mut sum = gate.sum();
        for update in updates {
            sum.add(&gate.quantise(update)).unwrap();
        }
        sum
    }

    #[test]
    fn sums_are_exact() {
        let gate = Gate::new(1.0, 1024, 2).unwrap();
        let sum = summed(&gate, &[vec![0.5, 0.25], vec![-1.0, 0.0], vec![f32::NAN; 2]]);
        assert_eq!(sum.values, [-512, 256]);
        assert_eq!(sum.units, 3);
        assert_eq!(sum.dimension(), 2);
    }

    #[test]
    fn gates_do_not_mix() {
        let mut sum = gate(3).sum();
        for other in [
            Gate::new(0.35, 4096, 4).unwrap(),
            Gate::new(0.35, 4097, 3).unwrap(),
            Gate::new(0.36, 4096, 3).unwrap(),
        ] {
            let update = other.quantise(&vec![1.0; other.dimension()]);
            assert_eq!(sum.add(&update), Err(Error::GateMismatch));
            assert_eq!(sum.merge(other.sum()), Err(Error::GateMismatch));
        }
        assert_eq!((sum.units, sum.values), (0, vec![0; 3]));
    }

    #[test]
    fn a_sum_takes_no_more_units_than_it_is_proven_for() {
        let gate = gate(1);
        let mut full = gate.sum();
        full.units = MAX_UNITS - 1;
        full.add(&gate.quantise(&[1.0])).unwrap();
        let refused = Err(Error::TooManyUnits { found: MAX_UNITS + 1, max: MAX_UNITS });
        assert_eq!(full.add(&gate.quantise(&[1.0])), refused);
        assert_eq!(full.values, [4096]);
        let mut one = summed(&gate, &[vec![1.0]]);
        assert_eq!(one.merge(full), refused);
    }

    #[test]
    fn the_largest_sum_with_noise_fits() {
        let gate = Gate::new(1.0, crate::gate::MAX_STEPS, 1).unwrap();
        let mut sum = gate.sum();
        sum.values = vec![1 << 56];
        let noise = DiscreteGaussian::new(crate::gaussian::MAX_SIGMA_STEPS).unwrap();
        let released = sum.noise(&noise, &mut ChaCha12Rng::from_seed([1; 32]));
        assert!((released.values()[0] - (1 << 56)).abs() < 1 << 38);
    }

    #[test]
    fn noise_reaches_every_coordinate_independently() {
        let gate = gate(1000);
        let noise = DiscreteGaussian::new(1_000_000).unwrap();
        let mut rng = ChaCha12Rng::from_seed([2; 32]);
        let released = gate.sum().noise(&noise, &mut rng);
        let mut seen = released.values().to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 990, "{} distinct of 1000", seen.len());
        assert!(seen[0] < -1_500_000 && seen[seen.len() - 1] > 1_500_000);
        // The next release with the same generator is another one.
        let again = gate.sum().noise(&noise, &mut rng);
        assert_ne!(released, again);
    }

    #[test]
    fn the_mean_is_in_the_units_of_the_update() {
        let gate = Gate::new(0.5, 1000, 3).unwrap();
        let sum = NoisySum::from_released(gate, vec![2000, -1, 0]).unwrap();
        let mean = sum.mean(4).unwrap();
        assert_eq!(mean, [0.25, -0.5 / 1000.0 / 4.0, 0.0]);
        assert_eq!(sum.mean(0), Err(Error::ZeroDivisor));
    }

    #[test]
    fn a_release_of_another_length_is_refused() {
        assert_eq!(
            NoisySum::from_released(gate(3), vec![0; 4]),
            Err(Error::WrongLength { expected: 3, found: 4 })
        );
    }

    fn updates() -> impl Strategy<Value = Vec<Vec<f32>>> {
        let coordinate = prop_oneof![
            8 => -1.0_f32..1.0,
            1 => any::<u32>().prop_map(f32::from_bits),
        ];
        prop::collection::vec(prop::collection::vec(coordinate, 5), 1..12)
    }

    proptest! {
        /// The sensitivity that is charged for: one unit more or less.
        #[test]
        fn one_unit_moves_the_sum_by_at_most_the_steps(
            updates in updates(), which in any::<prop::sample::Index>(),
        ) {
            let gate = gate(5);
            let with = summed(&gate, &updates);
            let mut others = updates.clone();
            others.remove(which.index(updates.len()));
            let without = summed(&gate, &others);
            let moved: i128 = with.values.iter().zip(&without.values)
                .map(|(a, b)| i128::from(a - b).pow(2))
                .sum();
            prop_assert!(moved <= i128::from(gate.steps()).pow(2));
        }

        #[test]
        fn order_and_grouping_do_not_matter(
            updates in updates(), split in any::<prop::sample::Index>(),
        ) {
            let gate = gate(5);
            let forward = summed(&gate, &updates);
            let backward = summed(&gate, updates.iter().rev());
            prop_assert_eq!(&forward.values, &backward.values);
            let (left, right) = updates.split_at(split.index(updates.len()));
            let mut merged = summed(&gate, right);
            merged.merge(summed(&gate, left)).unwrap();
            prop_assert_eq!(&forward.values, &merged.values);
            prop_assert_eq!(forward.units, merged.units);
        }

        #[test]
        fn noise_is_added_to_the_sum_and_nothing_else(updates in updates(), seed: [u8; 32]) {
            let gate = gate(5);
            let noise = DiscreteGaussian::new(50).unwrap();
            let sum = summed(&gate, &updates);
            let exact = sum.values.clone();
            let noisy = sum.noise(&noise, &mut ChaCha12Rng::from_seed(seed));
            let mut rng = ChaCha12Rng::from_seed(seed);
            for (value, exact) in noisy.values().iter().zip(exact) {
                prop_assert_eq!(value - exact, noise.sample(&mut rng));
            }
        }
    }
}
