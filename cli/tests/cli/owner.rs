//! What an owner does before anything is shared.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use arrow_array::{Float64Array, StringArray, cast::AsArray};
use arrow_ipc::reader::StreamReader;
use cloister_protocol::dataset::{ChunkOpener, DataKey, FileLayout, PREFIX, SEALED_CHUNK};

use super::program::{fails, json, works};

const DATASET: &str = r#"
name = "patients"
unit = "id"
max-rows-per-unit = 2
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
name = "sick"
role = "label"
type = "i64"
lower = 0
upper = 1
"#;

const MEASUREMENTS: &str = include_str!("../../../attestation/tests/fixtures/measurements.toml");

fn owner(folder: &Path, name: &str) {
    let address = "https://127.0.0.1:7101";
    let arguments =
        ["owner", "init", name, "--name", name, "--population", "people", "--address", address];
    works(folder, &arguments);
}

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    owner(folder.path(), "a");
    fs::write(folder.path().join("dataset.toml"), DATASET).unwrap();
    folder
}

/// Opens a sealed file with the key in its owner's home.
fn opened(sealed: &Path, key: &Path) -> Vec<u8> {
    let layout = FileLayout::read(fs::File::open(sealed).unwrap()).unwrap();
    let bytes = fs::read(sealed).unwrap();
    let from = usize::try_from(layout.body_offset).unwrap();
    let body = &bytes[from..from + usize::try_from(layout.body_length).unwrap()];
    let key = DataKey::from_bytes(&fs::read(key).unwrap().try_into().unwrap());
    let prefix = body[..PREFIX].try_into().unwrap();
    let mut opener = ChunkOpener::new(&key, prefix, &layout.header.digest()).unwrap();
    let mut plain = Vec::new();
    for chunk in body[PREFIX..].chunks(SEALED_CHUNK) {
        plain.extend_from_slice(opener.open(&mut chunk.to_vec()).unwrap());
    }
    opener.finish().unwrap();
    plain
}

#[test]
fn an_owner_is_made_with_its_ledger() {
    let folder = prepared();
    let path = folder.path().join("a/ledger.sqlite");
    let owner = *cloister_party::Home::open(&folder.path().join("a")).unwrap().id();
    assert_eq!(cloister_broker::Ledger::open(&path, owner).unwrap().verify_chain().unwrap().0, 0);
    for name in ["policy.toml", "ledger.head"] {
        assert!(folder.path().join("a").join(name).exists(), "{name}");
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // A home is never made over another, so a ledger is never made anew.
    fs::remove_file(&path).unwrap();
    let arguments = [
        "owner",
        "init",
        "a",
        "--name",
        "a",
        "--population",
        "people",
        "--address",
        "https://127.0.0.1:7101",
    ];
    fails(folder.path(), &arguments);
    assert!(!path.exists());
}

#[test]
fn a_table_is_sealed_and_only_its_key_opens_it() {
    let folder = prepared();
    let table = "id,size,sick\nCANARY-1,12.5,0\nCANARY-2,,1\nCANARY-1,99.25,1\n";
    fs::write(folder.path().join("t.csv"), table).unwrap();
    let seal = ["data", "seal", "t.csv", "--dataset", "dataset.toml", "--home", "a"];
    let sealed = json(folder.path(), &seal);
    assert_eq!((&sealed["rows"], &sealed["units"]), (&3.into(), &2.into()));
    assert_eq!((&sealed["max_rows_per_unit"], &sealed["missing"]), (&2.into(), &1.into()));

    let file = folder.path().join("t.sealed");
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"CANARY"));
    let id = &sealed["id"].as_str().unwrap()[..32];
    let key = folder.path().join(format!("a/data/{id}.key"));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let plain = opened(&file, &key);
    let batches: Vec<_> =
        StreamReader::try_new(&plain[..], None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    let ids: &StringArray = batches[0].column(0).as_string();
    assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["CANARY-1", "CANARY-2", "CANARY-1"]);
    let sizes: &Float64Array = batches[0].column(1).as_primitive();
    assert_eq!(sizes.iter().collect::<Vec<_>>(), [Some(12.5), None, Some(99.25)]);

    let shown = works(folder.path(), &["show", "t.sealed"]);
    assert!(shown.contains("A sealed dataset") && shown.contains("Nothing has been verified"));
    let proof = format!("a/data/{id}.proof");
    let shown = json(folder.path(), &["show", &proof]);
    assert_eq!((&shown["kind"], &shown["verified"]), (&"dataset-proof".into(), &false.into()));
}

#[test]
fn a_wrong_table_leaves_nothing_behind() {
    let folder = prepared();
    let seal = ["data", "seal", "t.csv", "--dataset", "dataset.toml", "--home", "a"];
    for (table, contains) in [
        ("id,size,sick\nx,1,0\ny,123.75,0\n", "row 2, column \"size\": outside the public bounds"),
        ("id,size,sick\nx,1,0\nx,1,0\nx,1,0\n", "a unit has 3 rows, at most 2 are declared"),
        ("id,size,sick\n,1,0\n", "no unit id"),
        ("id,size,sick\nx,1,\n", "no value"),
        ("id,size,sick,extra\nx,1,0,0\n", "column \"extra\" is not in the description"),
        ("id,size,sick\n", "no rows"),
    ] {
        fs::write(folder.path().join("t.csv"), table).unwrap();
        let (code, line) = fails(folder.path(), &seal);
        assert_eq!(code, 1);
        assert!(line.contains(contains) && !line.contains("123.75"), "{line}");
    }
    let left = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
    let mut left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["a", "dataset.toml", "t.csv"]);
    fs::write(folder.path().join("t.csv"), "id,size,sick\ny,123.75,0\n").unwrap();
    let clamped = json(folder.path(), &[&seal[..], &["--clamp"]].concat());
    assert_eq!(clamped["clamped"], 1);
}

#[test]
fn synthetic_rows_can_be_sealed() {
    let folder = prepared();
    let mock = ["data", "mock", "--dataset", "dataset.toml", "--rows", "20000", "-o", "m.csv"];
    works(folder.path(), &mock);
    let first = fs::read(folder.path().join("m.csv")).unwrap();
    works(folder.path(), &[&mock[..], &["--force"]].concat());
    assert_eq!(first, fs::read(folder.path().join("m.csv")).unwrap());
    let seal = ["data", "seal", "m.csv", "--dataset", "dataset.toml", "--home", "a"];
    let sealed = json(folder.path(), &seal);
    assert_eq!((&sealed["rows"], &sealed["units"]), (&20000.into(), &20000.into()));
    let id = &sealed["id"].as_str().unwrap()[..32];
    let plain =
        opened(&folder.path().join("m.sealed"), &folder.path().join(format!("a/data/{id}.key")));
    let rows: usize =
        StreamReader::try_new(&plain[..], None).unwrap().map(|b| b.unwrap().num_rows()).sum();
    assert_eq!(rows, 20000);
}

#[test]
fn a_policy_is_written_explained_and_signed_once() {
    let folder = prepared();
    owner(folder.path(), "b");
    works(folder.path(), &["orchestrator", "init", "lab", "--name", "lab"]);
    fs::write(folder.path().join("measurements.toml"), MEASUREMENTS).unwrap();
    let at = |command: &[&'static str]| [&["policy"], command, &["--home", "a"]].concat();

    let (_, line) = fails(folder.path(), &at(&["check"]));
    assert!(line.contains("trust-image"), "{line}");
    // An enclave that protects nothing is approved by who says so, and then it is shown.
    let (_, line) = fails(folder.path(), &at(&["trust-image", "measurements.toml"]));
    assert!(line.contains("[[simulated]]") && line.contains("--allow-simulated"), "{line}");
    let debug = at(&["trust-image", "measurements.toml", "--allow-debug"]);
    assert!(fails(folder.path(), &debug).1.contains("--allow-simulated"));
    let trust = at(&["trust-image", "measurements.toml", "--allow-simulated"]);
    let page = works(folder.path(), &trust);
    for part in ["SIMULATED: fixture enclave", "PCR0", "root"] {
        assert!(page.contains(part), "{page}");
    }
    works(folder.path(), &at(&["allow-owner", "b/enrolment.cloister"]));
    works(folder.path(), &at(&["allow-orchestrator", "lab/enrolment.cloister"]));
    let again = json(folder.path(), &at(&["allow-owner", "b/enrolment.cloister"]));
    assert_eq!(again["changed"], false);
    let (_, line) = fails(folder.path(), &at(&["allow-owner", "lab/enrolment.cloister"]));
    assert!(line.contains("that of an owner is needed"), "{line}");

    let page = works(folder.path(), &at(&["check"]));
    assert!(page.contains("version 4") && page.contains("WARNING"), "{page}");
    let checked = json(folder.path(), &at(&["check"]));
    assert!(checked["warnings"][0].as_str().unwrap().contains("SIMULATED"), "{checked}");
    assert!(works(folder.path(), &at(&["explain"])).contains("SIMULATED"));
    assert!(works(folder.path(), &at(&["sign"])).contains("WARNING"));
    let again = json(folder.path(), &at(&["sign"]));
    assert_eq!(again["changed"], false);
    assert_eq!(again["warnings"].as_array().unwrap().len(), 1);
    assert!(works(folder.path(), &["show", "a/policy.cloister"]).contains("version 4"));

    let path = folder.path().join("a/policy.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("minimum-units = 100", "minimum-units = 1")).unwrap();
    let (_, line) = fails(folder.path(), &at(&["sign"]));
    assert!(line.contains("set version = 5"), "{line}");
    fs::write(&path, text.replace("[recipients]", "[recipient]")).unwrap();
    let (_, line) = fails(folder.path(), &at(&["check"]));
    assert!(line.contains("recipients"), "{line}");
}

#[test]
fn parties_accept_each_other() {
    let folder = prepared();
    works(
        folder.path(),
        &[
            "host",
            "init",
            "node",
            "--name",
            "node-1",
            "--address",
            "https://localhost:7201",
            "--enclave",
            "cloister-enclave",
            "--vendor",
            "vendor",
            "--workers",
            "2",
        ],
    );
    let accepted = json(folder.path(), &["enrol", "node/enrolment.cloister", "--home", "a"]);
    assert_eq!((&accepted["accepted"], &accepted["role"]), (&"node-1".into(), &"host".into()));
    let shown = json(folder.path(), &["show", "node/enrolment.cloister"]);
    assert_eq!(shown["claims"]["key"], accepted["key"]);
    for (file, kind) in [
        ("a/ledger.sqlite", "ledger"),
        ("a/identity.key", "secret-key"),
        ("a/tls/server.key", "secret-key"),
        ("a/tls/ca.pem", "certificate"),
        ("node/host.toml", "host-text"),
    ] {
        assert_eq!(json(folder.path(), &["show", file])["kind"], kind, "{file}");
    }
    let (_, line) = fails(folder.path(), &["enrol", "a/enrolment.cloister", "--home", "a"]);
    assert!(line.contains("this party itself"), "{line}");
    // Nobody listens there: one line says who and where.
    fs::write(folder.path().join("t.csv"), "id,size,sick\nx,1,0\n").unwrap();
    let seal = ["data", "seal", "t.csv", "--dataset", "dataset.toml", "--home", "a"];
    works(folder.path(), &seal);
    let push = ["data", "push", "t.sealed", "--home", "a", "--host", "node-1"];
    let (code, line) = fails(folder.path(), &push);
    assert!(code == 1 && line.contains("node-1") && line.contains("7201"), "{line}");
    let (_, line) =
        fails(folder.path(), &["data", "push", "t.sealed", "--home", "a", "--host", "x"]);
    assert!(line.contains("node-1"), "{line}");
}
