//! Every limit of the sandbox, with its reason.

use serde::{Deserialize, Serialize};

/// Largest component. Rust trainers take 30 KB; compiling takes a second per MB.
pub const MAX_COMPONENT_BYTES: usize = 4 << 20;

/// Largest model or update, in elements: 64 MiB of `f32`.
pub const MAX_MODEL_ELEMENTS: usize = 16 << 20;

/// Largest unit, features and targets together, in elements: 16 MiB of `f32`.
pub const MAX_UNIT_ELEMENTS: usize = 4 << 20;

/// Most parameters that a component may declare.
pub const MAX_PARAMETERS: usize = 64;

/// Longest text that a component may say about itself or a parameter, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 256;

/// Most core modules in a component. `wit-component` makes three: the program, and
/// two small ones that tie the knot between its imports and its memory.
pub(crate) const MAX_CORE_MODULES: usize = 3;

/// Largest body of one function. Fuel is looked at when a function or a loop begins, so
/// this much code may run after the last look; [`crate::fuel::UNIT_OVERHEAD`] has it.
/// Trainers compiled from Rust have functions of a few KiB.
pub(crate) const MAX_FUNCTION_BYTES: usize = 16 << 10;

/// Most elements of all segments of tables: they may be set up for each instance, unmetered.
pub(crate) const MAX_SEGMENT_ELEMENTS: u32 = 4096;

/// Most core instances: those of the modules, each once, and the bundles of imports that
/// they take.
pub(crate) const MAX_CORE_INSTANCES: u32 = 32;

/// Most elements of a guest's tables together: its functions called by pointer.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 10_000;

/// Most bytes that lists and strings may take when they leave a guest in one call.
/// `write` takes 4 KiB; a description with all its parameters takes less than this.
pub(crate) const MAX_CALL_BYTES: usize = 256 << 10;

/// Most elements that `read` and `write` take.
pub(crate) const MAX_PIECE_ELEMENTS: usize = 1024;

/// Most bytes that a worker keeps of what code asked for, to do it for other units.
pub(crate) const MAX_PLAN_BYTES: usize = 4 << 20;

/// What finding that out may take: lists that grow, and a unit of zeros, twice for a moment.
const RECORDING_BYTES: u64 = 3 * MAX_PLAN_BYTES as u64 + 8 * MAX_UNIT_ELEMENTS as u64;

/// The guest's stack. Rust guests keep their own stack of 32 KiB in linear memory.
pub(crate) const WASM_STACK_BYTES: usize = 512 << 10;

/// What a frame between a pool and its worker may hold: the largest message is the
/// compiled component, about ten times the component's size.
pub(crate) const MAX_FRAME_BYTES: usize = 96 << 20;

/// How much one instance may use. Part of the job, the same for every unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel of one unit's update; see [`crate::fuel`].
    pub fuel_per_unit: u64,
    /// Fuel of `describe`, `init` and `score` of public rows, which see public things only.
    pub fuel_public: u64,
    /// Linear memory of one instance, in bytes.
    pub guest_memory_bytes: usize,
    /// Tensors of one instance, model and rows included, in bytes.
    pub tensor_bytes: usize,
    /// Private memory of a worker process beyond the two above, in bytes.
    pub worker_memory_bytes: u64,
}

impl Limits {
    /// Private memory that a worker process may have, in bytes: what an instance may use
    /// twice, because the one before is still being taken apart, and the rest.
    #[must_use]
    pub fn worker_bytes(&self) -> u64 {
        (2 * self.guest_memory_bytes as u64)
            .saturating_add(2 * self.tensor_bytes as u64)
            .saturating_add(self.worker_memory_bytes)
            .saturating_add(RECORDING_BYTES)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_per_unit: 10_000_000,
            fuel_public: 1_000_000_000,
            guest_memory_bytes: 4 << 20,
            tensor_bytes: 128 << 20,
            worker_memory_bytes: 256 << 20,
        }
    }
}
