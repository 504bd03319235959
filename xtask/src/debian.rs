//! Packages of Debian and its descendants.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::command;

/// Installs packages; `what` they are for begins the error where that is not possible.
pub fn install(packages: &[&str], what: &str) -> Result<()> {
    let names = packages.join(" ");
    if command::ask("apt-get", &["--version"]).is_none() {
        bail!("{what}: there is no apt-get here; install what Debian calls {names}");
    }
    if command::ask("id", &["-u"]).as_deref() != Some("0") {
        bail!("{what}: installing needs root: run `sudo apt-get install {names}` and try again");
    }
    eprintln!("setting up: apt-get install {names}");
    // An outdated package list is no reason to stop: what it names may still be there.
    let _ = apt_get(&["update"]);
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command::run(apt.stdin(Stdio::null()).stdout(Stdio::null()))
}
