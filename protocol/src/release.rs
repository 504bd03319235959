//! What leaves the enclave, and the receipt that proves where it came from.
//!
//! A [`Release`] is signed by the key that the evidence covers. Its [`Receipt`]
//! carries everything a verifier needs, offline: vendor root (the verifier's own) ->
//! evidence -> transcript -> job, code, data, grants -> gate -> output digest. The
//! released tensors are one safetensors file beside it.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    code::CodeManifest,
    dataset::{DatasetManifest, HeaderCore, HeaderError},
    digest::{Digest, Id},
    grant::{Grant, GrantError, GrantExpectation},
    job::{Gate, Job, JobError},
    limits,
    signed::{Kind, Signed, SignedError, Verified},
    transcript::{Transcript, TranscriptError, TranscriptId},
};

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
    /// Centring, or which training round.
    pub stage: Stage,
    /// What the gate did for this release.
    pub gate: Gate,
    /// The public divisor of the mean.
    pub divisor: u64,
    /// What this release cost each population, in pico-rho.
    pub cost: u64,
    /// The tensors in the file.
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

/// The digest of a file of released tensors.
#[must_use]
pub fn tensors_digest(file: &[u8]) -> Digest {
    Digest::of("tensors", &[file])
}

/// A release and everything it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    kind: ReceiptKind,
    /// The release.
    pub release: Signed<Release>,
    /// The platform's evidence over the transcript.
    pub evidence: ByteBuf,
    /// The transcript's bytes.
    pub transcript: ByteBuf,
    /// The job.
    pub job: Signed<Job>,
    /// The code's manifest.
    pub code: Signed<CodeManifest>,
    /// Each dataset's header and manifest, in the job's order.
    pub datasets: Vec<DatasetProof>,
    /// Each dataset's grant, in the same order.
    pub grants: Vec<Signed<Grant>>,
}

/// The public part of a sealed dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetProof {
    /// The header.
    pub header: HeaderCore,
    /// The manifest, signed by the owner that the header names.
    pub manifest: Signed<DatasetManifest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ReceiptKind {
    #[serde(rename = "cloister/receipt")]
    Receipt,
}

/// Why a receipt does not hold together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not a receipt.
    #[error("not a receipt: {0}")]
    Cbor(#[from] CborError),
    /// The transcript is not readable.
    #[error("{0}")]
    Transcript(#[from] TranscriptError),
    /// A signed part does not verify.
    #[error("{0}")]
    Signed(#[from] SignedError),
    /// A grant does not fit.
    #[error("{0}")]
    Grant(#[from] GrantError),
    /// The job breaks a rule.
    #[error("the job breaks a rule: {0}")]
    Job(#[from] JobError),
    /// A header breaks a rule.
    #[error("a dataset header breaks a rule: {0}")]
    Header(#[from] HeaderError),
    /// Two parts do not belong together.
    #[error("the {0} does not belong to this release")]
    Mismatch(&'static str),
}

/// The parts of a receipt, all of them verified against each other. What is left to
/// check is the evidence: that a trusted platform vouches for `transcript_id`.
#[derive(Debug)]
pub struct CheckedReceipt {
    /// The release.
    pub release: Verified<Release>,
    /// The transcript.
    pub transcript: Transcript,
    /// Its identifier: what the evidence has to bind.
    pub transcript_id: TranscriptId,
    /// The job.
    pub job: Verified<Job>,
    /// The code's manifest.
    pub code: Verified<CodeManifest>,
    /// The datasets.
    pub datasets: Vec<(HeaderCore, Verified<DatasetManifest>)>,
    /// The grants.
    pub grants: Vec<Verified<Grant>>,
}

impl DatasetProof {
    /// Verifies the manifest under the header's owner, and that it signs this header.
    pub fn check(&self) -> Result<Verified<DatasetManifest>, ReceiptError> {
        self.header.validate()?;
        let manifest = self.manifest.open_by(&self.header.owner)?;
        if manifest.value.header != self.header.digest() {
            return Err(ReceiptError::Mismatch("dataset header"));
        }
        Ok(manifest)
    }
}

impl Receipt {
    /// Puts a receipt together.
    #[must_use]
    pub fn new(
        release: Signed<Release>,
        evidence: Vec<u8>,
        transcript: Vec<u8>,
        job: Signed<Job>,
        code: Signed<CodeManifest>,
        datasets: Vec<DatasetProof>,
        grants: Vec<Signed<Grant>>,
    ) -> Self {
        let kind = ReceiptKind::Receipt;
        let (evidence, transcript) = (evidence.into(), transcript.into());
        Self { kind, release, evidence, transcript, job, code, datasets, grants }
    }

    /// The receipt's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads a receipt; nothing is verified yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, limits::RECEIPT)
    }

    /// Checks that all parts are signed by whom they must be and belong together,
    /// and that `tensors` is the file that was released. Evidence is not looked at.
    pub fn check(&self, tensors: &[u8]) -> Result<CheckedReceipt, ReceiptError> {
        use ReceiptError::Mismatch;
        // 1. The transcript, and the release under the key in it.
        let (transcript, transcript_id) = Transcript::from_bytes(&self.transcript)?;
        let release = self.release.open_by(&transcript.signing_key.id())?;
        if release.value.transcript != transcript_id {
            return Err(Mismatch("transcript"));
        }
        // 2. Job and code are the ones in the transcript.
        let job = self.job.open_by_anyone()?;
        job.value.validate()?;
        if job.id != transcript.job || job.id != release.value.job {
            return Err(Mismatch("job"));
        }
        let code = self.code.open_by_anyone()?;
        if code.id != transcript.code || code.id != job.value.code {
            return Err(Mismatch("code"));
        }
        // 3. Each dataset is in the transcript and the job, with its grant.
        let count = transcript.datasets.len();
        let places = [self.datasets.len(), self.grants.len(), job.value.datasets.len()];
        if places.iter().any(|places| *places != count) {
            return Err(Mismatch("number of datasets or grants"));
        }
        let mut datasets = Vec::new();
        let mut grants = Vec::new();
        for (index, proof) in self.datasets.iter().enumerate() {
            let manifest = proof.check()?;
            let declared = &job.value.datasets[index];
            let same = manifest.id == transcript.datasets[index]
                && manifest.id == declared.manifest
                && proof.header.owner == declared.owner
                && proof.header.population == declared.population
                && manifest.value.units == declared.units;
            if !same {
                return Err(Mismatch("dataset"));
            }
            let expected = GrantExpectation {
                transcript: transcript_id,
                dataset: manifest.id,
                policy: transcript.policies[index],
                cost: job.value.cost,
                broker: proof.header.broker,
            };
            grants.push(expected.check(&self.grants[index])?);
            datasets.push((proof.header.clone(), manifest));
        }
        // 4. The gate did what the job says.
        check_stage(&release.value, &job.value)?;
        // 5. The tensors are the ones released.
        if release.value.tensors != tensors_digest(tensors) {
            return Err(Mismatch("file of tensors"));
        }
        Ok(CheckedReceipt { release, transcript, transcript_id, job, code, datasets, grants })
    }
}

/// The release's place, gate and divisor follow from the job.
fn check_stage(release: &Release, job: &Job) -> Result<(), ReceiptError> {
    let centring = u32::from(job.centring.is_some());
    let (number, gate) = match (release.stage, &job.centring) {
        (Stage::Centring, Some(c)) => {
            (0, Gate { mode: job.gate.mode, clip: c.clip, steps: c.steps, sigma: c.sigma })
        }
        (Stage::Centring, None) => return Err(ReceiptError::Mismatch("centring stage")),
        (Stage::Round(round), _) if (1..=job.rounds).contains(&round) => {
            (round - 1 + centring, job.gate)
        }
        (Stage::Round(_), _) => return Err(ReceiptError::Mismatch("round")),
    };
    if release.number != number || release.of != job.releases() {
        return Err(ReceiptError::Mismatch("release number"));
    }
    if release.previous.is_some() != (number > 0) {
        return Err(ReceiptError::Mismatch("link to the release before"));
    }
    if release.gate != gate || release.divisor != job.units() {
        return Err(ReceiptError::Mismatch("gate"));
    }
    Ok(())
}
