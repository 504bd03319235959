//! An error is one line that says what to do.

use std::fs;

use super::program::{fails, run, works};

#[test]
fn wrong_use_is_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["--frobnicate"][..],
        &["data", "seal"],
        &["data", "seal", "t.csv", "--dataset"],
        &["verify", "x.receipt"],
        &["verify"],
        &["owner", "init", "home", "--name", "../x"],
        &["completions", "cmd.exe"],
    ] {
        let (code, line) = fails(folder.path(), arguments);
        assert_eq!(code, 2, "{arguments:?}: {line}");
    }
}

#[test]
fn verify_says_what_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (_, line) = fails(folder.path(), &["verify", "x.receipt"]);
    assert!(line.contains("--trust measurements.toml"), "{line}");
}

#[test]
fn failures_are_one_line_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("junk"), b"\x00\x01junk").unwrap();
    fs::write(folder.path().join("bad.toml"), "name = \"x\"\nunit = [\n").unwrap();
    for (arguments, contains) in [
        (&["show", "missing"][..], "missing: no such file; check its name"),
        (&["show", "junk"], "not a file of Cloister's"),
        (&["policy", "check", "--home", "nowhere"], "nowhere is not a party's home"),
        (
            &["data", "mock", "--dataset", "bad.toml", "--rows", "1", "-o", "m.csv"],
            "bad.toml, line",
        ),
        (&["code", "approve", "x.code", "--home", "nowhere"], "nowhere"),
    ] {
        let (code, line) = fails(folder.path(), arguments);
        assert_eq!(code, 1, "{line}");
        assert!(line.contains(contains), "{line}");
    }
}

#[test]
fn a_machine_does_not_approve_code_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let approve = ["code", "approve", "x.code", "--home", "nowhere", "--json"];
    let (code, line) = fails(folder.path(), &approve);
    assert!(code == 2 && line.contains("--yes"), "{line}");
}

#[test]
fn a_machine_gets_errors_as_an_object_too() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["show", "missing", "--json"][..], &["verify", "--json"]] {
        let ran = run(folder.path(), arguments);
        let object: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let line = format!("error: {}\n", object["error"].as_str().unwrap());
        assert_eq!(ran.err, line);
    }
}

#[test]
fn help_and_completions_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["data", "seal", "--help"], &["verify", "--help"]] {
        assert!(works(folder.path(), arguments).contains("Example"));
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(works(folder.path(), &["completions", shell]).contains("trust-image"));
    }
}

#[test]
fn nothing_is_coloured_where_nobody_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["author", "init", "a", "--name", "a"];
    assert!(!works(folder.path(), &arguments).contains('\u{1b}'));
    let arguments = ["author", "init", "b", "--name", "b", "--color", "always"];
    assert!(works(folder.path(), &arguments).contains('\u{1b}'));
    let arguments = ["author", "init", "c", "--name", "c", "--quiet"];
    assert_eq!(works(folder.path(), &arguments), "");
}
