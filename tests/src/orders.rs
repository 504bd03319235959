//! Jobs as an orchestrator would sign them, and what a host keeps to run one.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use cloister_host::{relay::Material, store::StoredDataset};
use cloister_protocol::{
    Digest, Id, KeyId, Signed, SigningKey,
    code::{CodeFile, CodeManifest},
    dataset::{Column, ColumnType, HeaderCore, Role, Unit},
    job::{
        CallLimits, Centring, Gate, GateMode, Job, JobDataset, JobRole, Metrics, Recipients,
        Schedule, ServerStep,
    },
};
use serde_bytes::ByteArray;

/// The purpose that these jobs state.
pub const PURPOSE: &str = "research";

/// A small job on these datasets: a centring release and two rounds.
pub fn job(code: &CodeFile, datasets: &[Arc<StoredDataset>]) -> Result<Job> {
    let code = code.manifest.open_by_anyone()?.id;
    job_on(code, datasets.iter().map(|dataset| declared(dataset)).collect())
}

/// The same, from what the job says. It costs about 0.0015 of zCDP's rho.
pub fn job_on(code: Id<CodeManifest>, datasets: Vec<JobDataset>) -> Result<Job> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    let mut job = Job {
        version: 1,
        job: ByteArray::new(id),
        purpose: PURPOSE.into(),
        role: JobRole::Both,
        code,
        parameters: BTreeMap::new(),
        datasets,
        rounds: 2,
        gate: Gate { mode: GateMode::Unit, clip: 1.0, steps: 1024, sigma: 1 << 15 },
        centring: Some(Centring { clip: 2.0, steps: 1024, sigma: 1 << 15 }),
        metrics: None,
        server: ServerStep { rate: 1.0, momentum: 0.0, average_last: 1, scale: 10.0, clamp: 3.0 },
        schedule: Schedule { first_ms: 100, interval_ms: 100 },
        limits: CallLimits { fuel: 25_000, memory: 262_144 },
        cost: 0,
        seed: 7,
        recipients: Recipients::Anyone,
        public_set: None,
        not_after: 4_000_000_000,
    };
    price(&mut job)?;
    Ok(job)
}

/// Asks for metrics, too, with noise of so many steps, of which a clip has 1024.
pub fn measure(job: &mut Job, sigma: u64) -> Result<()> {
    job.metrics = Some(Metrics { loss: 1.0, steps: 1024, sigma });
    price(job)
}

/// Whoever it is, where nobody looks.
#[must_use]
pub fn nobody() -> KeyId {
    KeyId::new(Digest::of("test", &[]))
}

/// What a job of [`nobody`] says about a dataset of so many units.
#[must_use]
pub fn nobodys(units: u64) -> JobDataset {
    let manifest = Id::new(Digest::of("test", &[]));
    JobDataset { manifest, owner: nobody(), population: "patients".into(), units }
}

/// The header of such a dataset: features and a label from 0 to 1, each row a unit.
#[must_use]
pub fn header(features: impl IntoIterator<Item = String>) -> HeaderCore {
    let column = |name: String, role| Column {
        name,
        role,
        kind: ColumnType::F64,
        lower: Some(0.0),
        upper: Some(1.0),
        typical: None,
    };
    let features = features.into_iter().map(|name| column(name, Role::Feature));
    HeaderCore {
        version: 1,
        dataset: ByteArray::new([1; 16]),
        name: "visits".into(),
        owner: nobody(),
        broker: nobody(),
        population: "patients".into(),
        unit: Unit::Row,
        columns: features.chain([column("label".into(), Role::Label)]).collect(),
    }
}

/// Writes the true cost of its releases into a job.
pub fn price(job: &mut Job) -> Result<()> {
    job.cost = job.charges().total()?.as_pico();
    Ok(())
}

/// What a job says about a dataset.
#[must_use]
pub fn declared(dataset: &StoredDataset) -> JobDataset {
    JobDataset {
        manifest: dataset.id,
        owner: dataset.proof.header.owner,
        population: dataset.proof.header.population.clone(),
        units: dataset.manifest.units,
    }
}

/// A signed job with everything that it names.
pub fn material(
    job: &Job,
    orchestrator: &SigningKey,
    code: &CodeFile,
    datasets: &[Arc<StoredDataset>],
) -> Result<Material> {
    let signed = Signed::sign(job, orchestrator)?;
    Ok(Material {
        job: signed.open_by_anyone()?,
        signed,
        code: code.clone(),
        datasets: datasets.to_vec(),
        public_set: Vec::new(),
    })
}
