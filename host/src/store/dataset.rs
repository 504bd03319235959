//! Sealed datasets: verified while they stream in.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use cloister_protocol::{
    Id, KeyId, cbor,
    dataset::{DatasetManifest, FILE_MAGIC, FileError, FileLayout, HeaderCore},
    limits,
    release::DatasetProof,
};

use super::{Folder, Store, StoreError, incoming::Incoming};

/// Magic, version and the header's length.
const FIXED: usize = 21;
/// The manifest is at the end, so its beginning is known last. This many bytes are
/// held back from the hash: the longest manifest and its length.
const HELD_BACK: usize = limits::SIGNED_OBJECT + 4;
/// The hash is fed in pieces of at least this size, to copy less.
const PIECE: usize = 1 << 20;

/// A dataset that the host holds, sealed.
#[derive(Clone, Debug)]
pub struct StoredDataset {
    /// The manifest's id: the dataset's name everywhere.
    pub id: Id<DatasetManifest>,
    /// Header and manifest, for whoever wants to check them.
    pub proof: DatasetProof,
    /// What the manifest says; its signature was verified.
    pub manifest: DatasetManifest,
    path: PathBuf,
    body_offset: u64,
}

impl StoredDataset {
    fn new(layout: FileLayout, path: PathBuf) -> Result<Self, StoreError> {
        let FileLayout { header, manifest, body_offset, body_length: _ } = layout;
        let opened = manifest.open_by(&header.owner).map_err(FileError::from)?;
        let proof = DatasetProof { header, manifest };
        Ok(Self { id: opened.id, proof, manifest: opened.value, path, body_offset })
    }

    /// The sealed file, positioned at its body of `manifest.length` bytes, after reading
    /// all of it: a disk forgets, and an enclave that finds this out has cost budget.
    pub fn open_body(&self) -> Result<File, StoreError> {
        self.verified_body()
            .map_err(|why| StoreError::Damaged { dataset: self.id, why: why.to_string() })
    }

    fn verified_body(&self) -> io::Result<File> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.body_offset))?;
        let mut hash = blake3::Hasher::new();
        let length = io::copy(&mut (&mut file).take(self.manifest.length), &mut hash)?;
        if length != self.manifest.length {
            return Err(io::Error::other("the file ends before its body does"));
        }
        if hash.finalize().as_bytes()[..] != self.manifest.body.0[..] {
            return Err(io::Error::other("its hash is not the one that was signed"));
        }
        file.seek(SeekFrom::Start(self.body_offset))?;
        Ok(file)
    }
}

impl Store {
    /// Begins to receive a sealed dataset from `caller`, who must be its owner.
    pub fn receive_dataset(self: &Arc<Self>, caller: KeyId) -> Result<DatasetUpload, StoreError> {
        Ok(DatasetUpload {
            store: Arc::clone(self),
            caller,
            file: self.receive()?,
            received: 0,
            prefix: Some(Vec::new()),
            hash: blake3::Hasher::new(),
            hashed: 0,
            tail: Vec::new(),
        })
    }

    /// The dataset with this manifest.
    #[must_use]
    pub fn dataset(&self, id: &Id<DatasetManifest>) -> Option<Arc<StoredDataset>> {
        self.datasets.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All datasets, by id.
    #[must_use]
    pub fn datasets(&self) -> Vec<Arc<StoredDataset>> {
        self.datasets.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Reads what is on the disk. A file that no longer reads as what its name says
    /// is left where it is, reported, and not offered to anybody.
    pub(super) fn index_datasets(&self) -> Result<(), StoreError> {
        for entry in fs::read_dir(self.folder(Folder::Datasets))? {
            let path = entry?.path();
            let stored = File::open(&path)
                .map_err(StoreError::from)
                .and_then(|file| Ok(FileLayout::read(file)?))
                .and_then(|layout| StoredDataset::new(layout, path.clone()));
            match stored {
                Ok(stored) if path.ends_with(stored.id.to_string()) => self.remember(stored),
                Ok(_) => tracing::error!(path = %path.display(), "dataset-misnamed"),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "dataset-damaged");
                }
            }
        }
        Ok(())
    }

    fn remember(&self, dataset: StoredDataset) {
        let mut datasets = self.datasets.write().unwrap_or_else(PoisonError::into_inner);
        datasets.insert(dataset.id, Arc::new(dataset));
    }
}

/// A sealed dataset that is being received. Dropped before [`DatasetUpload::finish`],
/// it leaves nothing behind.
#[derive(Debug)]
pub struct DatasetUpload {
    store: Arc<Store>,
    caller: KeyId,
    file: Incoming,
    received: u64,
    /// The bytes up to the end of the header, while they are not complete.
    prefix: Option<Vec<u8>>,
    hash: blake3::Hasher,
    /// Bytes of the body that went into the hash.
    hashed: u64,
    /// Bytes after the header that did not: the end of the body, and the manifest.
    tail: Vec<u8>,
}

impl DatasetUpload {
    /// The most bytes of a sealed file.
    pub const LIMIT: u64 =
        limits::DATASET + limits::DATASET / 512 + 2 * limits::SIGNED_OBJECT as u64 + 4096;

    /// Takes the next bytes. A header that is wrong, or somebody else's, is refused as
    /// soon as it is complete.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > Self::LIMIT {
            return Err(StoreError::TooLarge { what: "dataset", limit: Self::LIMIT });
        }
        self.file.write_all(bytes)?;
        let Some(mut prefix) = self.prefix.take() else {
            self.body(bytes);
            return Ok(());
        };
        prefix.extend_from_slice(bytes);
        match read_header(&prefix)? {
            None => self.prefix = Some(prefix),
            Some((header, end)) => {
                let owner = header.owner;
                if owner != self.caller {
                    return Err(StoreError::Owner { owner, caller: self.caller });
                }
                self.body(&prefix[end..]);
            }
        }
        Ok(())
    }

    fn body(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() >= HELD_BACK + PIECE {
            let ready = self.tail.len() - HELD_BACK;
            self.hash.update(&self.tail[..ready]);
            self.hashed += ready as u64;
            self.tail.drain(..ready);
        }
    }

    /// All bytes were taken: checks layout, signature, length and hash, and makes the
    /// dataset durable and visible.
    pub fn finish(mut self) -> Result<Arc<StoredDataset>, StoreError> {
        let layout = FileLayout::read(self.file.file())?;
        let rest = layout
            .body_length
            .checked_sub(self.hashed)
            .and_then(|rest| self.tail.get(..usize::try_from(rest).ok()?))
            .ok_or(StoreError::Body)?;
        self.hash.update(rest);
        let hash = self.hash.finalize();
        let staged = StoredDataset::new(layout, PathBuf::new())?;
        if hash.as_bytes()[..] != staged.manifest.body.0[..] {
            return Err(StoreError::Body);
        }
        let path = self.store.folder(Folder::Datasets).join(staged.id.to_string());
        let stored = StoredDataset { path: path.clone(), ..staged };
        self.file.publish(&path)?;
        self.store.remember(stored.clone());
        Ok(Arc::new(stored))
    }
}

/// The header and where it ends, if all of it is there.
fn read_header(prefix: &[u8]) -> Result<Option<(HeaderCore, usize)>, StoreError> {
    let magic = prefix.len().min(FILE_MAGIC.len());
    if prefix[..magic] != FILE_MAGIC[..magic] {
        return Err(FileError::Magic.into());
    }
    let Some(&[a, b, c, d]) = prefix.get(FIXED - 4..FIXED) else { return Ok(None) };
    let found = u64::from(u32::from_be_bytes([a, b, c, d]));
    let length = usize::try_from(found).ok().filter(|length| *length <= limits::SIGNED_OBJECT);
    let length = length.ok_or(FileError::Length { part: "header", found })?;
    let Some(core) = prefix.get(FIXED..FIXED + length) else { return Ok(None) };
    let header: HeaderCore = cbor::decode(core, limits::SIGNED_OBJECT).map_err(FileError::from)?;
    Ok(Some((header, FIXED + length)))
}

#[cfg(test)]
mod tests {
    use cloister_protocol::dataset::sealed_length;

    use super::*;

    #[test]
    fn the_limit_leaves_room_for_the_largest_dataset() {
        assert!(DatasetUpload::LIMIT > sealed_length(limits::DATASET));
    }
}
