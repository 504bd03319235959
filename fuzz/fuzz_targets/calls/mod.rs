//! What a component may import of `tensors`.

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
