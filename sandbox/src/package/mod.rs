//! Making components: for the command line and for tests. Not part of the enclave.

pub mod toolchain;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The world that compute code is written against.
pub const WIT: &str = include_str!("../../../compute/wit/world.wit");

/// Why a core module could not be made into a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The module does not fit the world.
    #[error("the core module does not implement the world `trainer` of cloister:compute: {0}")]
    DoesNotFit(String),
    /// Our own WIT text is broken; a bug.
    #[error("compute/wit/world.wit cannot be read: {0}")]
    Wit(String),
}

/// Makes a component of a core module that names its world, as modules built with
/// `cloister-compute` do. The same module gives the same bytes.
pub fn componentize(core_module: &[u8]) -> Result<Vec<u8>, PackageError> {
    let mut encoder = ComponentEncoder::default();
    encoder
        .validate(true)
        .module(core_module)
        .and_then(ComponentEncoder::encode)
        .map_err(|error| PackageError::DoesNotFit(one_line(&error)))
}

/// Adds the name and types of our world to a core module that was written by hand.
pub fn embed_world(core_module: &[u8]) -> Result<Vec<u8>, PackageError> {
    let wit = |error: &dyn std::fmt::Display| PackageError::Wit(error.to_string());
    let mut resolve = Resolve::default();
    let package = resolve.push_source("world.wit", WIT).map_err(|error| wit(&error))?;
    let world = resolve.select_world(&[package], Some("trainer")).map_err(|error| wit(&error))?;
    let mut module = core_module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| wit(&error))?;
    Ok(module)
}

fn one_line(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").split_whitespace().collect::<Vec<_>>().join(" ")
}
