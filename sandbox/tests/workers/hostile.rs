//! Compute code that misbehaves for one unit.

use std::process::Command;

use cloister_sandbox::{Outcome, Pool, PoolError, UnitRows, compile};

use crate::guests::{FEATURES, TRIGGER, blind, component, honest, module, triggered};
use crate::support::{command, examine, expected, gate, pool, settings, sum, sum_again, units};

pub const HOSTILE: &[(&str, Outcome, &str)] = &[
    ("traps", Outcome::Panicked, "unreachable"),
    ("loops for ever", Outcome::OutOfFuel, "(loop $l (br $l))"),
    ("recurses for ever", Outcome::StackOverflow, "(drop (call $deep (i64.const 0)))"),
    (
        "returns NaN",
        Outcome::NotFinite,
        "(call $set (local.get $out) (i32.const 1) (i32.const 0) (f32.const nan:0x200001))",
    ),
    (
        "returns infinity",
        Outcome::NotFinite,
        "(call $set (local.get $out) (i32.const 1) (i32.const 0) (f32.const -inf))",
    ),
    (
        "returns a wrong shape",
        Outcome::UpdateShape,
        "(local.set $out (call $new (i32.const 1) (i32.const 2)))",
    ),
    ("returns the model", Outcome::Trapped, "(return (local.get $model))"),
    ("keeps what it borrowed", Outcome::Trapped, "(return (local.get $out))"),
    (
        "takes all linear memory",
        Outcome::Trapped,
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (i32.store (i32.const 0x7fffffff) (i32.const 1))",
    ),
    (
        "takes all tensor memory",
        Outcome::OutOfMemory,
        "(loop $l (drop (call $new (i32.const 1024) (i32.const 1024))) (br $l))",
    ),
    (
        "takes all handles",
        Outcome::OutOfFuel,
        "(loop $l (drop (call $new (i32.const 0) (i32.const 0))) (br $l))",
    ),
    (
        "asks for more than there is",
        Outcome::OutOfFuel,
        "(drop (call $new (i32.const -1) (i32.const -1)))",
    ),
    (
        "writes to its rows",
        Outcome::KernelOutput,
        "(call $set (local.get $features) (i32.const 0) (i32.const 0) (f32.const 0))",
    ),
    (
        "writes to the model",
        Outcome::KernelOutput,
        "(call $set (local.get $model) (i32.const 0) (i32.const 0) (f32.const 1))",
    ),
    (
        "reads outside",
        Outcome::KernelRange,
        "(drop (call $get (local.get $features) (i32.const 1) (i32.const 0)))",
    ),
    (
        "writes from outside its memory",
        Outcome::Trapped,
        "(call $write (local.get $out) (i32.const 0) (i32.const -8) (i32.const 2))",
    ),
    (
        "writes too much at once",
        Outcome::KernelRange,
        "(call $write (local.get $out) (i32.const 0) (i32.const 0) (i32.const 1025))",
    ),
    (
        "aliases an output",
        Outcome::KernelOutput,
        "(call $axpy (f32.const 1) (local.get $out) (local.get $out))",
    ),
    (
        "multiplies shapes that do not fit",
        Outcome::KernelShape,
        "(call $gemm (i32.const 0) (i32.const 0) (f32.const 1) (local.get $out)
           (local.get $out) (f32.const 0) (call $new (i32.const 2) (i32.const 1)))",
    ),
    (
        "burns fuel in kernels",
        Outcome::OutOfFuel,
        "(local.set $i (call $new (i32.const 1000) (i32.const 1000)))
         (loop $l
           (call $gemm (i32.const 0) (i32.const 0) (f32.const 1) (local.get $i) (local.get $i)
             (f32.const 0) (call $new (i32.const 1000) (i32.const 1000)))
           (br $l))",
    ),
    ("uses a handle that it dropped", Outcome::Trapped, "(call $drop (local.get $out))"),
    (
        "guesses a handle",
        Outcome::Trapped,
        "(drop (call $get (i32.const 77) (i32.const 0) (i32.const 0)))",
    ),
];

pub fn each_hostile_unit_gets_nothing_and_its_neighbours_are_untouched() {
    let mut all = units(9);
    let mut quiet = all.clone();
    quiet[4].targets.clear();
    let without = sum(&mut pool(&honest(), 1), &quiet);
    assert_ne!(without, sum(&mut pool(&honest(), 1), &all));
    all[4].features[0] = TRIGGER;
    for (name, outcome, hostile) in HOSTILE {
        let mut pool = pool(&triggered(hostile), 1);
        assert_eq!(sum(&mut pool, &all), without, "a guest that {name}");
        let before = pool.worker_ids();
        assert_eq!(sum_again(&mut pool), without);
        assert_eq!(before, pool.worker_ids(), "a guest that {name} ended its worker");
        let examined = examine(&mut pool, &all);
        for (unit, found) in examined.iter().enumerate() {
            let expected = if unit == 4 { *outcome } else { Outcome::Update };
            assert_eq!(found.outcome, expected, "unit {unit} of a guest that {name}");
        }
    }
}

/// A counter in a global and one in memory, which would show 1 in the second unit.
pub fn nothing_is_kept_between_units() {
    let guest = module(
        "(global $seen (mut f32) (f32.const 0))",
        "(call $set (local.get $out) (i32.const 0) (i32.const 0) (global.get $seen))
         (call $set (local.get $out) (i32.const 1) (i32.const 0)
           (f32.load (i32.const 50000)))
         (global.set $seen (f32.const 1))
         (f32.store (i32.const 50000) (f32.const 1))",
    );
    let mut pool = pool(&guest, 1);
    assert_eq!(sum(&mut pool, &units(50)), [0, 0]);
    assert!(examine(&mut pool, &units(9)).iter().all(|one| one.update == [0.0, 0.0]));
}

/// A unit grows its memory and fills all of it; the next one grows it again and looks.
pub fn memory_of_a_dirty_instance_is_clean_for_the_next() {
    let guest = module(
        "",
        "(drop (memory.grow (i32.const 9)))
         (local.set $i (i32.const 65536))
         (loop $look
           (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
           (i64.store (local.get $i) (i64.const 0x5555555555555555))
           (local.set $i (i32.add (local.get $i) (i32.const 8)))
           (br_if $look (i32.lt_u (local.get $i) (i32.const 655360))))",
    );
    assert_eq!(sum(&mut pool(&guest, 1), &units(40)), sum(&mut pool(&honest(), 1), &units(40)));
}

/// Code that never looks, and takes most of what a unit may: several units at once would take
/// more than the worker may have.
pub fn units_at_once_take_no_more_memory_than_one() {
    let guest = blind(
        "(local.set $i (call $new (i32.const 1024) (i32.const 12000)))
         (call $scal (f32.const 2) (local.get $i))
         (call $drop (local.get $i))",
    );
    let mut pool = pool(&guest, 1);
    pool.load(units(100)).unwrap();
    let before = pool.worker_ids();
    assert_eq!(sum_again(&mut pool), expected(&pool, &vec![vec![6.0, 6.0]; 100]));
    assert_eq!(before, pool.worker_ids(), "a worker has ended");
}

pub fn misfit_units_get_nothing() {
    let mut all = units(6);
    all[1].rows = 2;
    all[2].features.pop();
    all[3].targets.push(1.0);
    let mut pool = pool(&honest(), 1);
    let examined = examine(&mut pool, &all);
    let updates: Vec<_> = examined.iter().map(|one| one.update.clone()).collect();
    for unit in [1, 2, 3] {
        assert_eq!(examined[unit].outcome, Outcome::DoesNotFit);
    }
    for unit in [0, 4, 5] {
        let tripled: Vec<f32> = all[unit].features.iter().map(|x| 3.0 * x).collect();
        assert_eq!(updates[unit], tripled);
    }
    assert_eq!(sum_again(&mut pool), expected(&pool, &updates));
    // An empty unit reaches the guest, which here reads a row that is not there.
    all[0] = UnitRows::default();
    assert_eq!(examine(&mut pool, &all)[0].outcome, Outcome::KernelRange);
}

pub fn init_that_traps_is_an_error() {
    let guest = honest().replace(
        r#"(func (export "init") (param i32 i32 i32 i32) (result i32)"#,
        r#"(func (export "init") (param i32 i32 i32 i32) (result i32) unreachable"#,
    );
    let compiled = compile(&component(&guest)).unwrap();
    let start = |command: Command| Pool::start(command, 1, &compiled, settings(FEATURES));
    let error = start(command("worker")).err().unwrap();
    assert!(matches!(error, PoolError::InitFailed), "{error}");
}

/// A round of some units is the round in which there are no others, their random numbers and
/// all; units that end workers included.
pub fn chosen_units_alone_are_summed() {
    let guest = module(
        "",
        "(call $set (local.get $out) (i32.const 1) (i32.const 0)
           (f32.convert_i64_u (call $random)))
         (call $scal (f32.const 1e-16) (local.get $out))",
    );
    let all = units(600);
    let chosen: Vec<u32> = (0..600).filter(|unit| unit % 7 == 3 || *unit == 42).collect();
    let without: Vec<_> = chosen.iter().map(|unit| all[*unit as usize].clone()).collect();
    let expected = sum(&mut pool(&guest, 1), &without);
    for workers in [1, 2, 3] {
        let mut pool = pool(&guest, workers);
        assert_ne!(sum(&mut pool, &all), expected);
        let (model, gate) = (pool.init_model().to_vec(), gate(&pool));
        let found = pool.round_of(&chosen, 3, &model, &gate).unwrap();
        assert_eq!(found.values(), expected);
        for round in 0..5 {
            assert_eq!(pool.round_of(&[], round, &model, &gate).unwrap().values(), [0, 0]);
            pool.round_of(&[7], round, &model, &gate).unwrap();
        }
        // Nothing waits to be sent to those that had nothing to do.
        assert_eq!(pool.unsent(), 0);
        let beyond = pool.round_of(&[5, 600], 3, &model, &gate);
        assert!(matches!(beyond, Err(PoolError::TooMuch { found: 601, limit: 600, .. })));
    }
}

/// With random numbers, which depend on the unit and on nothing else.
pub fn more_workers_change_nothing() {
    let guest = module(
        "",
        "(call $set (local.get $out) (i32.const 1) (i32.const 0)
           (f32.convert_i64_u (call $random)))
         (call $scal (f32.const 1e-16) (local.get $out))",
    );
    let all = units(600);
    let one = sum(&mut pool(&guest, 1), &all);
    for workers in [2, 3, 5] {
        assert_eq!(one, sum(&mut pool(&guest, workers), &all));
    }
    // In any order, too.
    let mut turned = all.clone();
    turned.reverse();
    assert_eq!(one, sum(&mut pool(&guest, 2), &turned));
    let examined = examine(&mut pool(&guest, 1), &all);
    let distinct: std::collections::HashSet<_> =
        examined.iter().map(|found| found.update[1].to_bits()).collect();
    assert!(distinct.len() > 590, "streams repeat");
}
