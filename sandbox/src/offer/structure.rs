//! What a component is made of, read before anything is compiled.
//!
//! Nested components are refused: calls between components run code of the runtime
//! that is not metered by fuel, and the tools that make trainers do not need them. What
//! each instance costs before and between looks at its fuel is bounded for that reason,
//! too: core instances, elements of tables, straight code.

use wasmparser::{ElementItems, Encoding, Instance, Parser, Payload};

use super::{OfferError, RANDOM, TENSORS, TYPES};
use crate::limits::{MAX_CORE_MODULES, MAX_FUNCTION_BYTES, MAX_SEGMENT_ELEMENTS};

/// Names at the top of a world are types that it uses from an interface.
const USED_TYPES: [&str; 3] = ["tensor", "param", "description"];

/// Refuses unknown imports, too many modules, and parts that trainers do not have.
pub(super) fn check(bytes: &[u8]) -> Result<(), OfferError> {
    let (mut modules, mut instances) = (0, 0);
    let mut elements = 0u32;
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(not_a_component)? {
            Payload::Version { encoding, .. } if depth == 0 && encoding != Encoding::Component => {
                return Err(OfferError::NotAComponent { reason: "it is a core module".into() });
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    check_import(import.map_err(not_a_component)?.name.name)?;
                }
            }
            Payload::ModuleSection { .. } => {
                modules += 1;
                depth += 1;
            }
            Payload::ComponentSection { .. } => return forbidden("a nested component"),
            // Runs while an instance is made: before it is clear for whom.
            Payload::ComponentStartSection { .. } | Payload::StartSection { .. } => {
                return forbidden("a start function");
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    let instance = instance.map_err(not_a_component)?;
                    instances += usize::from(matches!(instance, Instance::Instantiate { .. }));
                }
            }
            Payload::ElementSection(section) => {
                for segment in section {
                    elements =
                        elements.saturating_add(match segment.map_err(not_a_component)?.items {
                            ElementItems::Functions(items) => items.count(),
                            ElementItems::Expressions(_, items) => items.count(),
                        });
                }
            }
            Payload::CodeSectionEntry(body) if body.range().len() > MAX_FUNCTION_BYTES => {
                let found = body.range().len();
                return forbidden(&format!(
                    "a function of {found} bytes (at most {MAX_FUNCTION_BYTES})"
                ));
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if modules > MAX_CORE_MODULES {
        return forbidden(&format!("{modules} core modules (at most {MAX_CORE_MODULES})"));
    }
    if instances > MAX_CORE_MODULES {
        return forbidden(&format!("{instances} core instances (at most {MAX_CORE_MODULES})"));
    }
    if elements > MAX_SEGMENT_ELEMENTS {
        return forbidden(&format!(
            "{elements} elements of tables (at most {MAX_SEGMENT_ELEMENTS})"
        ));
    }
    Ok(())
}

fn check_import(name: &str) -> Result<(), OfferError> {
    if [TENSORS, RANDOM, TYPES].contains(&name) || USED_TYPES.contains(&name) {
        return Ok(());
    }
    Err(OfferError::ForbiddenImport { name: printable(name) })
}

/// A name that is safe to show: what is not printable ASCII becomes `?`, and it is cut.
pub(super) fn printable(name: &str) -> String {
    name.chars().take(128).map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

fn forbidden(part: &str) -> Result<(), OfferError> {
    Err(OfferError::ForbiddenPart { found: part.into() })
}

fn not_a_component(error: wasmparser::BinaryReaderError) -> OfferError {
    let message = error.message();
    OfferError::NotAComponent { reason: message.split_whitespace().collect::<Vec<_>>().join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_wat(wat: &str) -> Result<(), OfferError> {
        check(&wat::parse_str(wat).unwrap())
    }

    #[test]
    fn a_core_module_is_not_a_component() {
        let error = check_wat("(module)").unwrap_err();
        assert!(matches!(error, OfferError::NotAComponent { .. }), "{error}");
        let error = check(b"\x7fELF").unwrap_err();
        assert!(matches!(error, OfferError::NotAComponent { .. }), "{error}");
    }

    #[test]
    fn wasi_is_refused_by_name() {
        let error =
            check_wat(r#"(component (import "wasi:cli/stdout@0.2.0" (instance)))"#).unwrap_err();
        assert!(error.to_string().contains("wasi:cli/stdout@0.2.0"), "{error}");
    }

    #[test]
    fn nested_components_and_many_modules_are_refused() {
        for wat in [
            "(component (component))",
            "(component (core module) (core module) (core module) (core module))",
        ] {
            let error = check_wat(wat).unwrap_err();
            assert!(matches!(error, OfferError::ForbiddenPart { .. }), "{error}");
        }
        check_wat("(component (core module) (core module) (core module))").unwrap();
    }

    /// What runs between two looks at the fuel, or before the first.
    #[test]
    fn unmetered_work_is_bounded() {
        let function = |count: usize| {
            let body = "(local.set 0 (i64.div_u (local.get 0) (local.get 0)))".repeat(count);
            check_wat(&format!("(component (core module (func (param i64) {body})))"))
        };
        function(100).unwrap();
        let error = function(MAX_FUNCTION_BYTES / 7 + 1).unwrap_err();
        assert!(error.to_string().contains("a function of"), "{error}");

        let table = |kind: &str, count: usize| {
            let items = "$f ".repeat(count);
            check_wat(&format!(
                "(component (core module (table 1 funcref) (func $f) (elem {kind} func {items})))"
            ))
        };
        table("", 1000).unwrap();
        for kind in ["", "declare", "(i32.const 0)"] {
            let error = table(kind, MAX_SEGMENT_ELEMENTS as usize + 1).unwrap_err();
            assert!(error.to_string().contains("elements of tables"), "{error}");
        }

        let twice = "(core instance (instantiate $m))".repeat(4);
        let error = check_wat(&format!("(component (core module $m) {twice})")).unwrap_err();
        assert!(error.to_string().contains("core instances"), "{error}");
    }
}
