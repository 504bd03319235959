//! Looking at a component that somebody offers, before it may see anything.
//!
//! 1. Size and structure, from its bytes: imports, modules, nothing nested.
//! 2. Compilation, with only the features that `engine.rs` lets in.
//! 3. Types of all imports and exports.
//! 4. For [`inspect`], what it says about itself. This runs its code.

mod description;
mod exports;
mod structure;

use std::sync::Arc;

use wasmtime::component::Component;

use crate::engine::engine;
use crate::instance::{Runner, linker};
use crate::limits::{Limits, MAX_COMPONENT_BYTES};

pub use description::{Description, Parameter, ParameterKind};

/// Name of the interface with the kernels.
pub(crate) const TENSORS: &str = "cloister:compute/tensors@1.0.0";
/// Name of the interface with random numbers.
pub(crate) const RANDOM: &str = "cloister:compute/random@1.0.0";
/// Name of the interface with plain types.
const TYPES: &str = "cloister:compute/types@1.0.0";

/// Why a component was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Larger than [`MAX_COMPONENT_BYTES`].
    #[error(
        "the component has {found} bytes, at most {limit} are allowed; build it in release mode"
    )]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a component at all.
    #[error("this is not a WebAssembly component ({reason}); make one with `cloister code build`")]
    NotAComponent {
        /// What the parser found.
        reason: String,
    },
    /// It wants something that compute code does not get.
    #[error(
        "the component imports `{name}`; compute code may import only the interfaces \
         of cloister:compute@1.0.0"
    )]
    ForbiddenImport {
        /// The import's name.
        name: String,
    },
    /// It has parts that no trainer built by our tools has.
    #[error(
        "the component contains {found}, which is not allowed; make it with `cloister code build`"
    )]
    ForbiddenPart {
        /// The part.
        found: String,
    },
    /// It exports something unknown.
    #[error("the component exports `{name}`, which is not in cloister:compute@1.0.0")]
    UnknownExport {
        /// The export's name.
        name: String,
    },
    /// An export is missing.
    #[error(
        "the component does not export `{name}`; it must export describe, init, update and score"
    )]
    MissingExport {
        /// The export's name.
        name: &'static str,
    },
    /// An export has another type.
    #[error("the export `{name}` is not as in cloister:compute@1.0.0: {reason}")]
    ExportType {
        /// The export's name.
        name: &'static str,
        /// What differs.
        reason: String,
    },
    /// An import has another type.
    #[error("an import is not as in cloister:compute@1.0.0: {reason}")]
    ImportType {
        /// What differs.
        reason: String,
    },
    /// It does not validate, or uses features that are off.
    #[error("the component does not compile: {reason}")]
    DoesNotCompile {
        /// What the compiler found.
        reason: String,
    },
    /// `describe` trapped or ran out of fuel.
    #[error("`describe` failed: {reason}")]
    DescribeFailed {
        /// The trap.
        reason: String,
    },
    /// `describe` returned something impossible.
    #[error("`describe` returned {reason}")]
    BadDescription {
        /// What is wrong with it.
        reason: String,
    },
    /// The runtime itself could not start.
    #[error("the WebAssembly runtime cannot start on this machine: {reason}")]
    Runtime {
        /// What it said.
        reason: String,
    },
}

/// A component that was checked and compiled by this process.
///
/// The only way to make one is [`compile`], so its bytes are native code that this
/// process's compiler wrote.
#[derive(Clone)]
pub struct Compiled(Arc<[u8]>);

impl Compiled {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Checks and compiles a component. None of its code runs.
pub fn compile(component: &[u8]) -> Result<Compiled, OfferError> {
    let component = check(component)?;
    let bytes = component.serialize().map_err(does_not_compile)?;
    Ok(Compiled(bytes.into()))
}

/// Checks a component and asks it what it is. Runs `describe` under fuel, in this
/// process: for tools that show code to people.
pub fn inspect(component: &[u8]) -> Result<Description, OfferError> {
    let component = check(component)?;
    let runner = Runner::new(&component, Limits::default(), [0; 32], Vec::new(), [0; 2], 0)
        .map_err(runtime)?;
    let description =
        runner.describe().map_err(|error| OfferError::DescribeFailed { reason: reason(&error) })?;
    Description::try_from(description)
}

fn check(bytes: &[u8]) -> Result<Component, OfferError> {
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(OfferError::TooLarge { found: bytes.len(), limit: MAX_COMPONENT_BYTES });
    }
    structure::check(bytes)?;
    let engine = engine(&Limits::default()).map_err(runtime)?;
    let component = Component::from_binary(&engine, bytes).map_err(does_not_compile)?;
    let linker = linker(&engine).map_err(runtime)?;
    exports::check(&linker, &component)?;
    Ok(component)
}

fn does_not_compile(error: wasmtime::Error) -> OfferError {
    OfferError::DoesNotCompile { reason: reason(&error) }
}

fn runtime(error: wasmtime::Error) -> OfferError {
    OfferError::Runtime { reason: reason(&error) }
}

/// An error with its causes, on one line.
fn reason(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
