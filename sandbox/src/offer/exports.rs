//! Types of a component's imports and exports, compared with the world.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType, Type};

use super::{OfferError, reason};
use crate::instance::State;
use crate::offer::structure::printable;
use crate::tensors::Tensor;

/// What a parameter or result may be.
#[derive(Clone, Copy)]
enum Shape {
    U32,
    Own,
    Borrow,
    Params,
    Description,
}

/// An export of the world: its name, its parameters, its result.
type Export = (&'static str, &'static [Shape], Shape);

const EXPORTS: [Export; 4] = {
    use Shape::{Borrow, Description, Own, Params, U32};
    [
        ("describe", &[], Description),
        ("init", &[U32, U32, Params], Own),
        ("update", &[Borrow, Borrow, Borrow, Params], Own),
        ("score", &[Borrow, Borrow, Params], Own),
    ]
};

/// Checks that imports can be satisfied and that exports are exactly the world's.
pub(super) fn check(linker: &Linker<State>, component: &Component) -> Result<(), OfferError> {
    linker
        .instantiate_pre(component)
        .map_err(|error| OfferError::ImportType { reason: reason(&error) })?;
    let world = linker
        .substituted_component_type(component)
        .map_err(|error| OfferError::ImportType { reason: reason(&error) })?;
    let engine = linker.engine();
    for (name, _) in world.exports(engine) {
        if !EXPORTS.iter().any(|(known, ..)| *known == name) {
            return Err(OfferError::UnknownExport { name: printable(name) });
        }
    }
    for (name, parameters, result) in EXPORTS {
        let export = world.get_export(engine, name).ok_or(OfferError::MissingExport { name })?;
        let ComponentItem::ComponentFunc(function) = export.ty else {
            return wrong(name, "it is not a function");
        };
        check_function(name, &function, parameters, result)?;
    }
    Ok(())
}

fn check_function(
    name: &'static str,
    function: &ComponentFunc,
    parameters: &[Shape],
    result: Shape,
) -> Result<(), OfferError> {
    if function.async_() {
        return wrong(name, "it is async");
    }
    if function.params().len() != parameters.len() {
        return wrong(name, "it has another number of parameters");
    }
    for ((parameter, found), expected) in function.params().zip(parameters) {
        if !expected.matches(&found) {
            let parameter = printable(parameter);
            return wrong(name, &format!("parameter `{parameter}` has another type"));
        }
    }
    match function.results().collect::<Vec<_>>().as_slice() {
        [found] if result.matches(found) => Ok(()),
        _ => wrong(name, "it returns another type"),
    }
}

fn wrong(name: &'static str, reason: &str) -> Result<(), OfferError> {
    Err(OfferError::ExportType { name, reason: reason.into() })
}

impl Shape {
    fn matches(self, found: &Type) -> bool {
        match (self, found) {
            (Self::Own, Type::Own(resource)) | (Self::Borrow, Type::Borrow(resource)) => {
                *resource == ResourceType::host::<Tensor>()
            }
            (Self::Params, Type::List(list)) => match list.ty() {
                Type::Tuple(tuple) => {
                    matches!(
                        tuple.types().collect::<Vec<_>>().as_slice(),
                        [Type::String, Type::Float64]
                    )
                }
                _ => false,
            },
            // A description's fields are checked when it is read.
            (Self::U32, Type::U32) | (Self::Description, Type::Record(_)) => true,
            _ => false,
        }
    }
}
