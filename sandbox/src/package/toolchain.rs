//! Building a trainer's crate to a core module with whichever Rust can do it.
//!
//! 1. The Rust on the path, if it has the `wasm32-unknown-unknown` target.
//! 2. Debian's `rustc-web`, `cargo-web`, `rust-web-src` and `lld`, which build the
//!    standard library along with the trainer; the target directory keeps it.
//!
//! Builds are locked and hold no paths of the machine, so that the same source and
//! compiler give the same module.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-unknown-unknown";

/// Flags of every build. The stack is small because each instance pays for its pages.
const FLAGS: [&str; 2] = ["-Ctarget-feature=+simd128", "-Clink-arg=-zstack-size=32768"];

/// What builds trainers on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The Rust on the path has the target.
    Installed,
    /// Debian's packages, with this linker.
    Debian {
        /// Name of the WebAssembly linker, such as `wasm-ld-19`.
        linker: String,
    },
}

/// Why a trainer was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// No Rust here can build WebAssembly.
    #[error(
        "no Rust here builds WebAssembly: run `rustup target add wasm32-unknown-unknown` \
         (or, on Debian, install rustc-web cargo-web rust-web-src lld)"
    )]
    Missing,
    /// The build failed; the compiler has said why.
    #[error("cargo could not build the trainer in {}; see its messages above", .0.display())]
    BuildFailed(PathBuf),
    /// What cargo says about the crate cannot be used.
    #[error("{} is not a trainer: {reason}", .manifest.display())]
    NotATrainer {
        /// Its manifest's directory.
        manifest: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A program did not start.
    #[error("{program} did not start: {error}")]
    Program {
        /// The program.
        program: String,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Builds the crate in `manifest_dir` and returns the path of its core module.
///
/// `target_dir` keeps what can be used again, the standard library included.
pub fn build_guest(manifest_dir: &Path, target_dir: &Path) -> Result<PathBuf, ToolchainError> {
    let toolchain = Toolchain::find()?;
    let package = Package::read(&toolchain, manifest_dir)?;
    let mut command = toolchain.cargo();
    command
        .args(["build", "--release", "--locked", "--lib", "--target", TARGET])
        .arg("--manifest-path")
        .arg(manifest_dir.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", toolchain.flags(&package.workspace))
        // Whatever the workspace's profile says, a trap is a trap.
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    if toolchain != Toolchain::Installed {
        // Paths are left out by cargo and not by flags, which would name this workspace: so
        // the standard library is built once for all of them.
        command
            .args(["-Zbuild-std=std,panic_abort", "-Ztrim-paths"])
            .env("CARGO_PROFILE_RELEASE_TRIM_PATHS", "all");
    }
    // Progress is for people; cargo's errors come in any case.
    if !io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    let status = command.status().map_err(|error| program(&command, error))?;
    let module = target_dir.join(TARGET).join("release").join(format!("{}.wasm", package.library));
    if status.success() && module.is_file() {
        Ok(module)
    } else {
        Err(ToolchainError::BuildFailed(manifest_dir.into()))
    }
}

impl Toolchain {
    /// Looks for a Rust that can build trainers.
    pub fn find() -> Result<Self, ToolchainError> {
        if Self::Installed.has_standard_library() {
            return Ok(Self::Installed);
        }
        let debian = ["/usr/bin/rustc", "/usr/bin/cargo", DEBIAN_SOURCE];
        if debian.iter().all(|path| Path::new(path).exists())
            && let Some(linker) = find_linker()
        {
            return Ok(Self::Debian { linker });
        }
        Err(ToolchainError::Missing)
    }

    /// For people: which toolchain it is.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Installed => "the installed Rust with its wasm32-unknown-unknown target",
            Self::Debian { .. } => "Debian's Rust, building the standard library too",
        }
    }

    /// The compiler with its version, as it names itself: it decides the module's bytes.
    #[must_use]
    pub fn compiler(&self) -> String {
        let unknown = || "a rustc that does not say its version".to_owned();
        let version = stdout(self.rustc().arg("--version"));
        version.ok().filter(|version| !version.is_empty()).unwrap_or_else(unknown)
    }

    fn has_standard_library(&self) -> bool {
        let mut command = self.rustc();
        command.args(["--print", "target-libdir", "--target", TARGET]);
        let Ok(output) = command.stderr(Stdio::null()).output() else {
            return false;
        };
        let libraries = String::from_utf8_lossy(&output.stdout);
        let Ok(files) = std::fs::read_dir(libraries.trim()) else {
            return false;
        };
        files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    }

    fn rustc(&self) -> Command {
        match self {
            Self::Installed => Command::new(env::var_os("RUSTC").unwrap_or("rustc".into())),
            Self::Debian { .. } => Command::new("/usr/bin/rustc"),
        }
    }

    /// Cargo without what an outer cargo or the user's shell says about other builds.
    fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Installed => Command::new(env::var_os("CARGO").unwrap_or("cargo".into())),
            Self::Debian { .. } => {
                let mut command = Command::new("/usr/bin/cargo");
                command
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        };
        for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"]
        {
            command.env_remove(name);
        }
        command
    }

    /// Flags as cargo wants them in one variable: separated by 0x1f.
    fn flags(&self, workspace: &Path) -> OsString {
        let mut flags: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
        if let Self::Debian { linker } = self {
            flags.push(format!("-Clinker={linker}").into());
            return flags.join("\u{1f}".as_ref());
        }
        let home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
        for (path, name) in [(Some(workspace.to_owned()), "/source"), (home, "/cargo")] {
            let Some(path) = path else { continue };
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(path);
            flag.push("=");
            flag.push(name);
            flags.push(flag);
        }
        flags.join("\u{1f}".as_ref())
    }
}

const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

fn find_linker() -> Option<String> {
    let versions = (14..40).rev().map(|version| format!("wasm-ld-{version}"));
    let mut names = std::iter::once("wasm-ld".to_owned()).chain(versions);
    names.find(|name| Path::new("/usr/bin").join(name).exists())
}

/// What cargo knows about a trainer's crate.
struct Package {
    workspace: PathBuf,
    library: String,
}

impl Package {
    fn read(toolchain: &Toolchain, manifest_dir: &Path) -> Result<Self, ToolchainError> {
        let manifest = manifest_dir.join("Cargo.toml");
        let not_a_trainer = |reason: &str| ToolchainError::NotATrainer {
            manifest: manifest_dir.into(),
            reason: reason.into(),
        };
        let text = std::fs::read_to_string(&manifest)
            .map_err(|error| not_a_trainer(&format!("its Cargo.toml cannot be read ({error})")))?;
        if !text.contains("\"cdylib\"") {
            return Err(not_a_trainer("its Cargo.toml needs [lib] crate-type = [\"cdylib\"]"));
        }
        let mut locate = toolchain.cargo();
        locate
            .args(["locate-project", "--workspace", "--message-format", "plain"])
            .arg("--manifest-path")
            .arg(&manifest);
        let workspace = stdout(&mut locate)?;
        let mut id = toolchain.cargo();
        id.args(["pkgid", "--offline"]).arg("--manifest-path").arg(&manifest);
        let id = stdout(&mut id)?;
        let name =
            package_name(&id).ok_or_else(|| not_a_trainer("cargo does not know its name"))?;
        Ok(Self {
            workspace: Path::new(&workspace)
                .parent()
                .map_or_else(|| manifest_dir.into(), Path::to_owned),
            library: name.replace('-', "_"),
        })
    }
}

/// The name in a package id: `path+file:///dir#name@1.0.0`, or `path+file:///name#1.0.0`
/// where directory and package have one name.
fn package_name(id: &str) -> Option<&str> {
    let (path, fragment) = id.trim().split_once('#')?;
    match fragment.split_once('@') {
        Some((name, _)) => Some(name),
        None => path.rsplit('/').next(),
    }
}

fn stdout(command: &mut Command) -> Result<String, ToolchainError> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|error| program(command, error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn program(command: &Command, error: io::Error) -> ToolchainError {
    ToolchainError::Program { program: command.get_program().to_string_lossy().into_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_package_ids() {
        let ids = [
            ("path+file:///a/b#trainer-x@0.1.0", Some("trainer-x")),
            ("path+file:///a/trainer-x#0.1.0", Some("trainer-x")),
            ("", None),
        ];
        for (id, name) in ids {
            assert_eq!(package_name(id), name);
        }
    }
}
