//! The toolchain that compiles training code to WebAssembly.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::command;

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
    if command::ask("apt-get", &["--version"]).is_none() {
        bail!(
            "no WebAssembly target for Rust: `rustup target add {TARGET}` did not work here; \
             make it work, or install your distribution's standard library for {TARGET}"
        );
    }
    let packages = DEBIAN_PACKAGES.join(" ");
    if command::ask("id", &["-u"]).as_deref() != Some("0") {
        bail!(
            "no WebAssembly target for Rust, and installing one needs root: \
             run `sudo apt-get install {packages}` and try again"
        );
    }
    eprintln!("setting up: apt-get install {packages}");
    // An outdated package list is no reason to stop: what it names may still be there.
    let _ = apt_get(&["update"]);
    apt_get(&["install", "--yes", "--no-install-recommends"])?;
    if debian_installed() {
        Ok(Toolchain::Debian)
    } else {
        bail!("apt-get installed {packages}, yet {} are not all there", DEBIAN_PROGRAMS.join(", "))
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

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if arguments.contains(&"install") {
        apt.args(DEBIAN_PACKAGES);
    }
    command::run(&mut apt)
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
