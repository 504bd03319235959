//! What the chores need on a machine: looking for it, and installing it for CI.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{command, guest};

/// A cargo subcommand that only `.ci/run` uses, at one fixed version.
struct Tool {
    name: &'static str,
    version: &'static str,
}

const TOOLS: [Tool; 1] = [Tool { name: "cargo-deny", version: "0.20.2" }];

/// Prints one line for each thing that building, testing and the demo need.
pub fn doctor() -> Result<()> {
    let toolchain = guest::find();
    let findings = [
        ("rustc", command::ask("rustc", &["--version"]), "install Rust: https://rustup.rs"),
        (
            "C compiler",
            command::ask("cc", &["--version"]).map(first_line),
            "install one, e.g. Debian's gcc",
        ),
        (
            "WebAssembly",
            toolchain.map(|found| found.describe().to_owned()),
            "`cargo xtask test` sets it up; or run `rustup target add wasm32-unknown-unknown`",
        ),
    ];
    let mut missing = Vec::new();
    for (what, found, advice) in findings {
        if let Some(found) = found {
            println!("ok       {what}: {found}");
        } else {
            println!("missing  {what}: {advice}");
            missing.push(what);
        }
    }
    if missing.is_empty() {
        println!("Everything that building and testing need is here.");
        Ok(())
    } else {
        bail!("this machine lacks: {} (see above for what to do)", missing.join(", "))
    }
}

/// Installs the guest toolchain and the tools of `.ci/run`, and prints which they are.
pub fn ci() -> Result<()> {
    println!("guests are compiled by {}", guest::ensure()?.describe());
    for tool in &TOOLS {
        tool.ensure()?;
        println!("{} {} in {}", tool.name, tool.version, tools_dir().display());
    }
    Ok(())
}

fn tools_dir() -> PathBuf {
    crate::target_dir().join("tools")
}

impl Tool {
    fn ensure(&self) -> Result<()> {
        let program = tools_dir().join("bin").join(self.name);
        let installed = command::ask(&program.to_string_lossy(), &["--version"]);
        if installed.is_some_and(|line| line.ends_with(&format!(" {}", self.version))) {
            return Ok(());
        }
        // Unoptimised: cargo-deny checks our tree in five seconds either way, and
        // compiles in a third of the time.
        command::run(
            command::cargo()
                .args(["install", "--quiet", "--locked", "--debug", "--force"])
                .arg(format!("{}@{}", self.name, self.version))
                .arg("--root")
                .arg(tools_dir())
                .arg("--target-dir")
                .arg(tools_dir().join("build"))
                .env("CARGO_PROFILE_DEV_DEBUG", "0"),
        )
    }
}

fn first_line(text: String) -> String {
    match text.split_once('\n') {
        Some((first, _)) => first.to_owned(),
        None => text,
    }
}
