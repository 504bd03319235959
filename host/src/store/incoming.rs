//! A file that is being received.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// A file under a temporary name. Dropped, it is gone; published, it is whole.
#[derive(Debug)]
pub(super) struct Incoming {
    file: NamedTempFile,
}

impl Incoming {
    /// Begins a file in `folder`, which is on the same file system as its final place.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: NamedTempFile::new_in(folder)? })
    }

    /// The file, to be read back before it is published.
    pub(super) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Makes the file durable under its final name: file, name, folder, in that order.
    pub(super) fn publish(self, path: &Path) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(path).map_err(|failed| failed.error)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
