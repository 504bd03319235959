//! Compute components written by hand: one that trains, and some that misbehave.
//!
//! Their model is one row with a number for each feature.

use cloister_sandbox::package::{componentize, embed_world};

/// What all guests share; `update` and `score` are the two bodies.
fn guest(update: &str, score: &str) -> Vec<u8> {
    guest_with_rows(1, update, score)
}

fn guest_with_rows(model_rows: u32, update: &str, score: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "cloister:compute/tensors@1.0.0" "[constructor]tensor"
            (func $new (param i32 i32) (result i32)))
        (import "cloister:compute/tensors@1.0.0" "[resource-drop]tensor" (func $drop (param i32)))
        (import "cloister:compute/tensors@1.0.0" "[method]tensor.rows"
            (func $rows (param i32) (result i32)))
        (import "cloister:compute/tensors@1.0.0" "[method]tensor.columns"
            (func $columns (param i32) (result i32)))
        (import "cloister:compute/tensors@1.0.0" "[method]tensor.get"
            (func $get (param i32 i32 i32) (result f32)))
        (import "cloister:compute/tensors@1.0.0" "gemv"
            (func $gemv (param i32 f32 i32 i32 f32 i32)))
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
        (func (export "describe") (result i32) unreachable)
        (func (export "init") (param $features i32) (param $targets i32) (param i32 i32)
            (result i32)
            (call $new (i32.const {model_rows}) (local.get $features)))
        (func (export "update") (param $model i32) (param $x i32) (param $y i32) (param i32 i32)
            (result i32)
            (local $u i32)
            {update})
        (func (export "score") (param $model i32) (param $x i32) (param i32 i32)
            (result i32)
            (local $u i32)
            {score}))"#
    );
    component(&text)
}

/// u = transpose(X) y: what a linear model learns from first.
const CORRELATE: &str = "
    (local.set $u (call $new (i32.const 1) (call $columns (local.get $x))))
    (call $gemv (i32.const 1) (f32.const 1) (local.get $x) (local.get $y)
        (f32.const 0) (local.get $u))
    (call $drop (local.get $model)) (call $drop (local.get $x)) (call $drop (local.get $y))
    (local.get $u)";

/// X model.
const PREDICT: &str = "
    (local.set $u (call $new (call $rows (local.get $x)) (i32.const 1)))
    (call $gemv (i32.const 0) (f32.const 1) (local.get $x) (local.get $model)
        (f32.const 0) (local.get $u))
    (call $drop (local.get $model)) (call $drop (local.get $x))
    (local.get $u)";

/// Trains.
pub fn benign() -> Vec<u8> {
    guest(CORRELATE, PREDICT)
}

/// Has a model of 50,000 rows.
pub fn wide() -> Vec<u8> {
    guest_with_rows(50_000, "unreachable", PREDICT)
}

/// Traps for every unit.
pub fn trapping() -> Vec<u8> {
    guest("unreachable", PREDICT)
}

/// Never comes back, if the label of the unit's first row is one half.
pub fn looping_for_some() -> Vec<u8> {
    let update = format!(
        "(if (f32.eq (call $get (local.get $y) (i32.const 0) (i32.const 0)) (f32.const 0.5))
            (then (loop $for_ever (br $for_ever))))
        {CORRELATE}"
    );
    guest(&update, PREDICT)
}

/// Wants to print.
pub fn importing_wasi() -> Vec<u8> {
    wat::parse_str(r#"(component (import "wasi:cli/stdout@0.2.0" (instance)))"#).unwrap()
}

/// Not a component at all.
pub fn core_module() -> Vec<u8> {
    wat::parse_str("(module)").unwrap()
}

/// Makes no model.
pub fn without_model() -> Vec<u8> {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "describe") (result i32) unreachable)
        (func (export "init") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "update") (param i32 i32 i32 i32 i32) (result i32) unreachable)
        (func (export "score") (param i32 i32 i32 i32) (result i32) unreachable))"#;
    component(text)
}

fn component(wat: &str) -> Vec<u8> {
    let module = wat::parse_str(wat).unwrap();
    componentize(&embed_world(&module).unwrap()).unwrap()
}
