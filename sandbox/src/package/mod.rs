//! Making components: for the command line and for tests. Not part of the enclave.

pub mod toolchain;

use wasmparser::{Parser, Payload};
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
    /// Not a module of any kind.
    #[error("this is not WebAssembly; give a core module, or the folder of a trainer's crate")]
    NotWebAssembly,
    /// A component, where a core module was expected.
    #[error("this is a component already; `cloister code sign` takes it as it is")]
    AlreadyAComponent,
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

/// Makes a component of a core module of any compiler. One that does not name a world is
/// taken to be written against ours. The same module gives the same bytes.
pub fn componentize_any(core_module: &[u8]) -> Result<Vec<u8>, PackageError> {
    match core_module.first_chunk() {
        Some(b"\0asm\x01\0\0\0") => {}
        Some(b"\0asm\x0d\0\x01\0") => return Err(PackageError::AlreadyAComponent),
        _ => return Err(PackageError::NotWebAssembly),
    }
    let names_a_world = Parser::new(0).parse_all(core_module).any(|payload| {
        matches!(payload, Ok(Payload::CustomSection(section))
            if section.name().starts_with("component-type"))
    });
    if names_a_world { componentize(core_module) } else { componentize(&embed_world(core_module)?) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_core_module_is_refused_and_named() {
        for (bytes, says) in [
            (&b""[..], "not WebAssembly"),
            (b"\x7fELF\x02\x01\x01\0", "not WebAssembly"),
            (b"\0asm\x0d\0\x01\0", "a component already"),
            (b"\0asm\x01\0\0\0", "does not implement the world"),
            (b"\0asm\x01\0\0\0\xff", "does not implement the world"),
        ] {
            let error = componentize_any(bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{bytes:?}: {error}");
        }
    }
}
