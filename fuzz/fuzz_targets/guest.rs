//! Any core module with the imports and exports of our world: offered, and if it is taken, run.
#![no_main]

mod calls;

use std::sync::LazyLock;

use cloister_sandbox::package::{componentize, embed_world};
use cloister_sandbox::{Limits, Settings, Trial, compile};
use libfuzzer_sys::fuzz_target;
use wasm_smith::{Config, Module};

use calls::{CALLS, check, import};

/// Shape of the model.
const MODEL: [u32; 2] = [3, 4];

/// Imports and exports; what functions do is made up.
static SHAPE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let imports: String =
        CALLS.iter().map(|(name, takes, gives)| import(name, takes, gives)).collect();
    let module = format!(
        r#"(module
          {imports}
          (import "cloister:compute/random@1.0.0" "next" (func (result i64)))
          (memory (export "memory") 1 4)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "describe") (result i32) unreachable)
          (func (export "init") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "update") (param i32 i32 i32 i32 i32) (result i32) unreachable)
          (func (export "score") (param i32 i32 i32 i32) (result i32) unreachable))"#
    );
    wat::parse_str(module).expect("the shape is text")
});

fn any_module(bytes: &[u8]) -> arbitrary::Result<Vec<u8>> {
    let config = Config {
        module_shape: Some(SHAPE.clone()),
        max_memory32_bytes: 4 << 16,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        simd_enabled: true,
        relaxed_simd_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        multi_value_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        tail_call_enabled: false,
        threads_enabled: false,
        extended_const_enabled: false,
        max_memories: 1,
        allow_start_export: false,
        ..Config::default()
    };
    Ok(Module::new(config, &mut arbitrary::Unstructured::new(bytes))?.to_bytes())
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(module) = any_module(bytes) else { return };
    let Ok(component) = embed_world(&module).and_then(|module| componentize(&module)) else {
        return;
    };
    let Ok(compiled) = compile(&component) else { return };
    let limits = Limits { fuel_per_unit: 300_000, tensor_bytes: 1 << 20, ..Limits::default() };
    let settings = Settings { limits, params: Vec::new(), seed: [1; 32], features: 4, targets: 1 };
    let mut trial = Trial::with_model(&compiled, settings, MODEL).expect("what is taken is linked");

    let unit = |feature: f32, target: f32| (vec![feature; 8], vec![target; 2]);
    check(&mut trial, &[unit(0.5, 1.0), unit(f32::NAN, -3.0)]);
});
