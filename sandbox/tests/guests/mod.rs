//! Components written by hand, one hostile idea each.

use cloister_sandbox::package::{componentize, embed_world};

/// Features and model rows of these guests.
pub const FEATURES: u32 = 2;

/// Where a unit that is meant to be hostile says so: its first feature.
pub const TRIGGER: f32 = 666.0;

/// A component from a core module in text form.
pub fn component(module: &str) -> Vec<u8> {
    let module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    componentize(&embed_world(&module).unwrap()).unwrap()
}

/// A module whose `update` does what `update` says, in text form: it has `$model`,
/// `$features`, `$targets` and `$out`, a new tensor of the model's shape that is returned.
pub fn module(globals: &str, update: &str) -> String {
    module_with(globals, update, DESCRIPTION)
}

/// An honest module: its update is the first row's features, times 3.
pub fn honest() -> String {
    module("", "")
}

/// Like [`module`], but it never looks at a row: every update is 3 times 2.
pub fn blind(update: &str) -> String {
    let look = "(call $get (local.get $features) (i32.const 0) (local.get $i))";
    module("", update).replace(look, "(f32.const 2)")
}

/// A module whose `score` does what `score` says: it has `$model`, `$features` and `$out`, a
/// new tensor for the prediction of one row that is returned.
pub fn scored(module: &str, score: &str) -> String {
    let (rest, old) = module.split_once("(param i32 i32) (result i32)\n    (call $drop").unwrap();
    assert!(old.ends_with("(call $new (i32.const 1) (i32.const 1)))\n)"), "the end of `score`");
    format!(
        "{rest}(param i32 i32) (result i32)
    (local $out i32)
    (local.set $out (call $new (i32.const 1) (i32.const 1)))
    {score}
    (call $drop (local.get $model))
    (call $drop (local.get $features))
    (local.get $out))
)"
    )
}

/// Like [`honest`], but a unit that starts with [`TRIGGER`] runs `hostile` first.
pub fn triggered(hostile: &str) -> String {
    let update = format!(
        "(if (f32.eq (call $get (local.get $features) (i32.const 0) (i32.const 0))
                     (f32.const {TRIGGER}))
           (then {hostile}))"
    );
    module("", &update)
}

/// Name, version, summary, parameters, model, scores: pointers and lengths.
pub const DESCRIPTION: [(u32, u32); 6] = [(64, 4), (68, 5), (64, 4), (0, 0), (64, 4), (64, 4)];

/// Like [`module`], with a description of its own.
pub fn module_with(globals: &str, update: &str, description: [(u32, u32); 6]) -> String {
    let numbers = description.iter().flat_map(|(at, length)| [at, length]);
    let bytes: Vec<_> = numbers.flat_map(|number| number.to_le_bytes()).collect();
    let record = bytes.iter().fold(String::new(), |text, byte| format!("{text}\\{byte:02x}"));
    format!(
        r#"(module
  (import "cloister:compute/tensors@1.0.0" "[constructor]tensor"
    (func $new (param i32 i32) (result i32)))
  (import "cloister:compute/tensors@1.0.0" "[resource-drop]tensor" (func $drop (param i32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.get"
    (func $get (param i32 i32 i32) (result f32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.set"
    (func $set (param i32 i32 i32 f32)))
  (import "cloister:compute/tensors@1.0.0" "[method]tensor.write"
    (func $write (param i32 i32 i32 i32)))
  (import "cloister:compute/tensors@1.0.0" "scal" (func $scal (param f32 i32)))
  (import "cloister:compute/tensors@1.0.0" "axpy" (func $axpy (param f32 i32 i32)))
  (import "cloister:compute/tensors@1.0.0" "gemm"
    (func $gemm (param i32 i32 f32 i32 i32 f32 i32)))
  (import "cloister:compute/random@1.0.0" "next" (func $random (result i64)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))
  {globals}
  (data (i32.const 16) "{record}")
  (data (i32.const 64) "test1.0.0")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $start) (local.get 3)))
    (local.get $start))
  (func (export "describe") (result i32) (i32.const 16))
  (func (export "init") (param i32 i32 i32 i32) (result i32)
    (call $new (local.get 0) (local.get 1)))
  (func $deep (export "deep") (param i64) (result i64)
    (i64.add (i64.const 1) (call $deep (i64.add (local.get 0) (i64.const 1)))))
  (func (export "update") (param $model i32) (param $features i32) (param $targets i32)
                          (param $params i32) (param $count i32) (result i32)
    (local $out i32) (local $i i32)
    (local.set $out (call $new (i32.const {FEATURES}) (i32.const 1)))
    (loop $each
      (call $set (local.get $out) (local.get $i) (i32.const 0)
        (f32.mul (f32.const 3)
          (call $get (local.get $features) (i32.const 0) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $i) (i32.const {FEATURES}))))
    {update}
    (call $drop (local.get $model))
    (call $drop (local.get $features))
    (call $drop (local.get $targets))
    (local.get $out))
  (func (export "score") (param $model i32) (param $features i32) (param i32 i32) (result i32)
    (call $drop (local.get $model))
    (call $drop (local.get $features))
    (call $new (i32.const 1) (i32.const 1)))
)"#
    )
}
