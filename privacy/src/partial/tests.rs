use proptest::prelude::*;

use super::passes::truncated;
use super::*;

fn sums(gate: &Gate, updates: &[&[Piece<'_>]]) -> Vec<i32> {
    let mut partial = gate.partial();
    for update in updates {
        partial.add(update).unwrap();
    }
    partial.values
}

fn product(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().flat_map(|x| right.iter().map(move |y| x * y)).collect()
}

fn square(values: &[i32]) -> u128 {
    values.iter().map(|v| u128::from(v.unsigned_abs()).pow(2)).sum()
}

#[test]
fn numbers_are_summed_as_the_gate_quantises_them() {
    let gate = Gate::new(0.5, 1024, 3).unwrap();
    let updates = [[0.5, 0.25, 0.0], [-3.0, 1.0, 2.0], [f32::NAN, 0.0, 0.0], [1e38, 1e38, 0.0]];
    let mut whole = gate.sum();
    let mut partial = gate.partial();
    for update in &updates {
        whole.add(&gate.quantise(update)).unwrap();
        partial.add(&[Piece::Values(&update[..1]), Piece::Values(&update[1..])]).unwrap();
    }
    let mut bytes = Vec::new();
    partial.drain_into(&mut bytes);
    let mut merged = gate.sum();
    merged.merge_partial(4, &bytes).unwrap();
    assert!(merged == whole);
    assert_eq!((partial.units(), square(&partial.values)), (0, 0));
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "it is what is compared")]
fn numbers_are_truncated_as_by_a_cast() {
    for x in [0.0, -0.0, 0.4, -0.9, 1.0, -1.5, 63_000.9, -63_000.9, 16_777_215.4] {
        assert_eq!(truncated(x), x as i32, "{x}");
    }
    for x in [1e30, f64::INFINITY] {
        assert_eq!([truncated(x), truncated(-x)], [1 << 25, -(1 << 25)]);
    }
}

#[test]
fn what_is_no_update_counts_as_zero() {
    let gate = Gate::new(1.0, 1024, 4).unwrap();
    let (zero, one) = ([0.0_f32; 2], [1.0_f32; 2]);
    for update in [
        &[][..],
        &[Piece::Values(&[1.0; 3])],
        &[Piece::Values(&[1.0; 5])],
        &[Piece::Zeros(usize::MAX), Piece::Zeros(5)],
        &[Piece::Outer { left: &[f32::NAN, 0.0], right: &zero }],
        &[Piece::Outer { left: &[f32::INFINITY, 0.0], right: &zero }],
        &[Piece::Outer { left: &one, right: &[f32::INFINITY, 1.0] }],
        &[Piece::Values(&[1.0, 0.0]), Piece::Values(&[f32::NEG_INFINITY, 0.0])],
    ] {
        assert_eq!(sums(&gate, &[update]), [0; 4], "{update:?}");
    }
    let kept = Piece::Outer { left: &one, right: &[0.25, 0.0] };
    assert_eq!(sums(&gate, &[&[kept]]), [255, 0, 255, 0]);
}

/// Clipping that does not clip: the check in integers finds each update that is too long, in
/// whichever form and however large, and takes it out of the sum again.
#[test]
fn what_fails_the_check_is_taken_back_to_the_bit() {
    let gate = Gate::new(1.0, 1024, 22).unwrap();
    let before = [Piece::Zeros(2), Piece::Values(&[0.125; 20])];
    let outer =
        Piece::Outer { left: &[0.7, -0.1, 3e38, 1e-9], right: &[1e-3, 0.0, -0.4, 0.2, 1.0] };
    let small = Piece::Outer { left: &[0.7, -0.1, 0.3, 1e-9], right: &[1e-3, 0.0, -0.4, 0.2, 1.0] };
    let pair = Piece::Values(&[-0.3, 0.4]);
    let alone = sums(&gate, &[&before]);
    for pieces in [[pair, outer], [pair, small], [Piece::Zeros(2), small]] {
        for times in [5.0, 1e3, 1e7, 1e20, 1e60] {
            let mut partial = gate.partial();
            partial.add(&before).unwrap();
            let broken = Update { pieces: &pieces, factor: times * gate.steps() as f64 };
            partial.add_alike(&[broken]);
            assert_eq!(partial.values, alone, "{pieces:?} {times}");
        }
    }
    // As it should be, it counts.
    assert_ne!(sums(&gate, &[&before, &[pair, small]]), alone);
}

#[test]
fn a_partial_sum_takes_no_more_than_32_bits_hold() {
    let gate = Gate::new(1.0, crate::gate::MAX_STEPS, 1).unwrap();
    assert_eq!(gate.partial_units(), 127);
    let mut partial = gate.partial();
    for _ in 0..127 {
        partial.add(&[Piece::Values(&[1.0])]).unwrap();
    }
    assert_eq!(partial.values, [127 << 24]);
    let refused = Err(Error::TooManyUnits { found: 128, max: 127 });
    assert_eq!(partial.add_zero(), refused);
}

#[test]
fn a_worker_cannot_say_more_than_its_units_could() {
    let gate = Gate::new(1.0, 1024, 2).unwrap();
    let bytes = |values: [i32; 2]| values.map(i32::to_le_bytes).concat();
    let mut sum = gate.sum();
    for (units, values) in [(1, [1025, 0]), (2, [2048, 1]), (0, [1, 0]), (3, [i32::MIN; 2])] {
        let refused = sum.merge_partial(units, &bytes(values));
        assert_eq!(refused, Err(Error::NormTooLarge { units }));
    }
    let short = sum.merge_partial(1, &bytes([1, 1])[..4]);
    assert_eq!(short, Err(Error::WrongLength { expected: 2, found: 1 }));
    assert!(sum == gate.sum(), "nothing was added");
    sum.merge_partial(2, &bytes([-2048, 0])).unwrap();
}

fn any_bits(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(
        prop_oneof![
            4 => -1.0_f32..1.0,
            1 => any::<u32>().prop_map(f32::from_bits),
            1 => prop::sample::select(vec![0.0, -0.0, f32::MAX, f32::MIN, 3e38, 1e-33]),
        ],
        count,
    )
}

/// A left side that overflows singles once it is scaled, beside zeros: infinity times zero has
/// no sign that a second pass could change.
#[test]
fn what_overflows_beside_zeros_is_taken_back_to_the_bit() {
    let one_cell = (
        [3e38, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1e-33, 1e-33, 1e-33, 1e-33, 1e-33, 1e-33, 1e-33, 0.0],
    );
    for (left, right) in [([3e38_f32; 8], [0.0_f32; 8]), one_cell] {
        for steps in [1 << 10, 1 << 16, 1 << 20, 1 << 24] {
            for clip in [crate::gate::MIN_CLIP, 1e-10, 1.0] {
                let gate = Gate::new(clip, steps, 64).unwrap();
                let update = [Piece::Outer { left: &left, right: &right }];
                let found = square(&sums(&gate, &[&update]));
                assert!(found <= u128::from(steps).pow(2), "{steps} steps in {clip}: {found}");
            }
        }
    }
}

proptest! {
    /// Units that are added at once, alike or not, are what they are one after the other.
    #[test]
    fn at_once_is_one_after_the_other(
        units in prop::collection::vec(
            (prop::collection::vec(-2e3_f32..2e3, 5), prop::collection::vec(-1e3_f32..1e3, 19),
             prop::num::f32::ANY, 0..6_u8), 0..9),
        steps in 8..24_u32,
    ) {
        let gate = Gate::new(1e3, 1 << steps, 97).unwrap();
        let updates: Vec<Vec<Piece<'_>>> = units.iter().map(|(left, right, any, kind)| match kind {
            0 => vec![Piece::Zeros(97)],
            1 => vec![Piece::Zeros(96), Piece::Values(slice::from_ref(any))],
            _ => vec![Piece::Values(&left[..2]), Piece::Outer { left, right }],
        }).collect();
        let mut at_once = gate.partial();
        at_once.add_all(&updates).unwrap();
        let parts: Vec<_> = updates.iter().map(|update| &update[..]).collect();
        prop_assert_eq!(at_once.values, sums(&gate, &parts));
    }

    #[test]
    fn the_norm_never_exceeds_the_steps(
        values in any_bits(3), left in any_bits(4), right in any_bits(5),
        clip in prop_oneof![Just(1e-30), 1e-3_f64..10.0, Just(1e30)],
        steps in 77_u64..=crate::gate::MAX_STEPS,
    ) {
        let gate = Gate::new(clip, steps, 23).unwrap();
        let update = [Piece::Values(&values), Piece::Outer { left: &left, right: &right }];
        prop_assert!(square(&sums(&gate, &[&update])) <= u128::from(steps).pow(2));
    }

    /// Products cost a grid step of difference at most, and the margin.
    #[test]
    fn products_are_what_they_would_be_written_down(
        left in prop::collection::vec(-1.0_f32..1.0, 4),
        right in prop::collection::vec(-1.0_f32..1.0, 5),
        steps in 72_u64..1 << 20,
    ) {
        let gate = Gate::new(0.7, steps, 20).unwrap();
        let lazy = sums(&gate, &[&[Piece::Outer { left: &left, right: &right }]]);
        let eager = gate.quantise(&product(&left, &right));
        for (lazy, eager) in lazy.iter().zip(&eager.values) {
            prop_assert!((lazy - eager).abs() <= 2, "{lazy} {eager}");
        }
    }

    #[test]
    fn grouping_does_not_matter(
        updates in prop::collection::vec(any_bits(6), 1..9), split in any::<prop::sample::Index>(),
    ) {
        let gate = Gate::new(0.35, 4096, 6).unwrap();
        let split = split.index(updates.len());
        let sum = |updates: &[Vec<f32>]| {
            let mut partial = gate.partial();
            for update in updates {
                partial.add(&[Piece::Values(update)]).unwrap();
            }
            let (units, mut bytes) = (partial.units(), Vec::new());
            partial.drain_into(&mut bytes);
            (units, bytes)
        };
        let merged = |parts: &[&[Vec<f32>]]| {
            let mut total = gate.sum();
            for part in parts {
                let (units, bytes) = sum(part);
                total.merge_partial(units, &bytes).unwrap();
            }
            total
        };
        let (one, two) = updates.split_at(split);
        prop_assert!(merged(&[&updates]) == merged(&[two, one]));
    }
}
