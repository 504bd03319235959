//! Files that are either whole or not there.

use std::{
    fs::{self, File, Permissions},
    io::{self, Seek, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// "CLBL", in `SQLite`'s field for what a file is: a broker's ledger.
pub const LEDGER_APPLICATION: u32 = 0x434c_424c;
/// "CLHQ", likewise: a host's queue.
pub const QUEUE_APPLICATION: u32 = 0x434c_4851;

/// Writes `bytes` to `path` with `mode`, replacing what was there: to a temporary
/// file in the same directory, synced, renamed, and the directory synced.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(bytes)?;
    file.commit()
}

/// A file that takes its name only when it is complete. Dropped before
/// [`AtomicFile::commit`], it leaves nothing behind.
pub struct AtomicFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins the file that will be `path`. It is created with mode 0600 and gets
    /// `mode` before anything is written.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(directory(path))?;
        temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
        Ok(Self { temporary, path: path.to_owned() })
    }

    /// Syncs the file, gives it its name, and syncs the directory.
    pub fn commit(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(&self.path).map_err(|error| error.error)?;
        sync_directory(directory(&self.path))
    }

    /// The file under its temporary name, to be read before it is committed.
    #[must_use]
    pub fn as_file(&self) -> &File {
        self.temporary.as_file()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.temporary.seek(position)
    }
}

/// Makes the names in `directory` durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates `path` with mode 0700; its parent has to exist.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_with_the_mode_and_leaves_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_is_gone_and_the_old_one_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        write_atomically(&path, b"old", 0o644).unwrap();
        let mut file = AtomicFile::create(&path, 0o644).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
