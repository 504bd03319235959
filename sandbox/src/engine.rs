//! The one place that configures wasmtime.
//!
//! Two aims decide every line: the same inputs give the same bits on every machine,
//! and a feature that Rust trainers do not need is off.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, OperatorCost,
    PoolingAllocationConfig, WasmFeatures,
};

use crate::fuel;
use crate::limits::{
    Limits, MAX_CORE_INSTANCES, MAX_CORE_MODULES, MAX_TABLE_ELEMENTS, WASM_STACK_BYTES,
};

/// Instances that may exist at once: one, and a spare while it is replaced.
const SLOTS: u32 = 2;

/// Memory of a slot that is cleaned by writing zeros, and kept, instead of being
/// handed back to the system: a page fault costs more than clearing ten pages.
const KEEP_RESIDENT_BYTES: usize = 128 << 10;

/// An engine. Compiled code moves between engines whatever their limits are.
pub(crate) fn engine(limits: &Limits) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    determinism(&mut config);
    features(&mut config);
    config
        .max_wasm_stack(WASM_STACK_BYTES)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false)
        .generate_address_map(false)
        .signals_based_traps(true)
        .guard_before_linear_memory(true)
        .module_version(ModuleVersionStrategy::WasmtimeVersion)?
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    Engine::new(&config)
}

fn determinism(config: &mut Config) {
    config.consume_fuel(true).operator_cost(operator_cost()).cranelift_nan_canonicalization(true);
}

fn features(config: &mut Config) {
    config.wasm_features(WasmFeatures::all(), false).wasm_features(
        // What Rust's wasm32-unknown-unknown emits, and components.
        WasmFeatures::FLOATS
            | WasmFeatures::MUTABLE_GLOBAL
            | WasmFeatures::SATURATING_FLOAT_TO_INT
            | WasmFeatures::SIGN_EXTENSION
            | WasmFeatures::MULTI_VALUE
            | WasmFeatures::BULK_MEMORY
            | WasmFeatures::REFERENCE_TYPES
            | WasmFeatures::SIMD
            | WasmFeatures::COMPONENT_MODEL,
        true,
    );
}

/// Instructions whose time is far from their neighbours' cost more; the constants of
/// [`fuel`] rest on this table.
fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    macro_rules! set {
        ($fuel:expr; $($operator:ident)*) => { $(cost.$operator = $fuel;)* };
    }
    // May miss every cache.
    set!(fuel::LOAD;
        I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U
        I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U
        I32Store I64Store F32Store F64Store I32Store8 I32Store16 I64Store8 I64Store16 I64Store32
        V128Load V128Load8x8S V128Load8x8U V128Load16x4S V128Load16x4U V128Load32x2S
        V128Load32x2U V128Load8Splat V128Load16Splat V128Load32Splat V128Load64Splat
        V128Load32Zero V128Load64Zero V128Store
        V128Load8Lane V128Load16Lane V128Load32Lane V128Load64Lane
        V128Store8Lane V128Store16Lane V128Store32Lane V128Store64Lane
        TableGet TableSet);
    // Leave the function, perhaps the component.
    set!(fuel::CALL; Call CallIndirect);
    // Tens of cycles.
    set!(fuel::DIVIDE;
        I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU
        F32Div F64Div F32Sqrt F64Sqrt F32x4Div F64x2Div F32x4Sqrt F64x2Sqrt);
    // Calls into the runtime, before the cost of each byte, element or page.
    set!(fuel::BULK;
        MemoryCopy MemoryFill MemoryInit DataDrop MemoryGrow
        TableCopy TableFill TableInit TableGrow ElemDrop);
    cost.variable.memory_grow_per_page = u8::MAX;
    cost
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let modules = u32::try_from(MAX_CORE_MODULES).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(SLOTS)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .total_core_instances(SLOTS * MAX_CORE_INSTANCES)
        .max_memories_per_component(1)
        .max_memories_per_module(1)
        .total_memories(SLOTS)
        .max_memory_size(limits.guest_memory_bytes)
        .max_tables_per_component(2 * modules)
        .max_tables_per_module(2)
        .total_tables(SLOTS * 2 * modules)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(16 << 10)
        .decommit_batch_size(1)
        // Needs a descriptor for /proc/self/pagemap, which workers do not have.
        .pagemap_scan(Enabled::No);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiles(wat: &str) -> bool {
        let wasm = wat::parse_str(wat).unwrap();
        engine(&Limits::default()).unwrap().precompile_module(&wasm).is_ok()
    }

    #[test]
    fn plain_modules_compile() {
        assert!(compiles("(module (memory 1) (func (drop (i32.const 1))))"));
    }

    #[test]
    fn features_that_trainers_do_not_need_are_off() {
        for wat in [
            "(module (memory i64 1))",
            "(module (memory 1) (memory 1))",
            "(module (memory 1 1 shared))",
            "(module (func (param v128 v128 v128) (result v128)
                local.get 0 local.get 1 local.get 2 f32x4.relaxed_madd))",
            "(module (func $f return_call $f))",
            "(module (type (struct)))",
            "(module (tag))",
        ] {
            assert!(!compiles(wat), "compiled: {wat}");
        }
    }
}
