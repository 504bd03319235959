//! `cargo xtask install`: the programs as people run them, first-party trainers beside them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, guest};

/// The programs, each of a package of the same name.
const PROGRAMS: [&str; 4] = ["cloister", "cloister-broker", "cloister-host", "cloister-enclave"];

/// First-party trainers: the folder in `compute/trainers`, and the version that jobs name.
const TRAINERS: [(&str, &str); 8] = [
    ("logistic", "1"),
    ("linear", "1"),
    ("softmax", "1"),
    ("perceptron", "1"),
    ("gradient-histogram", "1"),
    ("cox", "1"),
    ("analytics", "1"),
    ("kaplan-meier", "1"),
];

/// Builds everything for release and puts it into `folder`. Trainers are signed with the
/// key of the author's home `author`, which is made if it is not there.
pub fn run(folder: &Path, author: &Path) -> Result<()> {
    println!("guests are compiled by {}", guest::ensure()?.describe());
    // Not the workspace: its tests turn features on that no program should have.
    let mut build = command::cargo();
    build.args(["build", "--release", "--locked"]);
    command::run(build.args(PROGRAMS.iter().flat_map(|program| ["--package", program])))?;

    let trainers = folder.join("trainers");
    fs::create_dir_all(&trainers).with_context(|| format!("cannot make {}", trainers.display()))?;
    for program in PROGRAMS {
        place(&crate::target_dir().join("release").join(program), &folder.join(program))?;
    }

    let cloister = || Command::new(folder.join("cloister"));
    if !author.exists() {
        command::run(cloister().args(["author", "init"]).arg(author).args(["--name", "author"]))?;
    }
    for (name, version) in TRAINERS {
        let source = crate::root().join("compute/trainers").join(name);
        let component = crate::target_dir().join(format!("trainers/{name}.wasm"));
        crate::make_parent(&component)?;
        let mut build = cloister();
        build.args(["code", "build"]).arg(source).arg("-o").arg(&component);
        command::run(build.arg("--target-dir").arg(crate::guests_dir()))?;
        let mut sign = cloister();
        sign.args(["code", "sign"]).arg(&component).args(["--name", name, "--version", version]);
        let signed = trainers.join(format!("{name}@{version}.code"));
        command::run(sign.arg("--home").arg(author).arg("-o").arg(signed))?;
    }
    println!(
        "\nInstalled in {}, which may go into PATH. Jobs name the trainers in trainers/; owners\n\
         approve them once, by the author's key above. The secret key is in {}.\n\
         This cloister-enclave is the simulated one: whoever runs it can read the rows.",
        folder.display(),
        author.display()
    );
    Ok(())
}

/// Copies a program over one that may be running.
fn place(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    fs::copy(from, &new)
        .and_then(|_| fs::rename(&new, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
