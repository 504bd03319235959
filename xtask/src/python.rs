//! Python with the packages that a bench compares with, in `target/`, at fixed versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::command;

/// Makes a virtual environment with what `requirements` names, unless it is there.
pub fn ensure(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let python = folder.join("bin/python");
    // Written last, so an installation that stopped half-way is done again.
    let installed = folder.join("installed.txt");
    let same = |found: String| found == wanted;
    if fs::read_to_string(&installed).is_ok_and(same) && works(&python) {
        return Ok(python);
    }
    crate::clear(folder)?;
    ensure!(
        command::ask("python3", &["-c", "import ensurepip, venv"]).is_some(),
        "no python3 with venv and ensurepip (Debian: python3-venv)"
    );
    eprintln!(
        "setting up: pip install {}",
        wanted.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    let mut venv = Command::new("python3");
    command::run(venv.args(["-m", "venv"]).arg(folder).stdin(Stdio::null()))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    command::run(pip.arg(requirements).stdin(Stdio::null()))?;
    ensure!(works(&python), "the Python in {} does not start", folder.display());
    fs::write(&installed, wanted)
        .with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

/// The interpreter that a virtual environment was made with may be gone.
fn works(python: &Path) -> bool {
    command::ask(&python.to_string_lossy(), &["--version"]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_that_are_not_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("requirements.txt");
        let error = ensure(&folder.path().join("venv"), &missing).unwrap_err();
        assert!(error.to_string().contains("requirements.txt"), "{error}");
    }
}
