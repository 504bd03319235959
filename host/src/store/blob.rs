//! Releases: bytes that the host passes on without reading them.

use std::{
    fmt, fs,
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
};

use super::{Folder, Store, incoming::Incoming};

/// The BLAKE3 hash of a stored file of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobId(blake3::Hash);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl FromStr for BlobId {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(blake3::Hash::from_hex(text)?))
    }
}

impl Store {
    /// Begins a file of a release.
    pub fn receive_blob(&self) -> io::Result<BlobWriter> {
        let folder = self.folder(Folder::Releases);
        Ok(BlobWriter { file: self.receive()?, hash: blake3::Hasher::new(), folder })
    }

    /// Opens a file of a release; with its length in bytes.
    pub fn open_blob(&self, id: &BlobId) -> io::Result<(fs::File, u64)> {
        let file = fs::File::open(self.folder(Folder::Releases).join(id.to_string()))?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }
}

/// A file of a release that is being received. Dropped before
/// [`BlobWriter::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter {
    file: Incoming,
    hash: blake3::Hasher,
    folder: PathBuf,
}

impl BlobWriter {
    /// Makes the file durable and visible.
    pub fn publish(self) -> io::Result<BlobId> {
        let id = BlobId(self.hash.finalize());
        self.file.publish(&self.folder.join(id.to_string()))?;
        Ok(id)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
