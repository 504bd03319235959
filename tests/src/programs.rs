//! The programs under test, as cargo built them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the programs in the folder that cargo put this one into.
    pub fn find() -> Result<Self> {
        let this = std::env::current_exe().context("this program cannot find itself")?;
        let programs = this.ancestors().skip(1).map(|folder| Self { folder: folder.into() });
        programs
            .take(3)
            .find(|programs| programs.enclave().is_file() && programs.path("cloister").is_file())
            .context("cloister and its daemons are not built: run `cargo build --workspace --bins`")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The enclave's program.
    #[must_use]
    pub fn enclave(&self) -> PathBuf {
        self.path("cloister-enclave")
    }

    /// The host daemon.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.path("cloister-host")
    }

    /// The key broker.
    #[must_use]
    pub fn broker(&self) -> PathBuf {
        self.path("cloister-broker")
    }

    /// `cloister` with these arguments, ready to run in `folder`.
    pub fn cloister<A: AsRef<OsStr>>(&self, folder: &Path, arguments: &[A]) -> Command {
        let mut command = Command::new(self.path("cloister"));
        command.current_dir(folder).args(arguments);
        command
    }
}

/// What a command printed, or an error with what it complained about.
pub fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&stderr);
        bail!("{command:?} failed ({status}): {}", complaint.trim());
    }
    String::from_utf8(stdout).context("the output is not UTF-8")
}
