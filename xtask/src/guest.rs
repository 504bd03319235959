//! The toolchain that compiles training code to WebAssembly.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{command, debian};

const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's Rust, whose source lets cargo build a standard library for the target.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
/// What those packages install that `cloister code build` calls.
const DEBIAN_PROGRAMS: [&str; 3] = ["/usr/bin/rustc", "/usr/bin/cargo", "/usr/bin/wasm-ld-19"];

/// What compiles guests on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The current toolchain; it has the target's standard library.
    Current,
    /// Debian's packages; the standard library is built from source.
    Debian,
}

impl Toolchain {
    /// In words, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Current => "the current toolchain's wasm32-unknown-unknown target",
            Self::Debian => "Debian's rustc-web with its standard library built from source",
        }
    }
}

/// What is there already, the current toolchain first.
pub fn find() -> Option<Toolchain> {
    if current_has_target() {
        Some(Toolchain::Current)
    } else if debian_installed() {
        Some(Toolchain::Debian)
    } else {
        None
    }
}

/// Finds a toolchain or installs one: by rustup, else from Debian.
pub fn ensure() -> Result<Toolchain> {
    if let Some(found) = find() {
        return Ok(found);
    }
    eprintln!("setting up: rustup target add {TARGET}");
    if rustup_adds_target() && current_has_target() {
        return Ok(Toolchain::Current);
    }
    let what = format!("no WebAssembly target for Rust: `rustup target add {TARGET}` failed");
    debian::install(&DEBIAN_PACKAGES, &what)?;
    if debian_installed() {
        Ok(Toolchain::Debian)
    } else {
        let (packages, programs) = (DEBIAN_PACKAGES.join(" "), DEBIAN_PROGRAMS.join(", "));
        bail!("apt-get installed {packages}, yet {programs} are not all there")
    }
}

fn current_has_target() -> bool {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    command::ask(&rustc, &["--print", "target-libdir", "--target", TARGET])
        .is_some_and(|folder| holds_core(Path::new(&folder)))
}

/// rustc names a folder for every target it knows; only an installed one holds `core`.
fn holds_core(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}

fn debian_installed() -> bool {
    DEBIAN_PROGRAMS.iter().all(|path| Path::new(path).exists())
        && command::ask("/usr/bin/rustc", &["--print", "sysroot"]).is_some_and(|sysroot| {
            Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").exists()
        })
}

fn rustup_adds_target() -> bool {
    Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What compiles trainers in C.
const C_PACKAGES: [&str; 3] = ["clang-19", "lld-19", "make"];

/// Installs what compiles trainers in C, if it is not there and can be. The tests that need it
/// say that they are skipped where it is not.
pub fn ensure_c() {
    let there = |program: &str| command::ask(program, &["--version"]).is_some();
    let found = ["clang-19", "wasm-ld-19", "make"].into_iter().all(there);
    if !found && let Err(error) = debian::install(&C_PACKAGES, "no C compiler for WebAssembly") {
        eprintln!("{error:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_target_folder_is_not_a_toolchain() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!holds_core(folder.path()));
        assert!(!holds_core(&folder.path().join("missing")));
        std::fs::write(folder.path().join("libcore-0123.rlib"), b"").unwrap();
        assert!(holds_core(folder.path()));
    }
}
