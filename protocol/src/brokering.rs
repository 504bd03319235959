//! The messages between host and broker: CBOR bodies of HTTPS requests.
//!
//! `POST /v1/challenge` and `POST /v1/grant`. A refusal is a
//! [`crate::frames::Refusal`] with an HTTP status of 4xx. Nothing secret relies on
//! the transport.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    code::CodeManifest,
    dataset::DatasetManifest,
    digest::{Digest, Id},
    grant::SealedGrant,
    job::Job,
    keys::PublicKey,
    limits,
    release::DatasetProof,
    signed::Signed,
    transcript::Nonce,
};

/// The most bytes of a grant request: manifests of all datasets and the evidence.
pub const REQUEST_LIMIT: usize = limits::DATASETS * limits::SIGNED_OBJECT;

/// The most bytes of a request for a challenge: the ids of all datasets a job may have.
pub const CHALLENGE_LIMIT: usize = 8 * 1024;

/// Asks for a challenge, before an enclave is asked for evidence.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The datasets of this broker that the job will use.
    pub datasets: Vec<Id<DatasetManifest>>,
}

/// A challenge, and what the transcript has to say about this owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// The nonce; it expires by the broker's clock.
    pub nonce: Nonce,
    /// The key that the broker signs grants with.
    pub broker: PublicKey,
    /// Digest of the policy in force.
    pub policy: Digest,
}

/// Asks for the grants of all of one broker's datasets in a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// The transcript's bytes.
    pub transcript: ByteBuf,
    /// The evidence that binds it.
    pub evidence: ByteBuf,
    /// The job.
    pub job: Signed<Job>,
    /// The code's manifest.
    pub code: Signed<CodeManifest>,
    /// Header and manifest of every dataset of the job, in its order.
    pub datasets: Vec<DatasetProof>,
}

/// The grants, one for each of this broker's datasets, in the job's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantResponse {
    /// The grants.
    pub grants: Vec<SealedGrant>,
}
