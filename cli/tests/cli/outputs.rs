//! What a command writes: never over its own input, never half, never unasked over a file.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::program::{fails, json, works};

const DATASET: &str = r#"
name = "patients"
unit = "id"
[[column]]
name = "id"
role = "unit"
type = "text"
[[column]]
name = "size"
role = "feature"
type = "f64"
lower = 0
upper = 100.0
[[column]]
name = "age"
role = "feature"
type = "i64"
lower = 0
upper = 120
typical = 60
[[column]]
name = "sick"
role = "label"
type = "i64"
lower = 0
upper = 1
"#;

const TABLE: &str = "id,size,age,sick\nx,1,50,0\ny,2,60,1\n";
const SEAL: &[&str] = &["data", "seal", "t.csv", "--dataset", "dataset.toml", "--home", "a"];
const MOCK: &[&str] = &["data", "mock", "--dataset", "dataset.toml", "--rows", "3"];

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let address = "https://127.0.0.1:7101";
    let arguments =
        ["owner", "init", "a", "--name", "a", "--population", "people", "--address", address];
    works(folder.path(), &arguments);
    fs::write(folder.path().join("dataset.toml"), DATASET).unwrap();
    fs::write(folder.path().join("t.csv"), TABLE).unwrap();
    folder
}

/// There is no way back from a sealed file to the table: the command must not eat it.
#[test]
fn an_input_is_never_overwritten() {
    let folder = prepared();
    std::os::unix::fs::symlink("t.csv", folder.path().join("link")).unwrap();
    for (command, output) in
        [(SEAL, "t.csv"), (SEAL, "./t.csv"), (SEAL, "link"), (SEAL, "dataset.toml")]
            .into_iter()
            .chain([(MOCK, "dataset.toml")])
    {
        let (code, line) = fails(folder.path(), &[command, &["-o", output, "--force"]].concat());
        assert_eq!(code, 2, "{line}");
        assert!(line.contains(output) && line.contains("name another file"), "{line}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("t.csv")).unwrap(), TABLE);
    assert_eq!(fs::read_to_string(folder.path().join("dataset.toml")).unwrap(), DATASET);
}

#[test]
fn a_file_that_is_there_is_replaced_when_asked() {
    let folder = prepared();
    for command in [SEAL, MOCK] {
        let command = [command, &["-o", "out"]].concat();
        works(folder.path(), &command);
        let first = fs::read(folder.path().join("out")).unwrap();
        let (_, line) = fails(folder.path(), &command);
        assert!(line.contains("out is there already") && line.contains("--force"), "{line}");
        assert_eq!(fs::read(folder.path().join("out")).unwrap(), first);
        works(folder.path(), &[&command[..], &["--force"]].concat());
        fs::remove_file(folder.path().join("out")).unwrap();
    }
}

#[test]
fn sealing_says_what_stands_in_for_missing_values() {
    let folder = prepared();
    let sealed = json(folder.path(), SEAL);
    assert_eq!(sealed["middle_of_bounds"], serde_json::json!(["size"]));
    let page = works(folder.path(), &[SEAL, &["--force"]].concat());
    assert!(page.contains("the middle of the bounds, for want of `typical`: size"), "{page}");
}

#[test]
fn endings_in_capitals_are_endings() {
    let folder = prepared();
    fs::rename(folder.path().join("t.csv"), folder.path().join("T.CSV")).unwrap();
    let seal = ["data", "seal", "T.CSV", "--dataset", "dataset.toml", "--home", "a"];
    assert_eq!(json(folder.path(), &seal)["rows"], 2);
}

#[test]
fn bounds_without_a_whole_number_are_refused() {
    let folder = prepared();
    let text = DATASET.replace("lower = 0\nupper = 120\ntypical = 60", "lower = 0.2\nupper = 0.8");
    fs::write(folder.path().join("dataset.toml"), text).unwrap();
    let (_, line) = fails(folder.path(), &[MOCK, &["-o", "m.csv"]].concat());
    assert!(line.contains("no whole number lies within its bounds"), "{line}");
}

fn drafts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains(".new-")).collect()
}

/// A table without end is being sealed when somebody wants the program to end.
#[test]
fn an_interrupted_seal_leaves_nothing_behind() {
    for signal in ["-INT", "-TERM"] {
        let folder = prepared();
        let table = folder.path().join("t.csv");
        fs::remove_file(&table).unwrap();
        assert!(Command::new("mkfifo").arg(&table).status().unwrap().success());
        let mut sealing = Command::new(env!("CARGO_BIN_EXE_cloister"))
            .args(SEAL)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let rows = thread::spawn(move || {
            let mut table = fs::OpenOptions::new().write(true).open(table).unwrap();
            let _ = table.write_all(b"id,size,age,sick\n");
            while table.write_all(b"x,1,50,0\n").is_ok() {}
        });
        let end = Instant::now() + Duration::from_secs(20);
        // A chunk of the sealed body was written.
        while !drafts(folder.path()).iter().any(|path| fs::metadata(path).unwrap().len() > 0) {
            assert!(Instant::now() < end, "it does not begin");
            thread::sleep(Duration::from_millis(10));
        }
        let mode = fs::metadata(&drafts(folder.path())[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what is not finished is nobody else's");
        let id = sealing.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        while sealing.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
        rows.join().unwrap();
        let output = sealing.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line, "error: interrupted: nothing was written\n");
        assert_eq!(drafts(folder.path()), Vec::<PathBuf>::new());
        assert!(!folder.path().join("t.sealed").exists());
        assert_eq!(fs::read_dir(folder.path().join("a/data")).map_or(0, Iterator::count), 0);
    }
}

#[test]
fn a_new_trainer_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let made = json(folder.path(), &["code", "new", "mine"]);
    let files = made["files"].as_array().unwrap();
    assert!(files.len() > 10, "{made}");
    for file in files {
        let text = fs::read_to_string(at("mine").join(file.as_str().unwrap())).unwrap();
        assert!(!text.contains("{{"), "{file} is not filled in");
    }
    // The program's own SDK is the copy.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compute/sdk");
    let copied = fs::read(at("mine/cloister/sdk/src/tensor.rs")).unwrap();
    assert_eq!(copied, fs::read(ours.join("src/tensor.rs")).unwrap());

    fs::write(at("mine/src/lib.rs"), "changed").unwrap();
    let (code, line) = fails(folder.path(), &["code", "new", "mine"]);
    assert!(code == 1 && line.contains("mine is there already"), "{line}");
    assert_eq!(fs::read(at("mine/src/lib.rs")).unwrap(), b"changed");

    for name in ["Mine", "../mine", "a/b", "serde", "core", ""] {
        let (code, line) = fails(folder.path(), &["code", "new", name]);
        assert!(code == 2 && line.contains("the name"), "{line}");
    }
    let sdk = ours.to_str().unwrap();
    json(folder.path(), &["code", "new", "beside", "--sdk", sdk]);
    assert!(fs::read_to_string(at("beside/Cargo.toml")).unwrap().contains(sdk));
    assert!(!at("beside/cloister").exists());
    for sdk in ["mine", "nowhere"] {
        let (code, line) = fails(folder.path(), &["code", "new", "other", "--sdk", sdk]);
        assert!(code == 1 && line.contains(sdk), "{line}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
