//! Trainers written by hand, as WebAssembly text: one that trains, and hostile ones.
//!
//! The model is one row with a number for each feature; the update is the transpose of
//! the features times the label, which is what a linear model learns from first; a score
//! is the features times the model.

use anyhow::{Context, Result};
use cloister_sandbox::package::{componentize, embed_world};

/// The label that a marked patient's first row has; nobody else's row has it.
pub const MARK: f32 = 0.5;

/// Does nothing evil.
pub const HONEST: &str = "";

/// Makes the update zero: what every failure has to come to.
pub const ZERO: &str = "(call $fill (local.get $out) (f32.const 0))";

/// What a hostile trainer does once it has computed its update, and in a word.
///
/// The text has `$model`, `$features`, `$targets`, and the update in `$out`.
pub const HOSTILE: &[(&str, &str)] = &[
    ("trap", "unreachable"),
    ("loop", "(loop $l (br $l))"),
    ("recursion", "(drop (call $deep (i64.const 0)))"),
    ("not-a-number", "(call $set (local.get $out) (i32.const 0) (i32.const 0) (f32.const nan))"),
    ("infinity", "(call $set (local.get $out) (i32.const 0) (i32.const 1) (f32.const inf))"),
    ("wrong-shape", "(local.set $out (call $new (i32.const 7) (i32.const 7)))"),
    (
        "all-linear-memory",
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (i32.store (i32.const 0x7fffffff) (i32.const 1))",
    ),
    ("all-tensor-memory", "(loop $l (drop (call $new (i32.const 64) (i32.const 64))) (br $l))"),
    (
        "slow-kernels",
        "(local.set $i (call $new (i32.const 64) (i32.const 64)))
         (loop $l
           (call $gemm (i32.const 0) (i32.const 0) (f32.const 1) (local.get $i) (local.get $i)
             (f32.const 0) (call $new (i32.const 64) (i32.const 64)))
           (br $l))",
    ),
    ("guessed-handle", "(drop (call $get (i32.const 77) (i32.const 0) (i32.const 0)))"),
];

/// A trainer that does `what` for every patient.
pub fn for_everybody(what: &str) -> Result<Vec<u8>> {
    component(&text(what))
}

/// A trainer that does `what` when it is given the marked patient, and trains the others.
pub fn for_the_marked(what: &str) -> Result<Vec<u8>> {
    let update = format!(
        "(if (f32.eq (call $get (local.get $targets) (i32.const 0) (i32.const 0))
                     (f32.const {MARK}))
           (then {what}))"
    );
    component(&text(&update))
}

/// A component that wants to print.
pub fn importing_wasi() -> Result<Vec<u8>> {
    Ok(wat::parse_str(r#"(component (import "wasi:cli/stdout@0.2.0" (instance)))"#)?)
}

/// A trainer that does `what` for every patient, as a core module that names no world: what
/// a compiler of another language makes.
pub fn module(what: &str) -> Result<Vec<u8>> {
    let text = text(what);
    wat::parse_str(&text).with_context(|| text.clone())
}

fn component(text: &str) -> Result<Vec<u8>> {
    let module = wat::parse_str(text).with_context(|| text.to_owned())?;
    Ok(componentize(&embed_world(&module)?)?)
}

/// What `describe` returns: name, version, summary, parameters, model and scores, each
/// as pointer and length of a text at 64 (of parameters there are none).
const DESCRIPTION: [(u32, u32); 6] = [(64, 4), (68, 1), (64, 4), (0, 0), (64, 4), (64, 4)];

fn text(update: &str) -> String {
    use std::fmt::Write as _;
    let mut record = String::new();
    for number in DESCRIPTION.iter().flat_map(|(at, length)| [at, length]) {
        for byte in number.to_le_bytes() {
            // Writing to a String cannot fail.
            let _ = write!(record, "\\{byte:02x}");
        }
    }
    format!(
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
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.set"
    (func $set (param i32 i32 i32 f32)))
  (import "cloister:compute/tensors@1.0.0" "fill" (func $fill (param i32 f32)))
  (import "cloister:compute/tensors@1.0.0" "gemv"
    (func $gemv (param i32 f32 i32 i32 f32 i32)))
  (import "cloister:compute/tensors@1.0.0" "gemm"
    (func $gemm (param i32 i32 f32 i32 i32 f32 i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))
  (data (i32.const 16) "{record}")
  (data (i32.const 64) "hand1")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $start) (local.get 3)))
    (local.get $start))
  (func (export "describe") (result i32) (i32.const 16))
  (func (export "init") (param $features i32) (param i32 i32 i32) (result i32)
    (call $new (i32.const 1) (local.get $features)))
  (func $deep (param i64) (result i64)
    (i64.add (i64.const 1) (call $deep (i64.add (local.get 0) (i64.const 1)))))
  (func (export "update") (param $model i32) (param $features i32) (param $targets i32)
                          (param i32 i32) (result i32)
    (local $out i32) (local $i i32)
    (local.set $out (call $new (i32.const 1) (call $columns (local.get $features))))
    (call $gemv (i32.const 1) (f32.const 1) (local.get $features) (local.get $targets)
      (f32.const 0) (local.get $out))
    {update}
    (call $drop (local.get $model))
    (call $drop (local.get $features))
    (call $drop (local.get $targets))
    (local.get $out))
  (func (export "score") (param $model i32) (param $features i32) (param i32 i32) (result i32)
    (local $out i32)
    (local.set $out (call $new (call $rows (local.get $features)) (i32.const 1)))
    (call $gemv (i32.const 0) (f32.const 1) (local.get $features) (local.get $model)
      (f32.const 0) (local.get $out))
    (call $drop (local.get $model))
    (call $drop (local.get $features))
    (local.get $out))
)"#
    )
}
