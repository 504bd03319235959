//! One unit's update, made to fit: clipped, put on a grid, checked in integers.
//!
//! The training code is an adversary, so the gate takes whatever it is given and
//! always answers with a vector whose L2 norm is at most `steps` in exact integer
//! arithmetic. An update of the wrong length, with a NaN or an infinity, or which
//! fails the integer check, counts as zero. That is no error: nobody who
//! handles a [`Quantised`] can tell, because whether one unit's code failed is a
//! fact about that unit.
//!
//! The sensitivity rests on the last step alone, which is in integers. What floating
//! point does before it decides how useful an update is, never how large.
//!
//! # The feature `visible-sum`
//!
//! Updates and sums cannot be read before noise: there is no accessor, no
//! `Debug`, no serialisation. The cargo feature `visible-sum` adds a method
//! `values` to [`Quantised`] and [`IntegerSum`], for tests that must show that one
//! unit leaves the others untouched. **A build with that feature is not private.**
//! Only test crates may name it, and never in the same cargo invocation that builds
//! an enclave for use: cargo unifies features.

use crate::{Error, IntegerSum};

/// The finest grid: with 2^32 units a sum stays within 2^56.
pub const MAX_STEPS: u64 = 1 << 24;

/// The smallest clip bound; with it `clip / steps` is far from underflow.
pub const MIN_CLIP: f64 = 1e-30;

/// The largest clip bound; with it the mean of any release is finite.
pub const MAX_CLIP: f64 = 1e30;

/// Grid steps in the clip bound for each square root of a dimension. Truncation
/// moves a coordinate by less than one step, so an update by less than
/// `sqrt(dimension)` steps: a sixteenth of the clip bound.
const STEPS_PER_ROOT: u64 = 16;

/// Above every coordinate that fits any gate.
pub(crate) const MAGNITUDES: u32 = 1 << 25;

/// So many squares of coordinates below [`MAGNITUDES`] add up in 64 bits: 2^13 * 2^50.
pub(crate) const CHUNK: usize = 1 << 13;

/// Partial sums of the norm, in a fixed order that vector units can follow.
const LANES: usize = 8;

/// The clip bound, the grid and the dimension of one release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    clip: f64,
    steps: u64,
    dimension: usize,
}

impl Gate {
    /// A gate for updates of `dimension` coordinates whose L2 norm is clipped to
    /// `clip`, on a grid with `steps` steps in `clip`.
    ///
    /// # Errors
    ///
    /// [`Error::ClipOutOfRange`] unless `clip` is from [`MIN_CLIP`] to [`MAX_CLIP`],
    /// [`Error::ZeroDimension`], [`Error::GridTooFine`] above [`MAX_STEPS`],
    /// [`Error::GridTooCoarse`] below 16 steps for each square root of a dimension.
    pub fn new(clip: f64, steps: u64, dimension: usize) -> Result<Self, Error> {
        if !(MIN_CLIP..=MAX_CLIP).contains(&clip) {
            return Err(Error::ClipOutOfRange { found: clip, min: MIN_CLIP, max: MAX_CLIP });
        }
        if dimension == 0 {
            return Err(Error::ZeroDimension);
        }
        if steps > MAX_STEPS {
            return Err(Error::GridTooFine { found: steps, max: MAX_STEPS });
        }
        let least = Self::fewest_steps(dimension);
        if steps < least {
            return Err(Error::GridTooCoarse { found: steps, min: least, dimension });
        }
        Ok(Self { clip, steps, dimension })
    }

    /// The fewest grid steps that a gate of this dimension accepts: 16 times the
    /// square root of the dimension, rounded up.
    #[must_use]
    pub fn fewest_steps(dimension: usize) -> u64 {
        // steps >= 16 sqrt(d), that is steps^2 >= 256 d. Saturation is far above
        // MAX_STEPS, which refuses such a dimension anyway.
        let square = u128::from(STEPS_PER_ROOT * STEPS_PER_ROOT).saturating_mul(dimension as u128);
        let root = square.isqrt();
        let up = root + u128::from(root * root < square);
        u64::try_from(up).unwrap_or(u64::MAX)
    }

    /// The clip bound C, in the update's units.
    #[must_use]
    pub fn clip(&self) -> f64 {
        self.clip
    }

    /// Grid steps in the clip bound; the largest norm of a quantised update.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The number of coordinates of an update.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// An empty sum for this gate's updates.
    #[must_use]
    pub fn sum(&self) -> IntegerSum {
        IntegerSum::empty(*self)
    }

    /// The update on the grid, with an L2 norm of at most `steps`; zero for
    /// whatever is not a vector of finite numbers of the gate's dimension.
    #[must_use]
    pub fn quantise(&self, update: &[f32]) -> Quantised {
        let mut quantised = Quantised { gate: *self, values: Vec::new() };
        self.quantise_into(update, &mut quantised);
        quantised
    }

    /// [`quantise`](Self::quantise) into the memory of an update that has been
    /// added already, whichever gate it was made by. For large updates this
    /// saves the page faults of fresh memory.
    pub fn quantise_into(&self, update: &[f32], quantised: &mut Quantised) {
        quantised.gate = *self;
        let values = &mut quantised.values;
        // Every coordinate is written below.
        values.resize(self.dimension, 0);
        if update.len() != self.dimension || !self.fill(update, values) {
            values.fill(0);
        }
    }

    /// Puts an update of the right length on the grid, or answers that it cannot.
    fn fill(&self, update: &[f32], values: &mut [i32]) -> bool {
        // 1. The norm, in doubles: squares of singles are exact and cannot
        //    overflow. A NaN or an infinity anywhere makes it not finite.
        let norm = l2_norm(update);
        if !norm.is_finite() {
            return false;
        }
        // 2. Clip and scale to the grid in one factor.
        let factor = self.steps as f64 / norm.max(self.clip);
        // 3. Toward zero, so that rounding shrinks.
        for (value, &x) in values.iter_mut().zip(update) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "truncates toward zero and saturates; step 4 checks the result"
            )]
            let on_grid = (f64::from(x) * factor) as i32;
            *value = on_grid;
        }
        // 4. In integers: the sum of squares is at most the square of the steps.
        self.holds(values)
    }

    /// Whether the exact L2 norm of `values` is at most `steps`.
    fn holds(&self, values: &[i32]) -> bool {
        let mut total = 0_u128;
        // The bits of all magnitudes together: a bound on each of them.
        let mut seen = 0_u32;
        for chunk in values.chunks(CHUNK) {
            let mut part = 0_u64;
            for value in chunk {
                let magnitude = value.unsigned_abs();
                seen |= magnitude;
                // Wraps only after a magnitude of 2^25 or more, which `seen` tells.
                part = part.wrapping_add(u64::from(magnitude) * u64::from(magnitude));
            }
            total += u128::from(part);
        }
        seen < MAGNITUDES && total <= u128::from(self.steps).pow(2)
    }
}

/// The L2 norm in doubles. The order of additions is part of the definition: lane j
/// of eight adds the squares of coordinates j, j + 8, j + 16, ...; then lane 0
/// to lane 7 are added in turn.
fn l2_norm(update: &[f32]) -> f64 {
    squared_norm(update).sqrt()
}

/// Its square, in the same order.
#[inline(always)]
pub(crate) fn squared_norm(update: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; LANES];
    let mut blocks = update.chunks_exact(LANES);
    for block in &mut blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane += f64::from(x) * f64::from(x);
    }
    lanes.iter().sum()
}

/// One unit's update after the gate: integers on the grid whose L2 norm is at
/// most the gate's `steps`.
///
/// It is not noised, hence there is no way to read it (but see
/// [the feature](self#the-feature-visible-sum)), only to [add](IntegerSum::add) it.
pub struct Quantised {
    pub(crate) gate: Gate,
    pub(crate) values: Vec<i32>,
}

#[cfg(feature = "visible-sum")]
impl Quantised {
    /// **For tests only**: the update before noise, in grid steps.
    #[must_use]
    pub fn values(&self) -> &[i32] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn square(values: &[i32]) -> i128 {
        values.iter().map(|&v| i128::from(v).pow(2)).sum()
    }

    fn quantised(gate: &Gate, update: &[f32]) -> Vec<i32> {
        gate.quantise(update).values
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for clip in [0.0, -1.0, 1e-31, 1e31, f64::NAN, f64::INFINITY] {
            assert!(matches!(Gate::new(clip, 1024, 31), Err(Error::ClipOutOfRange { .. })));
        }
        assert_eq!(Gate::new(1.0, 1024, 0), Err(Error::ZeroDimension));
        assert!(matches!(Gate::new(1.0, MAX_STEPS + 1, 31), Err(Error::GridTooFine { .. })));
        assert!(Gate::new(1.0, MAX_STEPS, 31).is_ok());
    }

    #[test]
    fn the_grid_follows_the_dimension() {
        for (dimension, least) in [(1, 16), (2, 23), (31, 90), (4096, 1024), (101_770, 5105)] {
            assert_eq!(Gate::fewest_steps(dimension), least);
            assert!(Gate::new(1.0, least, dimension).is_ok());
            assert_eq!(
                Gate::new(1.0, least - 1, dimension),
                Err(Error::GridTooCoarse { found: least - 1, min: least, dimension })
            );
        }
        assert!(Gate::fewest_steps(usize::MAX) > MAX_STEPS);
    }

    #[test]
    fn small_updates_keep_their_size_and_large_ones_their_direction() {
        let gate = Gate::new(1.0, 1024, 2).unwrap();
        assert_eq!(quantised(&gate, &[0.5, -0.25]), [512, -256]);
        assert_eq!(quantised(&gate, &[0.0, 0.0]), [0, 0]);
        // Truncated toward zero on both sides: 0.0009 * 1024 = 0.92.
        assert_eq!(quantised(&gate, &[0.0009, -0.0009]), [0, 0]);
        // Norm 5, clipped to 1: 0.6 * 1024 = 614.4, 0.8 * 1024 = 819.2.
        assert_eq!(quantised(&gate, &[3.0, -4.0]), [614, -819]);
        assert_eq!(quantised(&gate, &[3e30, -4e30]), [614, -819]);
        // Exactly at the bound.
        assert_eq!(quantised(&gate, &[-1.0, 0.0]), [-1024, 0]);
    }

    #[test]
    fn what_is_not_an_update_counts_as_zero() {
        let gate = Gate::new(1.0, 1024, 3).unwrap();
        let signalling = f32::from_bits(0x7fa0_1234);
        for update in [
            &[][..],
            &[1.0, 1.0],
            &[1.0, 1.0, 1.0, 1.0],
            &[f32::NAN, 1.0, 1.0],
            &[1.0, signalling, 1.0],
            &[1.0, 1.0, -f32::NAN],
            &[f32::INFINITY, 0.0, 0.0],
            &[f32::INFINITY, f32::NEG_INFINITY, 0.0],
        ] {
            assert_eq!(quantised(&gate, update), [0, 0, 0], "{update:?}");
        }
    }

    #[test]
    fn memory_used_again_keeps_nothing() {
        let old = Gate::new(1.0, 1024, 4).unwrap();
        let gate = Gate::new(2.0, 2048, 3).unwrap();
        for update in [&[0.5, f32::NAN, 0.5][..], &[0.5; 4], &[0.5; 3]] {
            let mut again = old.quantise(&[0.5; 4]);
            gate.quantise_into(update, &mut again);
            let fresh = gate.quantise(update);
            assert_eq!(again.values, fresh.values);
            assert_eq!(again.gate, gate);
        }
    }

    #[test]
    fn the_largest_floats_are_clipped_not_lost() {
        let gate = Gate::new(1.0, 1024, 4).unwrap();
        assert_eq!(quantised(&gate, &[f32::MAX; 4]), [512; 4]);
        // Subnormal numbers are far below a step.
        assert_eq!(quantised(&gate, &[f32::from_bits(1); 4]), [0; 4]);
        // Unless the clip bound is as small.
        let fine = Gate::new(MIN_CLIP, 1024, 1).unwrap();
        assert_eq!(quantised(&fine, &[1e-30 / 2.0]), [512]);
    }

    #[test]
    fn the_integer_check_is_exact_at_its_edge() {
        let gate = Gate::new(1.0, 1024, 4).unwrap();
        assert!(gate.holds(&[1024, 0, 0, 0]));
        assert!(!gate.holds(&[1024, 1, 0, 0]));
        assert!(!gate.holds(&[1025, 0, 0, 0]));
        assert!(gate.holds(&[512, -512, 512, -512]));
        assert!(!gate.holds(&[512, -512, 512, -513]));
        assert!(!gate.holds(&[i32::MAX; 4]));
        // Squares that wrap 64 bits to zero: 4 * 2^62.
        assert!(!gate.holds(&[i32::MIN; 4]));
        // And those that do not, though far too large.
        assert!(!gate.holds(&[1 << 25, 0, 0, 0]));
        // Across chunks, whose sums do not fit 64 bits together.
        let large = Gate::new(1.0, MAX_STEPS, 1 << 18).unwrap();
        assert!(!large.holds(&vec![i32::MIN; 1 << 18]));
        assert!(large.holds(&vec![-(1 << 15); 1 << 18]));
        let mut edge = vec![1 << 15; 1 << 18];
        edge[1 << 17] += 1;
        assert!(!large.holds(&edge));
    }

    #[test]
    fn the_norm_adds_in_its_documented_order() {
        let update: Vec<f32> = (0..29_u8).map(|i| 1.1_f32.powi(i.into()) - 3.0).collect();
        let mut lanes = [0.0_f64; 8];
        for (i, &x) in update.iter().enumerate() {
            lanes[i % 8] += f64::from(x) * f64::from(x);
        }
        let mut total = 0.0;
        for lane in lanes {
            total += lane;
        }
        assert_eq!(l2_norm(&update).to_bits(), total.sqrt().to_bits());
    }

    /// Any bits at all, NaNs with payloads included.
    fn any_bits(dimension: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(any::<u32>().prop_map(f32::from_bits), dimension)
    }

    proptest! {
        #[test]
        fn the_norm_never_exceeds_the_steps(
            update in prop_oneof![any_bits(37), prop::collection::vec(-2.0_f32..2.0, 37)],
            clip in 1e-3_f64..10.0,
            steps in 98_u64..=MAX_STEPS,
        ) {
            let gate = Gate::new(clip, steps, 37).unwrap();
            let values = quantised(&gate, &update);
            prop_assert!(square(&values) <= i128::from(steps).pow(2));
        }

        /// The gate is not only safe but right: a step from the exact value at most.
        #[test]
        fn truncation_is_all_that_is_lost(
            update in prop::collection::vec(-1.0_f32..1.0, 37), steps in 98_u64..1 << 20,
        ) {
            let gate = Gate::new(2.0, steps, 37).unwrap();
            let norm = update.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let factor = steps as f64 / norm.max(2.0);
            for (value, &x) in quantised(&gate, &update).iter().zip(&update) {
                let exact = f64::from(x) * factor;
                prop_assert!((exact - f64::from(*value)).abs() < 1.0 + 1e-6);
                prop_assert!(f64::from(*value).abs() <= exact.abs() + 1e-6);
            }
        }

        #[test]
        fn the_same_update_gives_the_same_integers(update in any_bits(20)) {
            let gate = Gate::new(0.35, 1024, 20).unwrap();
            prop_assert_eq!(quantised(&gate, &update), quantised(&gate, &update));
        }
    }
}
