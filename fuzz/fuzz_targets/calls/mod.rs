//! What a component may import of `tensors`, and what holds whatever it does with that.

use cloister_privacy::Gate;
use cloister_sandbox::{Outcome, Trial};

/// Each import by its name, with what it takes: slots a, b, c; sizes i, j; numbers x, y; flags
/// p, q; and what it gives: a handle for slot a, a number, or nothing.
pub const CALLS: &[(&str, &str, &str)] = &[
    ("[constructor]tensor", "ij", "h"),
    ("[resource-drop]tensor", "a", ""),
    ("[method]tensor.rows", "a", "i"),
    ("[method]tensor.columns", "a", "i"),
    ("[method]tensor.get", "aij", "f"),
    ("[method]tensor.set", "aijx", ""),
    ("[method]tensor.view", "bijj", "h"),
    ("[method]tensor.slice", "bij", "h"),
    ("[method]tensor.slice-columns", "bij", "h"),
    ("[method]tensor.append-column", "bx", "h"),
    ("copy", "ab", ""),
    ("fill", "ax", ""),
    ("scal", "xa", ""),
    ("axpy", "xab", ""),
    ("add", "ab", ""),
    ("mul", "ab", ""),
    ("div", "ab", ""),
    ("dot", "ab", "f"),
    ("sum", "a", "f"),
    ("nrm2", "a", "f"),
    ("sum-rows", "ab", ""),
    ("sum-columns", "ab", ""),
    ("gemv", "pxabyc", ""),
    ("ger", "xabc", ""),
    ("gemm", "pqxabyc", ""),
    ("sigmoid", "a", ""),
    ("tanh", "a", ""),
    ("relu", "a", ""),
    ("sigmoid-backward", "ab", ""),
    ("tanh-backward", "ab", ""),
    ("relu-backward", "ab", ""),
    ("exp", "a", ""),
    ("log", "a", ""),
    ("sqrt", "a", ""),
    ("clamp", "axy", ""),
    ("step", "ax", ""),
    ("softmax", "a", ""),
    ("log-softmax", "a", ""),
];

/// The import of a call, in text.
pub fn import(name: &str, takes: &str, gives: &str) -> String {
    let parameters: String =
        takes.chars().map(|kind| if "xy".contains(kind) { " f32" } else { " i32" }).collect();
    let result = match gives {
        "" => "",
        "f" => "(result f32)",
        _ => "(result i32)",
    };
    format!(
        "(import \"cloister:compute/tensors@1.0.0\" \"{name}\"
           (func $\"{name}\" (param{parameters}) {result}))\n"
    )
}

/// Checks units of as many rows each, their features and targets: twice the same outcome, fuel
/// and bits; the same by what is recorded of the code, for all at once; and a sum that one unit
/// can have.
pub fn check(trial: &mut Trial, units: &[(Vec<f32>, Vec<f32>)]) {
    let bits = |update: &[f32]| update.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut updates = Vec::new();
    for (features, targets) in units {
        let [first, again] = [(); 2].map(|()| trial.examine(features, targets));
        assert_eq!((first.outcome, first.fuel), (again.outcome, again.fuel));
        assert_eq!(bits(&first.update), bits(&again.update));
        assert_ne!(first.outcome, Outcome::DoesNotFit);
        updates.push((first.outcome, bits(&first.update)));
        let gate = Gate::new(1.0, 1 << 12, trial.dimension()).expect("a gate");
        assert!(trial.gated(features, targets, &gate).is_some(), "a sum that no unit can have");
    }

    let parts: Vec<_> = units.iter().map(|(x, y)| (&x[..], &y[..])).collect();
    let Some(planned) = trial.planned(&parts) else { return };
    if planned.is_empty() {
        assert!(updates.iter().all(|(outcome, _)| *outcome == Outcome::UpdateShape));
    } else {
        assert_eq!(planned.len(), units.len());
    }
    for ((outcome, update), planned) in updates.iter().zip(&planned) {
        if *outcome == Outcome::NotFinite {
            assert!(planned.iter().any(|x| !x.is_finite()));
        } else {
            assert_eq!((*outcome, update), (Outcome::Update, &bits(planned)));
        }
    }
}
