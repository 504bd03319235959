//! `cargo xtask fuzz`: malformed input for each parser of bytes from outside.
//!
//! Our own crates are compiled with coverage counters, their dependencies as they are: so
//! they are those that the tests use, and nothing but our crates is built for it. This
//! works because cargo runs the compiler of workspace members, and of nothing else,
//! through [`instrument`]. For days of fuzzing, with counters everywhere and sanitizers,
//! use cargo-fuzz: see `fuzz/README.md`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command;

/// Set where this program stands for the compiler.
pub const INSTRUMENT: &str = "CLOISTER_XTASK_INSTRUMENT";

/// What libFuzzer needs to see which code an input reaches, and what it is compared with.
const COUNTERS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The longest input, in bytes.
const LONGEST: usize = 65_536;

/// Builds `targets`, or all, and runs each for `seconds` from its committed corpus. What it
/// finds on the way is kept in `target/fuzz`.
pub fn run(targets: &[String], seconds: u32) -> Result<()> {
    let known = known()?;
    let unknown = targets.iter().find(|target| !known.contains(target));
    if let Some(unknown) = unknown {
        bail!("no fuzz target {unknown:?}; there are {}", known.join(", "));
    }
    let targets = if targets.is_empty() { &known } else { targets };

    let mut build = command::cargo();
    build.env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?).env(INSTRUMENT, "1");
    // All packages are named, so that their dependencies have the features that tests use.
    build.args(["build", "--workspace", "--features", "cloister-fuzz/fuzz"]);
    command::run(build.args(targets.iter().flat_map(|target| ["--bin", target])))?;

    for target in targets {
        let found = crate::target_dir().join("fuzz").join(target);
        let [corpus, crashes] = ["corpus", "crashes"].map(|part| found.join(part));
        for folder in [&corpus, &crashes] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut fuzz = Command::new(crate::target_dir().join("debug").join(target));
        fuzz.args([&corpus, &crate::root().join("fuzz/corpus").join(target)])
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LONGEST}"))
            .args(["-verbosity=0", "-print_funcs=0", "-print_final_stats=1", "-timeout=20"]);
        let ended = fuzz.output().with_context(|| format!("cannot start {target}"))?;
        let said = String::from_utf8_lossy(&ended.stderr);
        if !ended.status.success() {
            eprintln!("{said}");
            bail!("{target} failed ({}); the input is in {}", ended.status, crashes.display());
        }
        let [inputs, new] = ["number_of_executed_units", "new_units_added"]
            .map(|name| statistic(&said, name).unwrap_or_else(|| "?".to_owned()));
        println!("{target:<13} {inputs:>9} inputs in {seconds} s, {new} of them reached new code");
    }
    Ok(())
}

/// A figure of libFuzzer's last lines.
fn statistic(said: &str, name: &str) -> Option<String> {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))?;
    Some(line.trim_start_matches(':').trim().to_owned())
}

/// All targets, by name.
fn known() -> Result<Vec<String>> {
    let folder = crate::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        // Folders hold what targets share.
        let path = entry?.path();
        let target = path.file_stem().filter(|_| path.is_file());
        names.extend(target.map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    ensure!(!names.is_empty(), "there is no target in {}", folder.display());
    Ok(names)
}

/// Becomes the compiler that cargo wanted, with counters. The first argument is its path.
pub fn instrument(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let compiler = arguments.next().context("cargo names a compiler")?;
    let error = Command::new(&compiler).args(arguments).args(COUNTERS).exec();
    Err(error).with_context(|| format!("cannot start {}", compiler.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name() {
        let said = "noise\nstat::number_of_executed_units: 42\nstat::new_units_added:   7\n";
        assert_eq!(statistic(said, "new_units_added").as_deref(), Some("7"));
        assert_eq!(statistic(said, "peak_rss_mb"), None);
    }

    #[test]
    fn every_target_is_built_and_has_a_corpus() {
        let manifest = fs::read_to_string(crate::root().join("fuzz/Cargo.toml")).unwrap();
        let known = known().unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), known.len());
        for target in known {
            assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target}");
            let corpus = crate::root().join("fuzz/corpus").join(&target);
            assert!(fs::read_dir(&corpus).unwrap().next().is_some(), "{}", corpus.display());
        }
    }
}
