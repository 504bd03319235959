//! What the owner's home holds for the broker: policy, approvals, keys of datasets.
//!
//! | file | what |
//! |---|---|
//! | `policy.cloister` | the signed policy |
//! | `approvals/*.cloister` | code that the owner approved |
//! | `data/ID.key` | the 32 bytes of a dataset's key; only the owner may read it |
//! | `data/ID.proof` | that dataset's header and manifest |
//! | `collateral/*` | certificates and revocation lists that reports of SEV-SNP are verified with |
//! | `ledger.sqlite` | see [`crate::ledger`] |
//!
//! `ID` is the first 32 hexadecimal digits of the manifest's id. Files are read anew for
//! each request, so what an owner signs or seals counts at once.

use std::{
    collections::BTreeSet,
    fmt::Display,
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cloister_attestation::snp::{Bundle, Collateral};
use cloister_protocol::{
    Id, KeyId, Signed, Verified, cbor,
    code::CodeApproval,
    dataset::{DataKey, DatasetManifest},
    limits,
    release::DatasetProof,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::policy::{Policy, PolicyError};

/// Length of a dataset's key.
const KEY: usize = 32;
/// A header and a manifest.
const PROOF: usize = 2 * limits::SIGNED_OBJECT;

/// The broker's part of an owner's home.
#[derive(Clone, Debug)]
pub struct Vault {
    home: PathBuf,
}

/// Why something in the home cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A file cannot be read or written.
    #[error("[home-file] {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no signed policy.
    #[error("[policy-missing] there is no {0}: nothing is granted before `cloister policy sign`")]
    NoPolicy(PathBuf),
    /// The policy was refused.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// A file has another length than it must have.
    #[error("[home-length] {path} has not {expected}: restore it from your backup")]
    Length {
        /// The file.
        path: PathBuf,
        /// The length that it must have.
        expected: &'static str,
    },
    /// A dataset's key can be read by others.
    #[error(
        "[home-key-mode] {path} holds the key of a dataset and has mode {mode:o}: others may have \
         read it. If not, run `chmod 600`"
    )]
    KeyMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Something that is no collateral among it.
    #[error("[home-collateral] {path}: {why}; take it out, or put it there again")]
    Collateral {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Header and manifest do not belong together.
    #[error("[home-proof] {path} is not the proof of that dataset: {why}")]
    Proof {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Vault {
    /// The vault in the home directory `home`.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// Where the ledger is.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.home.join("ledger.sqlite")
    }

    /// The policy, verified under the owner's key.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoPolicy`], [`VaultError::Policy`], and when it cannot be read.
    pub fn policy(&self, owner: &KeyId) -> Result<Verified<Policy>, VaultError> {
        let path = self.home.join("policy.cloister");
        if !path.exists() {
            return Err(VaultError::NoPolicy(path));
        }
        let bytes = read(&path, limits::SIGNED_OBJECT, "at most 48 KiB")?;
        Ok(Policy::open(&Signed::from_bytes(bytes), owner)?)
    }

    /// Everything in `approvals/`. Signatures are not verified here.
    ///
    /// # Errors
    ///
    /// When the directory or a file in it cannot be read.
    pub fn approvals(&self) -> Result<Vec<Signed<CodeApproval>>, VaultError> {
        let mut approvals = Vec::new();
        for path in files(&self.home.join("approvals"))? {
            if path.extension().is_some_and(|extension| extension == "cloister") {
                let bytes = read(&path, limits::SIGNED_OBJECT, "at most 48 KiB")?;
                approvals.push(Signed::from_bytes(bytes));
            }
        }
        Ok(approvals)
    }

    /// Everything in `collateral/`: what the owner keeps to verify reports with, beside what
    /// hosts send along. Nothing in it is trusted for being there.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not collateral: a revocation list that is not read
    /// revokes nothing.
    pub fn collateral(&self) -> Result<Collateral, VaultError> {
        let directory = self.home.join("collateral");
        let wrong = |path: &Path, why: &dyn Display| VaultError::Collateral {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let mut collateral = Collateral::new();
        for path in files(&directory).map_err(|error| wrong(&directory, &error))? {
            let writing =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".new-"));
            if writing || path.is_dir() {
                continue;
            }
            let bytes = read(&path, Bundle::LIMIT, "at most 1 MiB")
                .map_err(|error| wrong(&path, &error))?;
            collateral.add(&bytes).map_err(|error| wrong(&path, &error))?;
        }
        Ok(collateral)
    }

    /// Those of `datasets` whose proof and key are here.
    ///
    /// # Errors
    ///
    /// When a file is there, but is not what it has to be.
    pub fn held(
        &self,
        datasets: &[Id<DatasetManifest>],
    ) -> Result<BTreeSet<Id<DatasetManifest>>, VaultError> {
        let mut held = BTreeSet::new();
        for id in datasets {
            let (key, proof) = self.dataset_paths(id);
            if key.exists() && proof.exists() && self.proof(id)?.1 == *id {
                held.insert(*id);
            }
        }
        Ok(held)
    }

    /// Header and manifest of a dataset, checked, with the id that they have.
    ///
    /// # Errors
    ///
    /// When they cannot be read or do not belong together.
    pub fn proof(
        &self,
        id: &Id<DatasetManifest>,
    ) -> Result<(DatasetProof, Id<DatasetManifest>), VaultError> {
        let (_, path) = self.dataset_paths(id);
        let bytes = read(&path, PROOF, "at most 96 KiB")?;
        let refuse = |why: String| VaultError::Proof { path: path.clone(), why };
        let proof: DatasetProof =
            cbor::decode(&bytes, PROOF).map_err(|error| refuse(error.to_string()))?;
        let found = proof.check().map_err(|error| refuse(error.to_string()))?.id;
        Ok((proof, found))
    }

    /// The key of a dataset.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or has another length.
    pub fn data_key(&self, id: &Id<DatasetManifest>) -> Result<DataKey, VaultError> {
        let (path, _) = self.dataset_paths(id);
        let mut key = Zeroizing::new([0; KEY]);
        let mut more = [0];
        let failed = |error| VaultError::File { path: path.clone(), error };
        let mut file = File::open(&path).map_err(failed)?;
        // Of the file that was opened, so that nobody changes it in between.
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(VaultError::KeyMode { path, mode });
        }
        file.read_exact(&mut key[..]).map_err(failed)?;
        let complete = file.read(&mut more).map_err(failed)?;
        if complete != 0 {
            return Err(VaultError::Length { path, expected: "exactly 32 bytes" });
        }
        Ok(DataKey::from_bytes(&key))
    }

    /// Keeps the key and proof of a dataset that was just sealed: key first, each file
    /// whole or not at all.
    ///
    /// # Errors
    ///
    /// When the proof does not hold together, or a file cannot be written.
    pub fn keep(
        &self,
        key: &DataKey,
        proof: &DatasetProof,
    ) -> Result<Id<DatasetManifest>, VaultError> {
        let directory = self.home.join("data");
        let id = proof
            .check()
            .map_err(|error| VaultError::Proof { path: directory.clone(), why: error.to_string() })?
            .id;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| VaultError::File { path: directory, error })?;
        let (key_path, proof_path) = self.dataset_paths(&id);
        write(&key_path, key.expose())?;
        write(&proof_path, &cbor::encode(proof))?;
        Ok(id)
    }

    /// Key and proof of a dataset.
    fn dataset_paths(&self, id: &Id<DatasetManifest>) -> (PathBuf, PathBuf) {
        let stem = &id.digest().to_hex()[..32];
        let directory = self.home.join("data");
        (directory.join(format!("{stem}.key")), directory.join(format!("{stem}.proof")))
    }
}

/// The files of a directory, none if it is not there.
fn files(directory: &Path) -> Result<Vec<PathBuf>, VaultError> {
    let failed = |error| VaultError::File { path: directory.to_owned(), error };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

/// Reads a whole file of at most `limit` bytes.
fn read(path: &Path, limit: usize, expected: &'static str) -> Result<Vec<u8>, VaultError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| VaultError::File { path: path.to_owned(), error })?;
    if bytes.len() > limit {
        return Err(VaultError::Length { path: path.to_owned(), expected });
    }
    Ok(bytes)
}

/// Writes a file that only the owner may read.
fn write(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    cloister_party::write_atomically(path, bytes, 0o600)
        .map_err(|error| VaultError::File { path: path.to_owned(), error })
}
