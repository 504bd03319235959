//! Finding the enclave's program, before a process is made that would only fail.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The program to start: a bare name is looked up in `PATH`, as a shell would.
pub(super) fn find(command: &Path) -> io::Result<PathBuf> {
    find_in(command, &env::var_os("PATH").unwrap_or_default())
}

fn find_in(command: &Path, path: &std::ffi::OsStr) -> io::Result<PathBuf> {
    if command.as_os_str().as_encoded_bytes().contains(&b'/') {
        return check(command).map(|()| command.to_owned());
    }
    let candidates = env::split_paths(path).map(|folder| folder.join(command));
    candidates.into_iter().find(|candidate| check(candidate).is_ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "no folder in PATH has a program of this name")
    })
}

fn check(program: &Path) -> io::Result<()> {
    let found = fs::metadata(program)?;
    if found.is_file() && found.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not a program that can be executed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_are_looked_up_and_what_is_no_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, program) = (folder.path().join("plain"), folder.path().join("program"));
        fs::write(&plain, "").unwrap();
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().as_os_str();
        assert_eq!(find_in(Path::new("program"), path).unwrap(), program);
        assert_eq!(find_in(&program, "".as_ref()).unwrap(), program);
        for (command, says) in [
            (Path::new("plain"), "no folder in PATH"),
            (Path::new("missing"), "no folder in PATH"),
            (plain.as_path(), "not a program"),
            (folder.path(), "not a program"),
            (folder.path().join("missing").as_path(), "No such file"),
        ] {
            let error = find_in(command, path).unwrap_err().to_string();
            assert!(error.contains(says), "{command:?}: {error}");
        }
    }
}
