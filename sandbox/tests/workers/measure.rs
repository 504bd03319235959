//! Measurements, run with `--ignored`, in release.

use std::time::{Duration, Instant};

use cloister_privacy::Gate;
use cloister_sandbox::{Limits, Pool, Settings, compile, fuel};

use crate::guests::{FEATURES, component, module};
use crate::logistic;
use crate::support::{command, gate, settings, units};

/// Median time of a logistic unit of 30 features through a pool.
pub fn microseconds_per_unit() {
    let count = 20_000;
    for workers in [1, 2] {
        let Some(mut pool) = logistic::pool(30, 0.0, workers) else {
            return;
        };
        pool.load(logistic::clouds(count, 30, 1)).unwrap();
        let model = pool.init_model().to_vec();
        let gate = Gate::new(1.0, 16_384, model.len()).unwrap();
        let mut times: Vec<f64> = (0..9)
            .map(|round| {
                let start = Instant::now();
                pool.round(round, &model, &gate).unwrap();
                start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("logistic, {workers} worker(s): {:.2} us a unit (median)", times[4]);
    }
}

/// Guests that buy as much time as they can for their fuel.
const SLOW: &[(&str, &str)] = &[
    ("instructions", "(loop $l (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))"),
    (
        "divisions",
        "(loop $l (local.set $i (i32.div_u (i32.const -1)
        (i32.or (local.get $i) (i32.const 1)))) (br $l))",
    ),
    (
        "loads that miss",
        "(drop (memory.grow (i32.const 63)))
       (loop $l (local.set $i (i32.and
          (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223))
          (i32.const 0x3ffffc)))
        (local.set $i (i32.add (local.get $i) (i32.load (local.get $i)))) (br $l))",
    ),
    (
        "kernel calls",
        "(loop $l (drop (call $get (local.get $out) (i32.const 0) (i32.const 0)))
        (br $l))",
    ),
    (
        "tensors made and dropped",
        "(loop $l (call $drop (call $new (i32.const 64) (i32.const 64))) (br $l))",
    ),
    (
        "large tensors made and dropped",
        "(loop $l (call $drop (call $new (i32.const 512) (i32.const 1024))) (br $l))",
    ),
    ("random numbers", "(loop $l (drop (call $random)) (br $l))"),
    (
        "products",
        "(local.set $i (call $new (i32.const 128) (i32.const 128)))
       (local.set $out (call $new (i32.const 128) (i32.const 128)))
       (loop $l (call $gemm (i32.const 0) (i32.const 0) (f32.const 1) (local.get $i)
         (local.get $i) (f32.const 0) (local.get $out)) (br $l))",
    ),
    (
        "products, twice transposed",
        "(local.set $i (call $new (i32.const 512) (i32.const 512)))
       (local.set $out (call $new (i32.const 512) (i32.const 512)))
       (loop $l (call $gemm (i32.const 1) (i32.const 1) (f32.const 1) (local.get $i)
         (local.get $i) (f32.const 0) (local.get $out)) (br $l))",
    ),
    (
        "memory filled",
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
        (br $l))",
    ),
    (
        "memory copied by bytes",
        "(loop $l (memory.copy (i32.const 0) (i32.const 8) (i32.const 1)) (br $l))",
    ),
];

/// Fuel that a millisecond buys, for code that is as slow as it can be.
pub fn slow_fuel() {
    for (name, update) in SLOW {
        let budget = 400_000_000;
        let compiled = compile(&component(&module("", update))).unwrap();
        let settings = Settings {
            limits: Limits { fuel_per_unit: budget, ..Limits::default() },
            ..settings(FEATURES)
        };
        let mut pool = Pool::start(command("worker"), 1, &compiled, settings).unwrap();
        let model = pool.init_model().to_vec();
        pool.load(units(1)).unwrap();
        let gate = gate(&pool);
        let mut best = Duration::MAX;
        for round in 0..2 {
            let start = Instant::now();
            let sum = pool.round(round, &model, &gate).unwrap();
            assert!(sum.values().iter().all(|value| *value == 0));
            best = best.min(start.elapsed());
        }
        let per_millisecond = budget as f64 / (best.as_secs_f64() * 1e3);
        println!("{name}: {per_millisecond:.0} fuel a millisecond");
        assert!(
            per_millisecond > fuel::FUEL_PER_MILLISECOND as f64,
            "FUEL_PER_MILLISECOND is too optimistic"
        );
    }
}
