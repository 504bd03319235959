//! Running the program.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What a run left.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `cloister` in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_cloister"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it and requires success.
pub fn works(folder: &Path, arguments: &[&str]) -> String {
    let ran = run(folder, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.out, ran.err);
    ran.out
}

/// Runs it with `--json` and requires one object.
pub fn json(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let text = works(folder, &[arguments, &["--json"]].concat());
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Runs it and requires one line of error; returns it with the exit code.
pub fn fails(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let ran = run(folder, arguments);
    assert_eq!(ran.err.lines().count(), 1, "{arguments:?}: {}", ran.err);
    assert!(ran.err.starts_with("error: "), "{}", ran.err);
    assert!(ran.code == 1 || ran.code == 2, "{}", ran.code);
    (ran.code, ran.err)
}
