//! Step 1: everything that a job needs, from the store.

use std::{fs::File, sync::Arc};

use cloister_protocol::{
    Id, Signed, Verified,
    code::CodeFile,
    dataset::DatasetManifest,
    job::{Job, PublicSet},
    limits,
    release::DatasetProof,
};

use super::RelayError;
use crate::store::{Store, StoredDataset};

/// About what a sealed grant takes in a frame, rounded up: 1,120 bytes of X-Wing
/// ciphertext, two signed objects, the data key.
const SEALED_GRANT: usize = 2500;

/// A job, and everything that it names.
#[derive(Clone, Debug)]
pub struct Material {
    /// The job as it was signed.
    pub signed: Signed<Job>,
    /// The job, with its id and signer.
    pub job: Verified<Job>,
    /// The code.
    pub code: CodeFile,
    /// The datasets, in the job's order.
    pub datasets: Vec<Arc<StoredDataset>>,
    /// The public set; empty when the job has none.
    pub public_set: Vec<u8>,
}

impl Material {
    /// Reads a job and everything that it names. It blocks on the disk. A job whose
    /// grants would not fit into one frame is refused here, before they are paid for.
    pub fn gather(store: &Store, signed: &Signed<Job>) -> Result<Self, RelayError> {
        let job = signed.open_by_anyone()?;
        let (found, limit) = (job.value.datasets.len() * SEALED_GRANT, limits::CONTROL_FRAME);
        if found > limit {
            return Err(RelayError::TooLarge { what: "a message with all grants", found, limit });
        }
        let code = store.code(&job.value.code)?.ok_or(RelayError::CodeMissing(job.value.code))?;
        let datasets = job.value.datasets.iter().map(|dataset| {
            let id: Id<DatasetManifest> = dataset.manifest;
            store.dataset(&id).ok_or(RelayError::DatasetMissing(id))
        });
        let datasets = datasets.collect::<Result<_, _>>()?;
        let public_set = match &job.value.public_set {
            None => Vec::new(),
            Some(PublicSet { digest, .. }) => {
                store.public_set(digest)?.ok_or(RelayError::PublicSetMissing(*digest))?
            }
        };
        Ok(Self { signed: signed.clone(), job, code, datasets, public_set })
    }

    /// Opens every sealed body and checks it against its manifest, before anything is
    /// charged for the job. It reads all of them from the disk.
    pub fn open_bodies(&self) -> Result<Vec<File>, RelayError> {
        let bodies = self.datasets.iter().map(|dataset| dataset.open_body());
        Ok(bodies.collect::<Result<_, _>>()?)
    }

    /// Headers and manifests, in the job's order.
    #[must_use]
    pub fn proofs(&self) -> Vec<DatasetProof> {
        self.datasets.iter().map(|dataset| dataset.proof.clone()).collect()
    }
}
