//! Sealed datasets, code, public sets and releases, as files on disk.
//!
//! ```text
//! store/incoming/         what is being received; emptied at start
//! store/datasets/ID       a sealed file, ID = hex of its manifest's id
//! store/code/ID           a file of signed code, ID = hex of its manifest's id
//! store/public-sets/ID    a public set, ID = hex of its digest
//! store/releases/BLAKE3   a receipt or a file of tensors
//! ```
//!
//! A file is received under `incoming/`, verified while it streams, flushed to the
//! disk and only then renamed to its name, which is a digest of what it is. So
//! nothing half-written is ever visible, and the same upload twice is one file.
//! The host cannot open what is sealed: it checks signatures, lengths and hashes.

mod blob;
mod code;
mod dataset;
mod error;
mod incoming;
mod public_set;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use cloister_protocol::{Id, dataset::DatasetManifest};

pub use blob::{BlobId, BlobWriter};
pub use code::CODE_LIMIT;
pub use dataset::{DatasetUpload, StoredDataset};
pub use error::StoreError;

/// The host's files. One process at a time opens one; see [`Store::open`].
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    datasets: RwLock<BTreeMap<Id<DatasetManifest>, Arc<StoredDataset>>>,
}

impl Store {
    /// Opens the store under `root`, making its folders if they are missing, throwing
    /// away what an earlier process left half-received, and reading every dataset's
    /// header and manifest again.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned(), datasets: RwLock::default() };
        for folder in [Folder::Incoming, Folder::Datasets, Folder::Code] {
            fs::create_dir_all(store.folder(folder))?;
        }
        for folder in [Folder::PublicSets, Folder::Releases] {
            fs::create_dir_all(store.folder(folder))?;
        }
        for entry in fs::read_dir(store.folder(Folder::Incoming))? {
            fs::remove_file(entry?.path())?;
        }
        store.index_datasets()?;
        Ok(store)
    }

    fn folder(&self, folder: Folder) -> PathBuf {
        self.root.join(match folder {
            Folder::Incoming => "incoming",
            Folder::Datasets => "datasets",
            Folder::Code => "code",
            Folder::PublicSets => "public-sets",
            Folder::Releases => "releases",
        })
    }

    fn receive(&self) -> io::Result<incoming::Incoming> {
        incoming::Incoming::new(&self.folder(Folder::Incoming))
    }
}

#[derive(Clone, Copy)]
enum Folder {
    Incoming,
    Datasets,
    Code,
    PublicSets,
    Releases,
}

/// Reads a file that may not be there.
fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
