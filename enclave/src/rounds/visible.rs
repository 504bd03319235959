//! **For tests only**: sums before noise, in a file.

use std::{env, fs::OpenOptions, io::Write as _};

use cloister_privacy::IntegerSum;

#[cfg(not(debug_assertions))]
compile_error!(
    "the feature `visible-sum` breaks every promise of this program: it is for tests, and never for a release build"
);

/// The environment variable with the file's path.
const VARIABLE: &str = "CLOISTER_VISIBLE_SUM";

/// Appends `round: v v v ...` to the file.
pub(super) fn write(round: u32, sum: &IntegerSum) {
    let Some(path) = env::var_os(VARIABLE) else { return };
    let values: Vec<String> = sum.values().iter().map(ToString::to_string).collect();
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{round}: {}", values.join(" ")));
    written.expect("a test build was asked to write its sums, and cannot");
}
