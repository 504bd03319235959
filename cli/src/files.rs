//! Files: read with a limit, written atomically.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cloister_party::{AtomicFile, write_atomically};

use crate::error::{Context, Error, Result};

/// The mode of what is not finished.
const PRIVATE: u32 = 0o600;

/// The mode of what is meant for others, too.
const PUBLIC: u32 = 0o644;
/// The most bytes of a text that a person writes.
const TEXT: u64 = 4 * 1024 * 1024;

/// Opens a file to be read; says what to do when it is not there.
pub fn open(path: &Path) -> Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::failed(format!(
            "{}: no such file; check its name, and which folder you are in",
            path.display()
        ))),
        opened => opened.with_path(path),
    }
}

/// Reads a file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).with_path(path)?;
    if bytes.len() as u64 > limit {
        let path = path.display();
        return Err(Error::failed(format!("{path}: larger than {limit} bytes, the limit for it")));
    }
    Ok(bytes)
}

/// Reads a text that a person wrote.
pub fn read_text(path: &Path) -> Result<String> {
    let text = String::from_utf8(read(path, TEXT)?);
    text.map_err(|_| Error::failed(format!("{}: not UTF-8 text", path.display())))
}

/// Writes a whole file, or nothing.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, bytes, PUBLIC).with_path(path)
}

/// A file that gets its name when it is complete: until then only its owner may read it,
/// and dropped, it is gone.
pub struct Draft {
    file: AtomicFile,
    path: PathBuf,
    force: bool,
}

impl Draft {
    /// Begins the file that will be `path`. What is there already is only replaced with
    /// `force`; one of the `inputs` it is made from never is, since the plaintext of a
    /// sealed table cannot be had back.
    pub fn begin(path: &Path, inputs: &[&Path], force: bool) -> Result<Self> {
        for input in inputs {
            if same_file(path, input) {
                return Err(Error::usage(format!(
                    "{} is read by this command and cannot be what it writes: name another \
                     file with -o",
                    path.display()
                )));
            }
        }
        unless_there(path, force)?;
        match AtomicFile::create(path, PRIVATE) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::failed(format!(
                "{}: no such folder to write into; make it first",
                path.display()
            ))),
            created => Ok(Self { file: created.with_path(path)?, path: path.to_owned(), force }),
        }
    }

    /// Makes the file durable under its name, and readable for others.
    pub fn commit(self) -> Result<()> {
        let Self { file, path, force } = self;
        // A long time may have passed.
        unless_there(&path, force)?;
        file.as_file().set_permissions(Permissions::from_mode(PUBLIC)).with_path(&path)?;
        file.commit().with_path(&path)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn unless_there(path: &Path, force: bool) -> Result<()> {
    if !force && fs::symlink_metadata(path).is_ok() {
        let path = path.display();
        return Err(Error::failed(format!(
            "{path} is there already: name another file with -o, or replace it with --force"
        )));
    }
    Ok(())
}

/// Whether two paths lead to one file, by whatever names and links.
fn same_file(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(a).is_some_and(|a| identity(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path, inputs: &[&Path], force: bool) -> String {
        Draft::begin(path, inputs, force).err().unwrap().to_string()
    }

    #[test]
    fn an_input_is_never_replaced_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("table.csv"), "rows").unwrap();
        std::os::unix::fs::symlink(at("table.csv"), at("link")).unwrap();
        fs::hard_link(at("table.csv"), at("hard")).unwrap();
        for name in ["table.csv", "./table.csv", "link", "hard"] {
            let error = refused(&at(name), &[&at("other"), &at("table.csv")], true);
            assert!(error.contains("name another file"), "{error}");
        }
        assert_eq!(fs::read(at("table.csv")).unwrap(), b"rows");
    }

    #[test]
    fn what_is_there_is_replaced_with_force_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut draft = Draft::begin(&path, &[], false).unwrap();
        draft.write_all(b"one").unwrap();
        let modes = || {
            fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        };
        assert_eq!(modes().collect::<Vec<_>>(), [0o600]);
        draft.commit().unwrap();
        assert_eq!(modes().collect::<Vec<_>>(), [0o644]);
        assert!(refused(&path, &[], false).contains("--force"));
        Draft::begin(&path, &[], true).unwrap().commit().unwrap();
        // Somebody else was faster.
        let late = Draft::begin(&folder.path().join("new"), &[], false).unwrap();
        fs::write(folder.path().join("new"), "theirs").unwrap();
        assert!(late.commit().unwrap_err().to_string().contains("--force"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no/file");
        assert!(read(&path, 3).unwrap_err().to_string().contains("no such file; check"));
        assert!(refused(&path, &[], false).contains("no such folder"));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"abc").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"abc");
        let error = read(&path, 2).unwrap_err().to_string();
        assert!(error.ends_with("larger than 2 bytes, the limit for it"), "{error}");
        write(&path, b"\xff").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().ends_with("not UTF-8 text"));
    }
}
