//! Compute code that misbehaves for one unit.

use std::process::Command;

use cloister_sandbox::{Pool, PoolError, UnitRows, compile};

use crate::guests::{FEATURES, TRIGGER, component, honest, module, triggered};
use crate::support::{command, pool, round, settings, units};

const HOSTILE: &[(&str, &str)] = &[
    ("traps", "unreachable"),
    ("loops for ever", "(loop $l (br $l))"),
    ("recurses for ever", "(drop (call $deep (i64.const 0)))"),
    (
        "returns NaN",
        "(call $set (local.get $out) (i32.const 1) (i32.const 0) (f32.const nan:0x200001))",
    ),
    (
        "returns infinity",
        "(call $set (local.get $out) (i32.const 1) (i32.const 0) (f32.const -inf))",
    ),
    ("returns a wrong shape", "(local.set $out (call $new (i32.const 1) (i32.const 2)))"),
    ("returns the model", "(return (local.get $model))"),
    ("keeps what it borrowed", "(return (local.get $out))"),
    (
        "takes all linear memory",
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (i32.store (i32.const 0x7fffffff) (i32.const 1))",
    ),
    (
        "takes all tensor memory",
        "(loop $l (drop (call $new (i32.const 1024) (i32.const 1024))) (br $l))",
    ),
    ("takes all handles", "(loop $l (drop (call $new (i32.const 0) (i32.const 0))) (br $l))"),
    ("asks for more than there is", "(drop (call $new (i32.const -1) (i32.const -1)))"),
    (
        "writes to its rows",
        "(call $set (local.get $features) (i32.const 0) (i32.const 0) (f32.const 0))",
    ),
    (
        "writes to the model",
        "(call $set (local.get $model) (i32.const 0) (i32.const 0) (f32.const 1))",
    ),
    ("reads outside", "(drop (call $get (local.get $features) (i32.const 1) (i32.const 0)))"),
    (
        "writes from outside its memory",
        "(call $write (local.get $out) (i32.const 0) (i32.const -8) (i32.const 2))",
    ),
    (
        "writes too much at once",
        "(call $write (local.get $out) (i32.const 0) (i32.const 0) (i32.const 1025))",
    ),
    ("aliases an output", "(call $axpy (f32.const 1) (local.get $out) (local.get $out))"),
    (
        "multiplies shapes that do not fit",
        "(call $gemm (i32.const 0) (i32.const 0) (f32.const 1) (local.get $out)
           (local.get $out) (f32.const 0) (call $new (i32.const 2) (i32.const 1)))",
    ),
    (
        "burns fuel in kernels",
        "(local.set $i (call $new (i32.const 1000) (i32.const 1000)))
         (loop $l
           (call $gemm (i32.const 0) (i32.const 0) (f32.const 1) (local.get $i) (local.get $i)
             (f32.const 0) (call $new (i32.const 1000) (i32.const 1000)))
           (br $l))",
    ),
    ("uses a handle that it dropped", "(call $drop (local.get $out))"),
    ("guesses a handle", "(drop (call $get (i32.const 77) (i32.const 0) (i32.const 0)))"),
];

pub fn each_hostile_unit_gets_nothing_and_its_neighbours_are_untouched() {
    let mut all = units(9);
    let undisturbed = round(&mut pool(&honest(), 1), &all, |_| ());
    assert!(undisturbed.iter().all(Option::is_some));
    all[4].features[0] = TRIGGER;
    for (name, hostile) in HOSTILE {
        let mut pool = pool(&triggered(hostile), 1);
        let before = pool.worker_ids();
        let updates = round(&mut pool, &all, |_| ());
        for (unit, update) in updates.iter().enumerate() {
            if unit == 4 {
                assert!(update.is_none(), "a guest that {name} got an update");
            } else {
                assert_eq!(update, &undisturbed[unit], "unit {unit}, {name}");
            }
        }
        assert_eq!(before, pool.worker_ids(), "a guest that {name} ended its worker");
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
    let updates = round(&mut pool(&guest, 1), &units(50), |_| ());
    assert!(updates.iter().all(|update| *update == Some(vec![0, 0])));
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
    let updates = round(&mut pool(&guest, 1), &units(40), |_| ());
    assert!(updates.iter().all(Option::is_some));
}

pub fn misfit_units_get_nothing() {
    let mut all = units(6);
    let expected = round(&mut pool(&honest(), 1), &all, |_| ());
    all[1].rows = 2;
    all[2].features.pop();
    all[3].targets.push(1.0);
    let updates = round(&mut pool(&honest(), 1), &all, |_| ());
    for unit in [1, 2, 3] {
        assert!(updates[unit].is_none());
    }
    for unit in [0, 4, 5] {
        assert_eq!(updates[unit], expected[unit]);
    }
    // An empty unit reaches the guest, which here reads a row that is not there.
    all[0] = UnitRows::default();
    assert!(round(&mut pool(&honest(), 1), &all, |_| ())[0].is_none());
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

/// With random numbers, which depend on the unit and on nothing else.
pub fn more_workers_change_nothing() {
    let guest = module(
        "",
        "(call $set (local.get $out) (i32.const 1) (i32.const 0)
           (f32.convert_i64_u (call $random)))",
    );
    let all = units(600);
    let one = round(&mut pool(&guest, 1), &all, |_| ());
    let mut three = pool(&guest, 3);
    assert_eq!(one, round(&mut three, &all, |_| ()));
    let distinct: std::collections::HashSet<_> =
        one.iter().map(|update| update.as_ref().unwrap()[1]).collect();
    assert!(distinct.len() > 590, "streams repeat");
}
