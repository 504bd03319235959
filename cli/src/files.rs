//! Files: read with a limit, written atomically.

use std::{fs::File, io::Read, path::Path};

use cloister_party::{AtomicFile, write_atomically};

use crate::error::{Context, Error, Result};

/// The mode of what is meant for others, too.
const PUBLIC: u32 = 0o644;
/// The most bytes of a text that a person writes.
const TEXT: u64 = 4 * 1024 * 1024;

/// Reads a file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).with_path(path)?;
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

/// Begins a file that gets its name when it is complete.
pub fn draft(path: &Path) -> Result<AtomicFile> {
    AtomicFile::create(path, PUBLIC).with_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

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
