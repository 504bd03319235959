//! What all parties of a job agree on. Its digest is what the hardware signs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    code::CodeManifest,
    dataset::DatasetManifest,
    digest::{Digest, Id},
    hpke,
    job::{Job, JobRole},
    keys::{KeyId, PublicKey},
    limits,
};

/// A broker's challenge: 32 random bytes, used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub ByteArray<32>);

/// The transcript of one job in one enclave. The enclave makes fresh keys for each,
/// executes it once, and signs one release per round for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// Always 1.
    pub version: u32,
    /// What the enclave does.
    pub role: JobRole,
    /// The cipher suite: [`hpke::SUITE`].
    pub suite: String,
    /// Each broker's nonce, under the id of the key that the broker signs with.
    pub nonces: BTreeMap<KeyId, Nonce>,
    /// The key that grants are sealed to.
    pub hpke_key: ByteBuf,
    /// The key that signs the releases.
    pub signing_key: PublicKey,
    /// The job.
    pub job: Id<Job>,
    /// The code.
    pub code: Id<CodeManifest>,
    /// The datasets, in the job's order.
    pub datasets: Vec<Id<DatasetManifest>>,
    /// Each dataset's policy, in the same order.
    pub policies: Vec<Digest>,
}

/// Identifies a transcript: the digest that evidence binds.
pub type TranscriptId = Id<Transcript>;

/// Why bytes were refused as a transcript.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TranscriptError {
    /// Not readable.
    #[error("the transcript cannot be read: {0}")]
    Cbor(#[from] CborError),
    /// A version this build does not read.
    #[error("transcript version {0}; this build reads version 1")]
    Version(u32),
    /// Another cipher suite.
    #[error("the transcript's suite is {0:?}; this build uses {suite}", suite = hpke::SUITE)]
    Suite(String),
    /// The key for grants has the wrong length.
    #[error("the transcript's key for grants has {0} bytes, not {len}", len = hpke::PUBLIC_KEY_LEN)]
    HpkeKey(usize),
    /// No datasets, or more than a job may have.
    #[error("the transcript has {0} datasets, and a job has 1 to {limit}", limit = limits::DATASETS)]
    Datasets(usize),
    /// A dataset is there twice.
    #[error("the transcript names dataset {0:?} twice")]
    DatasetTwice(Id<DatasetManifest>),
    /// Datasets and policies differ in number.
    #[error("the transcript has {datasets} datasets and {policies} policies")]
    Policies {
        /// Datasets listed.
        datasets: usize,
        /// Policies listed.
        policies: usize,
    },
}

impl Transcript {
    /// The transcript's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads and checks a transcript; returns its identifier, which is the binding.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, TranscriptId), TranscriptError> {
        let transcript: Self = cbor::decode(bytes, limits::SIGNED_OBJECT)?;
        if transcript.version != 1 {
            return Err(TranscriptError::Version(transcript.version));
        }
        if transcript.suite != hpke::SUITE {
            return Err(TranscriptError::Suite(transcript.suite));
        }
        if transcript.hpke_key.len() != hpke::PUBLIC_KEY_LEN {
            return Err(TranscriptError::HpkeKey(transcript.hpke_key.len()));
        }
        let (datasets, policies) = (transcript.datasets.len(), transcript.policies.len());
        if datasets == 0 || datasets > limits::DATASETS {
            return Err(TranscriptError::Datasets(datasets));
        }
        if datasets != policies {
            return Err(TranscriptError::Policies { datasets, policies });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = transcript.datasets.iter().find(|id| !seen.insert(**id)) {
            return Err(TranscriptError::DatasetTwice(*twice));
        }
        let id = transcript.id();
        Ok((transcript, id))
    }

    /// The binding: 64 bytes, `REPORT_DATA` or `user_data` in full.
    #[must_use]
    pub fn id(&self) -> TranscriptId {
        Id::new(Digest::of("transcript", &[&self.to_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    /// A transcript over these datasets.
    fn over(datasets: impl Iterator<Item = usize>) -> Vec<u8> {
        let unknown = Digest::of("unknown", &[]);
        let datasets: Vec<_> =
            datasets.map(|n| Id::new(Digest::of("dataset", &[&n.to_be_bytes()]))).collect();
        let transcript = Transcript {
            version: 1,
            role: JobRole::Both,
            suite: hpke::SUITE.into(),
            nonces: BTreeMap::new(),
            hpke_key: vec![0; hpke::PUBLIC_KEY_LEN].into(),
            signing_key: *SigningKey::generate().unwrap().0.public(),
            job: Id::new(unknown),
            code: Id::new(unknown),
            policies: vec![unknown; datasets.len()],
            datasets,
        };
        transcript.to_bytes()
    }

    #[test]
    fn datasets_are_bounded_and_distinct() {
        let refused = |bytes: Vec<u8>| Transcript::from_bytes(&bytes).map(drop);
        assert_eq!(refused(over(0..1)), Ok(()));
        assert_eq!(refused(over(0..limits::DATASETS)), Ok(()));
        assert_eq!(refused(over(0..0)), Err(TranscriptError::Datasets(0)));
        let many = limits::DATASETS + 1;
        assert_eq!(refused(over(0..many)), Err(TranscriptError::Datasets(many)));
        let twice = refused(over([1, 2, 1].into_iter()));
        assert!(matches!(twice, Err(TranscriptError::DatasetTwice(_))));
    }
}
