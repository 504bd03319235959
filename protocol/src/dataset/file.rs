//! Finding the parts of a sealed file.

use std::io::{self, Read, Seek, SeekFrom, Write};

use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    dataset::{DatasetManifest, HeaderCore, HeaderError},
    limits,
    signed::{Signed, SignedError},
};

/// The first bytes of a sealed dataset.
pub const FILE_MAGIC: &[u8; 16] = b"CLOISTER-DATASET";
const VERSION: u8 = 1;

/// Why a file was refused as a sealed dataset.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// Reading failed, or the file ends too early.
    #[error("cannot read the sealed dataset: {0}")]
    Read(#[from] io::Error),
    /// Another kind of file.
    #[error("not a sealed dataset: it does not begin with CLOISTER-DATASET")]
    Magic,
    /// A version this build does not read.
    #[error("sealed dataset format {0}; this build reads format {VERSION}")]
    Version(u8),
    /// A part claims more bytes than allowed or than there are.
    #[error("the {part} claims {found} bytes; the file is damaged")]
    Length {
        /// Header or manifest.
        part: &'static str,
        /// The length claimed.
        found: u64,
    },
    /// The header is not readable.
    #[error("the header cannot be read: {0}")]
    Cbor(#[from] CborError),
    /// The header breaks a rule.
    #[error("the header breaks a rule: {0}")]
    Header(#[from] HeaderError),
    /// The manifest's signature or shape is wrong.
    #[error("{0}")]
    Manifest(#[from] SignedError),
    /// Header, manifest and body do not belong together.
    #[error("the manifest does not belong to this {0}: the file was altered after sealing")]
    Mismatch(&'static str),
}

/// Where the parts of a sealed file are, with header and manifest read and checked
/// against each other. The body is not read.
#[derive(Debug)]
pub struct FileLayout {
    /// The header.
    pub header: HeaderCore,
    /// The manifest as signed.
    pub manifest: Signed<DatasetManifest>,
    /// Offset of the body: salt, commitment, chunks.
    pub body_offset: u64,
    /// Length of the body.
    pub body_length: u64,
}

/// Writes magic, version and header.
pub fn write_prefix<W: Write>(mut to: W, header: &HeaderCore) -> io::Result<()> {
    let core = cbor::encode(header);
    let length = u32::try_from(core.len()).map_err(io::Error::other)?;
    to.write_all(FILE_MAGIC)?;
    to.write_all(&[VERSION])?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(&core)
}

/// Writes the manifest and its length.
pub fn write_suffix<W: Write>(mut to: W, manifest: &Signed<DatasetManifest>) -> io::Result<()> {
    let length = u32::try_from(manifest.as_bytes().len()).map_err(io::Error::other)?;
    to.write_all(manifest.as_bytes())?;
    to.write_all(&length.to_be_bytes())
}

impl FileLayout {
    /// Reads header and manifest, verifies the manifest's signature by the owner
    /// named in the header, and checks that the two and the file's length agree.
    pub fn read<F: Read + Seek>(mut file: F) -> Result<Self, FileError> {
        let mut fixed = [0; 21];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut fixed)?;
        if &fixed[..16] != FILE_MAGIC {
            return Err(FileError::Magic);
        }
        if fixed[16] != VERSION {
            return Err(FileError::Version(fixed[16]));
        }
        let core = read_part(&mut file, "header", &fixed[17..21])?;
        let header: HeaderCore = cbor::decode(&core, limits::SIGNED_OBJECT)?;
        header.validate()?;
        let body_offset = file.stream_position()?;

        let end = file.seek(SeekFrom::End(-4))?;
        let mut length = [0; 4];
        file.read_exact(&mut length)?;
        let manifest_length = u64::from(u32::from_be_bytes(length));
        let body_length = end
            .checked_sub(manifest_length)
            .and_then(|body_end| body_end.checked_sub(body_offset))
            .ok_or(FileError::Length { part: "manifest", found: manifest_length })?;
        file.seek(SeekFrom::Start(body_offset + body_length))?;
        let manifest =
            Signed::<DatasetManifest>::from_bytes(read_part(&mut file, "manifest", &length)?);

        let opened = manifest.open_by(&header.owner)?.value;
        if opened.header != header.digest() {
            return Err(FileError::Mismatch("header"));
        }
        if opened.length != body_length {
            return Err(FileError::Mismatch("body"));
        }
        Ok(Self { header, manifest, body_offset, body_length })
    }
}

fn read_part<R: Read>(from: R, part: &'static str, length: &[u8]) -> Result<Vec<u8>, FileError> {
    let length = length.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    if length > limits::SIGNED_OBJECT as u64 {
        return Err(FileError::Length { part, found: length });
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(FileError::Length { part, found: length });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_bytes::ByteArray;

    use super::*;
    use crate::{
        dataset::{BodyHash, header::tests::header},
        keys::SigningKey,
    };

    fn sealed() -> Vec<u8> {
        let (key, _) = SigningKey::generate().unwrap();
        let header = HeaderCore { owner: key.id(), ..header() };
        let manifest = DatasetManifest {
            header: header.digest(),
            length: 100,
            rows: 3,
            units: 3,
            max_rows_per_unit: 1,
            body: BodyHash(ByteArray::new([1; 32])),
        };
        let mut file = Vec::new();
        write_prefix(&mut file, &header).unwrap();
        file.extend_from_slice(&[0; 100]);
        write_suffix(&mut file, &Signed::sign(&manifest, &key).unwrap()).unwrap();
        file
    }

    #[test]
    fn reads_what_was_written() {
        let layout = FileLayout::read(Cursor::new(sealed())).unwrap();
        assert_eq!(layout.body_length, 100);
        assert_eq!(layout.header.name, "patients");
    }

    #[test]
    fn refuses_every_flipped_byte_outside_the_body_and_every_truncation() {
        let whole = sealed();
        let layout = FileLayout::read(Cursor::new(&whole)).unwrap();
        let body = layout.body_offset..layout.body_offset + layout.body_length;
        for position in (0..whole.len()).filter(|p| !body.contains(&(*p as u64))) {
            let mut bytes = whole.clone();
            bytes[position] ^= 1;
            assert!(FileLayout::read(Cursor::new(&bytes)).is_err(), "byte {position}");
        }
        for length in 0..whole.len() {
            assert!(FileLayout::read(Cursor::new(&whole[..length])).is_err(), "length {length}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(FileLayout::read(Cursor::new(longer)).is_err());
    }
}
