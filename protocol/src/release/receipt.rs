//! A release with everything it rests on, and whether all of it belongs together.

use std::{collections::BTreeSet, fmt::Debug};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    Output, Part, ReceiptError, Release, Stage, expected_outputs, tensors::model_length,
    tensors_digest,
};
use crate::{
    cbor::{self, CborError},
    code::CodeManifest,
    dataset::{DatasetManifest, HeaderCore, Joined},
    grant::{self, Grant, GrantExpectation},
    job::{Job, JobDataset},
    limits,
    signed::{Signed, Verified},
    transcript::{Transcript, TranscriptId},
};

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
        same(Part::Header, self.header.digest(), manifest.value.header)?;
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
        // 1. The transcript, and the release under the key in it.
        let (transcript, transcript_id) = Transcript::from_bytes(&self.transcript)?;
        let release = self.release.open_by(&transcript.signing_key.id())?;
        same(Part::Transcript, transcript_id, release.value.transcript)?;
        // 2. Job and code are the ones in the transcript.
        let job = self.job.open_by_anyone()?;
        job.value.validate()?;
        same(Part::TranscriptJob, job.id, transcript.job)?;
        same(Part::ReleaseJob, job.id, release.value.job)?;
        let code = self.code.open_by_anyone()?;
        same(Part::TranscriptCode, code.id, transcript.code)?;
        same(Part::JobCode, code.id, job.value.code)?;
        // 3. Each dataset is in the transcript and the job, with its grant.
        let count = transcript.datasets.len();
        same(Part::JobDatasets, count, job.value.datasets.len())?;
        same(Part::Datasets, count, self.datasets.len())?;
        same(Part::Grants, count, self.grants.len())?;
        let mut datasets = Vec::new();
        let mut grants = Vec::new();
        for (index, proof) in self.datasets.iter().enumerate() {
            let manifest = proof.check()?;
            same(Part::TranscriptDataset, manifest.id, transcript.datasets[index])?;
            check_declared(&job.value.datasets[index], &proof.header, &manifest)?;
            let expected = GrantExpectation {
                transcript: transcript_id,
                dataset: manifest.id,
                policy: transcript.policies[index],
                charges: job.value.charges(),
                broker: proof.header.broker,
            };
            grants.push(expected.check(&self.grants[index])?);
            datasets.push((proof.header.clone(), manifest));
        }
        let brokers: BTreeSet<_> = datasets.iter().map(|(header, _)| header.broker).collect();
        same(Part::Nonces, brokers, transcript.nonces.keys().copied().collect())?;
        // 4. The tables of each population are one, granted by one reservation.
        let mut features = None;
        for places in job.value.populations() {
            let tables = datasets[places.clone()].iter().map(|(header, m)| (header, &m.value));
            let joined = Joined::of(tables)?;
            features.get_or_insert(joined.header.features().count() as u64);
            grant::one_reservation(&grants[places])?;
        }
        // 5. The gate did what the job says.
        check_stage(&release.value, &job.value)?;
        // 6. The tensors are those of such a release, and the file is the one released.
        check_outputs(&release.value, &job.value, features.unwrap_or(0))?;
        same(Part::File, release.value.tensors, tensors_digest(tensors))?;
        Ok(CheckedReceipt { release, transcript, transcript_id, job, code, datasets, grants })
    }
}

/// What the job says about a dataset is what its owner says.
fn check_declared(
    declared: &JobDataset,
    header: &HeaderCore,
    manifest: &Verified<DatasetManifest>,
) -> Result<(), ReceiptError> {
    same(Part::JobDataset, manifest.id, declared.manifest)?;
    same(Part::Owner, header.owner, declared.owner)?;
    same(Part::Population, &header.population, &declared.population)?;
    same(Part::Units, manifest.value.units, declared.units)
}

/// The release's place, gate and divisor follow from the job.
fn check_stage(release: &Release, job: &Job) -> Result<(), ReceiptError> {
    let centring = u32::from(job.centring.is_some());
    let (number, gate) = match (release.stage, &job.centring) {
        (Stage::Centring, Some(centring)) => (0, centring.gate()),
        (Stage::Centring, None) => {
            return Err(ReceiptError::mismatch(Part::Centring, "none: the job has none", "one"));
        }
        (Stage::Metrics, _) => match job.metrics {
            Some(metrics) => (job.releases() - 1, metrics.gate(job.gate.mode)),
            None => {
                return Err(ReceiptError::mismatch(Part::Metrics, "none: the job has none", "one"));
            }
        },
        (Stage::Round(round), _) if (1..=job.rounds).contains(&round) => {
            (round - 1 + centring, job.gate)
        }
        (Stage::Round(round), _) => {
            let expected = format!("1 to {}", job.rounds);
            return Err(ReceiptError::mismatch(Part::Round, expected, round.to_string()));
        }
    };
    same(Part::Number, number, release.number)?;
    same(Part::Of, job.releases(), release.of)?;
    let link = |is_there| if is_there { "one" } else { "none" };
    same(Part::Previous, link(number > 0), link(release.previous.is_some()))?;
    same(Part::Gate, gate, release.gate)?;
    same(Part::Divisor, job.divisor(gate.mode), release.divisor)
}

/// The release declares the tensors that a release of its stage has, and no other.
fn check_outputs(release: &Release, job: &Job, features: u64) -> Result<(), ReceiptError> {
    let mut found = release.outputs.clone();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let Some(model) = model_length(release) else {
        let expected = format!("a model of 1 to {} numbers", limits::MODEL);
        return Err(ReceiptError::mismatch(Part::Outputs, expected, words(&found)));
    };
    let expected = expected_outputs(job, release.stage, features, model);
    if found == expected {
        return Ok(());
    }
    Err(ReceiptError::mismatch(Part::Outputs, words(&expected), words(&found)))
}

/// Names and shapes in a line of bounded length; names are from a peer.
fn words(outputs: &[Output]) -> String {
    const SHOWN: usize = 16;
    let mut words: Vec<_> = outputs
        .iter()
        .take(SHOWN)
        .map(|Output { name, dtype, shape }| {
            let name: String = name.chars().take(40).collect();
            let dtype: String = dtype.chars().take(8).collect();
            format!("{name:?} {dtype:?} {:?}", &shape[..shape.len().min(4)])
        })
        .collect();
    if outputs.len() > SHOWN {
        words.push(format!("{} more", outputs.len() - SHOWN));
    }
    words.join(", ")
}

#[expect(clippy::needless_pass_by_value, reason = "ids, numbers and references: all small")]
fn same<T: PartialEq + Debug>(part: Part, expected: T, found: T) -> Result<(), ReceiptError> {
    if expected == found {
        return Ok(());
    }
    Err(ReceiptError::mismatch(part, format!("{expected:?}"), format!("{found:?}")))
}
