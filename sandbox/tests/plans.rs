//! Code whose calls are recorded and done for other units, and code that must not be.

#[allow(dead_code)] // the other test programs use the rest
mod guests;

use cloister_sandbox::{Limits, Outcome, Settings, Trial, Way, compile};
use guests::component;

/// Features of a row, and elements of the model.
const FEATURES: u32 = 3;

/// A guest whose update is what `update` does with `$out`, a tensor of the model's shape.
fn trial(update: &str, limits: Limits) -> Trial {
    // Records of `describe` as in the other guests: what matters is what `update` calls.
    let record = "\\40\\00\\00\\00\\04\\00\\00\\00\\44\\00\\00\\00\\05\\00\\00\\00\\40\\00\\00\\00\
                  \\04\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\40\\00\\00\\00\\04\\00\\00\\00\
                  \\40\\00\\00\\00\\04\\00\\00\\00";
    let module = format!(
        r#"(module
  (import "cloister:compute/tensors@1.0.0" "[constructor]tensor"
    (func $new (param i32 i32) (result i32)))
  (import "cloister:compute/tensors@1.0.0" "[resource-drop]tensor" (func $drop (param i32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.rows" (func $rows (param i32) (result i32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.get"
    (func $get (param i32 i32 i32) (result f32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.read"
    (func $read (param i32 i32 i32 i32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.set"
    (func $set (param i32 i32 i32 f32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.slice-columns"
    (func $slice-columns (param i32 i32 i32) (result i32)))
  (import "cloister:compute/tensors@1.0.0" "fill" (func $fill (param i32 f32)))
  (import "cloister:compute/tensors@1.0.0" "scal" (func $scal (param f32 i32)))
  (import "cloister:compute/tensors@1.0.0" "sum-rows" (func $sum-rows (param i32 i32)))
  (import "cloister:compute/tensors@1.0.0" "dot" (func $dot (param i32 i32) (result f32)))
  (import "cloister:compute/tensors@1.0.0" "sum" (func $sum (param i32) (result f32)))
  (import "cloister:compute/tensors@1.0.0" "nrm2" (func $nrm2 (param i32) (result f32)))
  (import "cloister:compute/tensors@1.0.0" "gemm"
    (func $gemm (param i32 i32 f32 i32 i32 f32 i32)))
  (import "cloister:compute/random@1.0.0" "next" (func $next (result i64)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))
  (data (i32.const 16) "{record}")
  (data (i32.const 64) "test1.0.0")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8)))))
  (func (export "describe") (result i32) (i32.const 16))
  (func (export "init") (param i32 i32 i32 i32) (result i32)
    (call $new (i32.const 1) (local.get 0)))
  (func (export "update") (param $model i32) (param $features i32) (param $targets i32)
                          (param i32 i32) (result i32)
    (local $out i32) (local $i i32)
    (local.set $out (call $new (i32.const 1) (i32.const {FEATURES})))
    {update}
    (call $drop (local.get $model))
    (call $drop (local.get $features))
    (call $drop (local.get $targets))
    (local.get $out))
  (func (export "score") (param i32 i32 i32 i32) (result i32) (unreachable))
)"#
    );
    let compiled = compile(&component(&module)).unwrap();
    let settings =
        Settings { limits, params: Vec::new(), seed: [9; 32], features: FEATURES, targets: 1 };
    Trial::new(&compiled, settings).unwrap()
}

/// A unit of two rows.
fn unit(start: f32) -> (Vec<f32>, Vec<f32>) {
    ((0..6u8).map(|i| start + f32::from(i) / 3.0).collect(), vec![start, -start])
}

/// What is recorded of the code for units; the same, unit by unit, from instances.
fn both(trial: &mut Trial, starts: &[f32]) -> (Option<Vec<Vec<f32>>>, Vec<Vec<f32>>) {
    let units: Vec<_> = starts.iter().map(|start| unit(*start)).collect();
    let parts: Vec<_> = units.iter().map(|(x, y)| (&x[..], &y[..])).collect();
    let planned = trial.planned(&parts);
    let one = |(x, y): &(Vec<f32>, Vec<f32>)| trial.examine(x, y).update;
    (planned, units.iter().map(one).collect())
}

#[test]
fn what_depends_on_shapes_alone_is_done_without_instances() {
    let mut trial = trial(
        "(if (i32.gt_u (call $rows (local.get $features)) (i32.const 1)) (then
           (call $sum-rows (local.get $features) (local.get $out))
           (call $scal (f32.const 0.1) (local.get $out))))",
        Limits::default(),
    );
    let (planned, alone) = both(&mut trial, &[0.5, -7.0, 1e-3]);
    assert_eq!(planned.as_ref(), Some(&alone));
    assert_ne!(alone[0], alone[1]);
    // Other shapes are other plans: this one does nothing.
    let one_row = [1.0, 2.0, 3.0];
    assert_eq!(trial.planned(&[(&one_row, &[1.0])]), Some(vec![vec![0.0; 3]]));
}

/// The attack: what was seen of the unit that is recorded would be done to all others.
#[test]
fn what_code_has_seen_of_one_unit_is_done_to_no_other() {
    for look in [
        "(call $get (local.get $features) (i32.const 1) (i32.const 2))",
        "(call $sum (local.get $features))",
        "(call $nrm2 (local.get $targets))",
        "(call $dot (local.get $features) (local.get $features))",
    ] {
        let fill = format!("(call $fill (local.get $out) {look})");
        let mut trial = trial(&fill, Limits::default());
        let (planned, alone) = both(&mut trial, &[1.0, 5.0]);
        assert_eq!(planned, None, "{look}");
        assert!(alone[0][0] != 0.0 && alone[0][0] != alone[1][0], "{look}");
    }
    let read = "(call $read (local.get $features) (i32.const 0) (i32.const 1) (i32.const 2048))
        (call $fill (local.get $out) (f32.load (i32.load (i32.const 2048))))";
    let mut trial = trial(read, Limits::default());
    let (planned, alone) = both(&mut trial, &[1.0, 5.0]);
    assert_eq!((planned, alone), (None, vec![vec![1.0; 3], vec![5.0; 3]]));
}

/// A number of a unit's own stream is as much its own as its rows.
#[test]
fn random_numbers_that_code_sees_end_a_recording() {
    let fill = "(call $fill (local.get $out) (f32.convert_i64_u (call $next)))";
    assert_eq!(both(&mut trial(fill, Limits::default()), &[1.0]).0, None);
}

/// A look inside a branch that no zero takes: it is not known what the code would do.
#[test]
fn zeros_that_hide_a_branch_do_not_hide_it() {
    let mut trial = trial(
        "(if (f32.gt (call $get (local.get $features) (i32.const 0) (i32.const 0)) (f32.const 0))
           (then (call $fill (local.get $out) (f32.const 7))))",
        Limits::default(),
    );
    let (planned, alone) = both(&mut trial, &[1.0, -5.0]);
    assert_eq!((planned, alone), (None, vec![vec![7.0; 3], vec![0.0; 3]]));
}

/// What fails for zeros fails for every unit, and is not recorded.
#[test]
fn code_that_fails_whatever_the_unit_has_no_plan() {
    for fails in [
        "(unreachable)",
        "(call $fill (local.get $model) (f32.const 1))",
        "(call $gemm (i32.const 0) (i32.const 0) (f32.const 1) (local.get $out)
           (local.get $out) (f32.const 0) (call $new (i32.const 1) (i32.const 1)))",
        "(loop $l (br $l))",
    ] {
        let mut trial = trial(fails, Limits::default());
        assert_eq!(both(&mut trial, &[1.0, 2.0]), (None, vec![vec![]; 2]), "{fails}");
    }
}

#[test]
fn more_calls_than_are_kept_are_made_in_instances() {
    let limits = Limits { fuel_per_unit: 1_000_000_000, ..Limits::default() };
    let mut trial = trial(
        "(call $sum-rows (local.get $features) (local.get $out))
         (loop $l
           (call $scal (f32.const -1) (local.get $out))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))",
        limits,
    );
    let (planned, alone) = both(&mut trial, &[1.0]);
    assert_eq!(planned, None);
    assert!(alone[0][0] > 0.0);
}

/// A plan ends where the code's fuel did: a unit gets no more from one than from an instance.
#[test]
fn fuel_counts_in_recordings() {
    let loop_of = |count: u32| {
        format!(
            "(call $sum-rows (local.get $features) (local.get $out))
             (loop $l
               (call $scal (f32.const -1) (local.get $out))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $l (i32.lt_u (local.get $i) (i32.const {count}))))"
        )
    };
    let limits = Limits { fuel_per_unit: 100_000, ..Limits::default() };
    let mut enough = trial(&loop_of(100), limits.clone());
    assert!(both(&mut enough, &[1.0]).0.is_some());
    let mut little = trial(&loop_of(10_000), limits);
    assert_eq!(both(&mut little, &[1.0]), (None, vec![vec![]]));
    let (x, y) = unit(1.0);
    assert_eq!(little.examine(&x, &y).outcome, Outcome::OutOfFuel);
}

/// How many shapes units have is a secret, and each costs time: so not all are recorded.
#[test]
fn only_so_many_shapes_are_recorded() {
    let sum_rows = "(call $sum-rows (local.get $features) (local.get $out))";
    let mut trial = trial(sum_rows, Limits::default());
    for rows in 1..=9 {
        let (features, targets) = (vec![1.0; 3 * rows], vec![1.0; rows]);
        let planned = trial.planned(&[(&features, &targets)]);
        assert_eq!(planned.is_some(), rows <= 8, "{rows} rows");
        assert_eq!(trial.examine(&features, &targets).update, [rows as f32; 3]);
    }
}

/// An author is told whether code is recorded, and what ended the recording if it is not.
#[test]
fn the_look_that_ends_a_recording_is_named() {
    let way = |update: &str| trial(update, Limits::default()).way(2);
    let sum_rows = "(call $sum-rows (local.get $features) (local.get $out))";
    let Way::Recorded(operations) = way(sum_rows) else { panic!("it is not recorded") };
    assert_eq!(operations, 2, "the update is made, and the sum");
    for (look, name) in [
        ("(drop (call $get (local.get $features) (i32.const 0) (i32.const 0)))", "get"),
        ("(call $read (local.get $features) (i32.const 0) (i32.const 1) (i32.const 2048))", "read"),
        ("(drop (call $dot (local.get $out) (local.get $out)))", "dot"),
        ("(drop (call $sum (local.get $targets)))", "sum"),
        ("(drop (call $nrm2 (local.get $targets)))", "nrm2"),
        ("(drop (call $next))", "random::next"),
    ] {
        assert_eq!(way(look), Way::Looks(name));
        // The first one counts.
        assert_eq!(way(&format!("{look} (drop (call $sum (local.get $out)))")), Way::Looks(name));
    }
    assert_eq!(way("(unreachable)"), Way::Fails(Outcome::Panicked));
    assert_eq!(way("(loop $l (br $l))"), Way::Fails(Outcome::OutOfFuel));
    let limits = Limits { fuel_per_unit: 1_000_000_000, ..Limits::default() };
    let long = "(loop $l
        (call $scal (f32.const -1) (local.get $out))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))";
    assert_eq!(trial(long, limits).way(2), Way::TooMuch);
}

/// It may be different for other numbers of rows.
#[test]
fn what_is_said_of_one_shape_is_said_of_no_other() {
    let trial = trial(
        "(if (i32.gt_u (call $rows (local.get $features)) (i32.const 2))
           (then (drop (call $sum (local.get $features)))))",
        Limits::default(),
    );
    assert!(matches!(trial.way(2), Way::Recorded(_)));
    assert_eq!(trial.way(3), Way::Looks("sum"));
}

/// A matrix of many rows and no columns takes nothing, and a pass over its rows does.
#[test]
fn rows_without_columns_are_paid_for() {
    let trial = trial(
        "(drop (call $slice-columns (call $new (i32.const -1) (i32.const 0))
           (i32.const 0) (i32.const 0)))",
        Limits::default(),
    );
    let (x, y) = unit(1.0);
    assert_eq!(trial.examine(&x, &y).outcome, Outcome::OutOfFuel);
}
