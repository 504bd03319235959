//! What leaves the enclave, and the receipt that proves where it came from.
//!
//! A [`Release`] is signed by the key that the evidence covers. Its [`Receipt`]
//! carries everything a verifier needs, offline: vendor root (the verifier's own) ->
//! evidence -> transcript -> job, code, data, grants -> gate -> output digest. The
//! released tensors are one safetensors file beside it.

mod error;
mod receipt;
mod tensors;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{
    digest::{Digest, Id},
    job::{Gate, Job},
    signed::Kind,
    transcript::TranscriptId,
};

pub use error::{Part, ReceiptError};
pub use receipt::{CheckedReceipt, DatasetProof, Receipt};
pub use tensors::{expected_outputs, tensors_digest};

/// One release. It holds nothing that depends on the data except through the
/// digest of the noised outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The transcript that was executed.
    pub transcript: TranscriptId,
    /// The job.
    pub job: Id<Job>,
    /// Its number, from 0.
    pub number: u32,
    /// How many releases the job has.
    pub of: u32,
    /// Centring, which training round, or metrics.
    pub stage: Stage,
    /// What the gate did for this release.
    pub gate: Gate,
    /// The public divisor of the mean.
    pub divisor: u64,
    /// What this release cost each population, in pico-rho.
    pub cost: u64,
    /// The tensors in the file: exactly those of [`expected_outputs`], in any order.
    pub outputs: Vec<Output>,
    /// The digest of the whole safetensors file: `Digest::of("tensors", [bytes])`.
    pub tensors: Digest,
    /// The release before, absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Id<Release>>,
}

impl Kind for Release {
    const KIND: &'static str = "release";
}

/// Which release of a job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The mean that centres the features.
    Centring,
    /// Training round, from 1.
    Round(u32),
    /// How the final model does on the owners' own rows.
    Metrics,
}

/// One released tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name in the file.
    pub name: String,
    /// Its element type as safetensors writes it.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
}
