//! The host cannot open what it holds, because it does not refer to the code that could.

use std::{fs, path::Path};

/// Names of everything in the protocol that holds or uses a key for data.
const FORBIDDEN: [&str; 9] = [
    "DataKey",
    "ChunkOpener",
    "ChunkSealer",
    "HpkeKeyPair",
    "GrantedKey",
    "SealedGrant::issue",
    "protocol::hpke",
    "signing_key()",
    "broker_key()",
];

/// Crates that could open data, or that hold rows.
const FORBIDDEN_CRATES: [&str; 8] = [
    "hpke",
    "ring",
    "cloister-enclave",
    "cloister-sandbox",
    "cloister-privacy",
    "cloister-broker",
    "arrow",
    "aes-gcm",
];

#[test]
fn sources_do_not_mention_keys_of_data() {
    let mut files = 0;
    scan(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files > 20, "{files} files were looked at");
}

fn scan(folder: &Path, files: &mut u32) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scan(&path, files);
            continue;
        }
        *files += 1;
        let text = fs::read_to_string(&path).unwrap();
        for name in FORBIDDEN {
            assert!(!text.contains(name), "{} mentions {name}", path.display());
        }
    }
}

#[test]
fn dependencies_cannot_open_data() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    assert!(dependencies.contains_key("cloister-protocol"));
    for name in dependencies.keys() {
        for forbidden in FORBIDDEN_CRATES {
            assert!(!name.starts_with(forbidden), "{name} is a dependency");
        }
    }
}

/// The linker leaves out what nothing refers to, so the finished program must not
/// have these functions either, by whatever way they could have come in.
#[test]
fn the_program_does_not_contain_the_code_that_opens() {
    let program = fs::read(env!("CARGO_BIN_EXE_cloister-host")).unwrap();
    // In a symbol, a name has its length before it. (In debug information names of
    // functions that were left out may remain, without it.)
    let contains = |name: &str| {
        let symbol = format!("{}{name}", name.len()).into_bytes();
        program.windows(symbol.len()).any(|bytes| bytes == symbol)
    };
    // The symbols are there to be found at all.
    assert!(contains("DatasetUpload"), "the program has no symbols: this test shows nothing");
    for name in ["ChunkOpener", "ChunkSealer", "HpkeKeyPair", "GrantedKey", "DataKey"] {
        assert!(!contains(name), "the program contains {name}");
    }
}
