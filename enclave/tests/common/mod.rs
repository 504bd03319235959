//! What a job needs: owners with sealed datasets, their brokers, an orchestrator, a host.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod guests;
pub mod host;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use cloister_enclave::{boot, rounds::Workshop};
use cloister_protocol::{
    Digest, Signed, SigningKey,
    code::{CodeManifest, Parameter, WORLD, component_digest},
    dataset::{
        BodyHash, CHUNK, ChunkSealer, Column, ColumnType, DataKey, DatasetManifest, HeaderCore,
        Role, Unit,
    },
    frames::Offer,
    grant::{Grant, SealedGrant},
    job::{
        CallLimits, Centring, Gate, GateMode, Job, JobDataset, JobRole, Metrics, PublicSet,
        Recipients, Schedule, ServerStep,
    },
    release::DatasetProof,
    transcript::{Nonce, Transcript, TranscriptId},
};
use serde_bytes::ByteArray;

/// A row: unit, two features within 0 to 10, a label of 0 or 1.
pub type Row = (&'static str, [f64; 2], f64);

/// An owner's dataset, with the secrets that the owner's broker keeps.
pub struct Owned {
    pub owner: SigningKey,
    pub broker: SigningKey,
    pub key: [u8; 32],
    pub policy: Digest,
    pub proof: DatasetProof,
    pub manifest: DatasetManifest,
    pub body: Vec<u8>,
}

pub fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

pub fn worker_program() -> PathBuf {
    env!("CARGO_BIN_EXE_cloister-enclave").into()
}

pub fn workshop() -> Workshop {
    boot::workshop(worker_program(), Some(2)).unwrap()
}

/// The plaintext of rows.
pub fn stream(rows: &[Row]) -> Vec<u8> {
    let feature = |index: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(row.1[index])).collect::<Float64Array>())
    };
    let batch = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()) as ArrayRef),
        ("size", feature(0)),
        ("shape", feature(1)),
        ("sick", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>())),
    ])
    .unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

pub fn columns() -> Vec<Column> {
    let column = |name: &str, role, kind, upper| Column {
        name: name.into(),
        role,
        kind,
        lower: (role != Role::Unit).then_some(0.0),
        upper: (role != Role::Unit).then_some(upper),
        typical: None,
    };
    vec![
        column("id", Role::Unit, ColumnType::Text, 0.0),
        column("size", Role::Feature, ColumnType::F64, 10.0),
        column("shape", Role::Feature, ColumnType::F64, 10.0),
        column("sick", Role::Label, ColumnType::F64, 1.0),
    ]
}

/// Seals a plaintext, which need not be one.
pub fn seal(plaintext: &[u8], rows: u64, units: u64, largest: u64) -> Owned {
    seal_table(plaintext, columns(), [rows, units, largest], (key(), key()))
}

/// The same with these columns, for an owner and its broker.
pub fn seal_table(
    plaintext: &[u8],
    columns: Vec<Column>,
    [rows, units, largest]: [u64; 3],
    (owner, broker): (SigningKey, SigningKey),
) -> Owned {
    let key = [7; 32];
    let header = HeaderCore {
        version: 1,
        dataset: ByteArray::new([1; 16]),
        name: "patients".into(),
        owner: owner.id(),
        broker: broker.id(),
        population: "patients".into(),
        unit: Unit::Column("id".into()),
        columns,
    };
    let body = seal_body(plaintext, &key, &header.digest());
    let manifest = DatasetManifest {
        header: header.digest(),
        length: body.len() as u64,
        rows,
        units,
        max_rows_per_unit: largest,
        body: BodyHash(ByteArray::new(*blake3::hash(&body).as_bytes())),
    };
    let signed = Signed::sign(&manifest, &owner).unwrap();
    let policy = Digest::of("test-policy", &[owner.public().as_bytes()]);
    let proof = DatasetProof { header, manifest: signed };
    Owned { owner, broker, key, policy, proof, manifest, body }
}

fn seal_body(plaintext: &[u8], key: &[u8; 32], header: &Digest) -> Vec<u8> {
    let (mut sealer, prefix) = ChunkSealer::new(&DataKey::from_bytes(key), &[3; 24], header);
    let mut body = prefix.to_vec();
    let full = plaintext.len() / CHUNK * CHUNK;
    for chunk in plaintext[..full].chunks(CHUNK) {
        let mut chunk = chunk.to_vec();
        sealer.seal(&mut chunk).unwrap();
        body.append(&mut chunk);
    }
    let mut last = plaintext[full..].to_vec();
    sealer.seal_last(&mut last).unwrap();
    body.append(&mut last);
    body
}

/// Two owners, three units each, one with two rows.
pub fn two_owners() -> Vec<Owned> {
    let ours: &[Row] = &[
        ("ann", [9.0, 1.0], 1.0),
        ("bob", [1.0, 2.0], 0.5),
        ("ann", [8.0, 2.0], 1.0),
        ("cat", [2.0, 9.0], 0.0),
    ];
    let theirs: &[Row] = &[("x", [9.0, 3.0], 1.0), ("y", [7.0, 5.0], 1.0), ("z", [0.0, 5.0], 0.0)];
    vec![seal(&stream(ours), 4, 3, 2), seal(&stream(theirs), 3, 3, 1)]
}

pub fn public_rows() -> Vec<u8> {
    stream(&[("p", [9.0, 1.0], 1.0), ("q", [1.0, 9.0], 0.0), ("r", [8.0, 8.0], 1.0)])
}

/// A whole job, before anything is signed: tests change what they like.
pub struct Fixture {
    pub owned: Vec<Owned>,
    pub orchestrator: SigningKey,
    pub author: SigningKey,
    pub component: Vec<u8>,
    pub code: CodeManifest,
    pub public: Vec<u8>,
    pub job: Job,
}

impl Fixture {
    pub fn new(component: Vec<u8>) -> Self {
        Self::with_data(component, two_owners())
    }

    pub fn with_data(component: Vec<u8>, owned: Vec<Owned>) -> Self {
        let author = key();
        let code = CodeManifest {
            name: "guest".into(),
            version: "1".into(),
            component: component_digest(&component),
            length: component.len() as u64,
            world: WORLD.into(),
            parameters: vec![Parameter { name: "l2".into(), lower: 0.0, upper: 1.0, default: 0.1 }],
            output: "a gradient".into(),
            source: None,
        };
        let public = public_rows();
        let mut job = Job {
            version: 1,
            job: ByteArray::new([1; 16]),
            purpose: "research".into(),
            role: JobRole::Both,
            code: Signed::sign(&code, &author).unwrap().open_by_anyone().unwrap().id,
            parameters: BTreeMap::new(),
            datasets: owned.iter().map(declared).collect(),
            rounds: 3,
            gate: Gate { mode: GateMode::Unit, clip: 1.0, steps: 1024, sigma: 2048 },
            centring: Some(Centring { clip: 2.0, steps: 2048, sigma: 4096 }),
            metrics: None,
            server: ServerStep {
                rate: 1.0,
                momentum: 0.5,
                average_last: 2,
                scale: 10.0,
                clamp: 3.0,
            },
            schedule: Schedule { first_ms: 100, interval_ms: 250 },
            limits: CallLimits { fuel: 100_000, memory: 1 << 20 },
            cost: 0,
            seed: 5,
            recipients: Recipients::Anyone,
            public_set: Some(public_set(&public)),
            not_after: 4_000_000_000,
        };
        job.cost = job.charges().total().unwrap().as_pico();
        Self { owned, orchestrator: key(), author, component, code, public, job }
    }

    /// Asks for metrics, too.
    pub fn measure(&mut self, sigma: u64) {
        self.job.metrics = Some(Metrics { loss: 2.0, steps: 1024, sigma });
        self.job.cost = self.job.charges().total().unwrap().as_pico();
    }

    /// Signs the manifest and writes its identifier into the job.
    pub fn name_code(&mut self) {
        let signed = Signed::sign(&self.code, &self.author).unwrap();
        self.job.code = signed.open_by_anyone().unwrap().id;
    }

    /// Writes the datasets, as they are now, into the job.
    pub fn name_datasets(&mut self) {
        for owned in &mut self.owned {
            owned.manifest.header = owned.proof.header.digest();
            owned.proof.manifest = Signed::sign(&owned.manifest, &owned.owner).unwrap();
        }
        self.job.datasets = self.owned.iter().map(declared).collect();
        self.job.cost = self.job.charges().total().unwrap().as_pico();
    }

    pub fn offer(&self) -> Offer {
        let nonce = |owned: &Owned| (owned.broker.id(), Nonce(ByteArray::new([9; 32])));
        Offer {
            job: Signed::sign(&self.job, &self.orchestrator).unwrap(),
            code: Signed::sign(&self.code, &self.author).unwrap(),
            datasets: self.owned.iter().map(|owned| owned.proof.clone()).collect(),
            policies: self.owned.iter().map(|owned| owned.policy).collect(),
            nonces: self.owned.iter().map(nonce).collect(),
            component_length: self.component.len() as u64,
            public_set_length: if self.job.public_set.is_some() {
                self.public.len() as u64
            } else {
                0
            },
        }
    }

    /// What the brokers answer.
    pub fn grants(&self, transcript: &[u8]) -> Vec<SealedGrant> {
        let (transcript, id) = Transcript::from_bytes(transcript).unwrap();
        self.owned.iter().map(|owned| self.grant(owned, &transcript, id, |_| {})).collect()
    }

    /// One broker's grant, with something changed before it is signed.
    pub fn grant(
        &self,
        owned: &Owned,
        transcript: &Transcript,
        id: TranscriptId,
        change: impl FnOnce(&mut Grant),
    ) -> SealedGrant {
        let mut grant = Grant {
            grant: ByteArray::new([4; 16]),
            transcript: id,
            dataset: owned.proof.manifest.open_by_anyone().unwrap().id,
            policy: owned.policy,
            cost: self.job.cost,
            order: None,
            ledger_head: Digest::of("head", &[]),
        };
        change(&mut grant);
        let key = DataKey::from_bytes(&owned.key);
        SealedGrant::issue(&grant, &key, &transcript.hpke_key, &owned.broker).unwrap()
    }
}

pub fn public_set(bytes: &[u8]) -> PublicSet {
    PublicSet { digest: Digest::of("public-set", &[bytes]), length: bytes.len() as u64 }
}

fn declared(owned: &Owned) -> JobDataset {
    JobDataset {
        manifest: owned.proof.manifest.open_by_anyone().unwrap().id,
        owner: owned.proof.header.owner,
        population: owned.proof.header.population.clone(),
        units: owned.manifest.units,
    }
}
