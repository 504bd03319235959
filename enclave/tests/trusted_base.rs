//! The enclave's dependency tree is the trusted computing base, and each platform brings only
//! what it needs. Asks `cargo tree`, which builds nothing.

use std::{collections::BTreeSet, path::Path, process::Command};

const PLATFORMS: [&str; 3] = ["simulated", "nitro", "snp"];

/// HTTP, TLS, databases, verifiers, and the other programs of Cloister.
const FORBIDDEN: [&str; 15] = [
    "axum",
    "hyper",
    "ureq",
    "rustls",
    "rustls-webpki",
    "openssl-sys",
    "rusqlite",
    "libsqlite3-sys",
    "x509-parser",
    "cloister-attestation",
    "cloister-broker",
    "cloister-host",
    "cloister-party",
    "cloister",
    "clap",
];

/// The names of the crates in a build with these features and nothing else.
fn crates(features: &str) -> BTreeSet<String> {
    tree(&["--no-default-features", "--features", features])
}

fn tree(features: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["tree", "--locked", "--package", "cloister-enclave"])
        .args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree (`cargo fetch` may help): {errors}");
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
}

/// What a platform adds to a build without any.
fn added(platform: &str) -> Vec<String> {
    let without = crates("");
    crates(platform).into_iter().filter(|name| !without.contains(name)).collect()
}

#[test]
fn no_http_no_database_no_verifier() {
    for platform in PLATFORMS {
        let crates = crates(platform);
        assert!(crates.contains("cloister-protocol"), "this test looks at nothing");
        for name in FORBIDDEN {
            assert!(!crates.contains(name), "{platform}: {name} is in the enclave");
        }
    }
}

/// Whoever changes these lists has read what is new in them.
#[test]
fn a_platform_brings_what_it_needs_and_no_other_platform() {
    assert_eq!(added("nitro"), ["aws-nitro-enclaves-nsm-api", "serde_cbor"]);
    assert_eq!(
        added("snp"),
        [
            "base64",
            "bitfield",
            "byteorder",
            "dirs",
            "dirs-sys",
            "iocuddle",
            "lazy_static",
            "option-ext",
            "sev",
            "static_assertions",
            "uuid",
        ]
    );
    let simulated = added("simulated");
    assert!(simulated.iter().any(|name| name == "cloister-simulated"), "{simulated:?}");
    for other in ["aws-nitro-enclaves-nsm-api", "serde_cbor", "sev"] {
        assert!(!simulated.iter().any(|name| name == other), "{other} is in {simulated:?}");
    }
}

#[test]
fn the_simulated_platform_is_the_default_and_alone() {
    assert_eq!(tree(&[]), crates("simulated"));
}
