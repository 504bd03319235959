//! A job's releases, made as an enclave makes them, with one thing wrong on request.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use cloister_privacy::{Gate as Grid, NoisySum, Server, Zcdp};
use cloister_protocol::{
    Digest, Id, Signed, SigningKey,
    code::{CodeManifest, WORLD},
    dataset::{BodyHash, Column, ColumnType, DatasetManifest, HeaderCore, Role, Unit},
    grant::Grant,
    hpke,
    job::{
        CallLimits, Centring, Gate, GateMode, Job, JobDataset, JobRole, Recipients, Schedule,
        ServerStep,
    },
    release::{DatasetProof, Output, Receipt, Release, Stage, tensors_digest},
    transcript::{Nonce, Transcript},
};
use cloister_simulated::{LEAF_LIFETIME, Pcrs, UnixTime, Vendor, pcr};
use safetensors::{Dtype, tensor::TensorView};
use serde_bytes::{ByteArray, ByteBuf};

const UNITS: u64 = 100;
const STEPS: u64 = 1024;
const SIGMA: u64 = 20_000;

/// What an enclave that is not ours, or a thief of its key, might do.
#[derive(Default)]
pub struct Tampering {
    /// Evidence for another transcript.
    pub binding: bool,
    /// A model that is not what the sums give.
    pub model: bool,
    /// The same, of the average.
    pub final_model: bool,
    /// The same, of the centre.
    pub centre: bool,
    /// A release that says it cost less.
    pub release_cost: bool,
    /// A job that says it costs less.
    pub job_cost: bool,
    /// A release after one that is not there.
    pub previous: bool,
    /// A tensor too many.
    pub outputs: bool,
}

/// A folder with `measurements.toml` and `results/` of three releases.
pub struct Chain(tempfile::TempDir);

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn zero<T: ?Sized>() -> Id<T> {
    Id::new(Digest::of("test", &[]))
}

impl Chain {
    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes a release away.
    pub fn remove(&self, stem: &str) {
        for extension in ["receipt", "safetensors"] {
            fs::remove_file(self.path().join(format!("results/{stem}.{extension}"))).unwrap();
        }
    }

    /// Makes the releases.
    pub fn make(tampering: &Tampering) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys { owner: key(), broker: key(), enclave: key() };
        let proof = dataset(&keys);
        let manifest = proof.check().unwrap();
        let code = Signed::sign(&code(), &key()).unwrap();
        let job = job(&keys, manifest.id, code.open_by_anyone().unwrap().id, tampering);
        let server = job.server;
        let signed_job = Signed::sign(&job, &key()).unwrap();
        let job_id = signed_job.open_by_anyone().unwrap().id;
        let transcript = Transcript {
            version: 1,
            role: JobRole::Both,
            suite: hpke::SUITE.into(),
            nonces: BTreeMap::from([(keys.broker.id(), Nonce(ByteArray::new([7; 32])))]),
            hpke_key: ByteBuf::from(vec![1; hpke::PUBLIC_KEY_LEN]),
            signing_key: *keys.enclave.public(),
            job: job_id,
            code: job.code,
            datasets: vec![manifest.id],
            policies: vec![Digest::of("policy", &[])],
        };
        let id = transcript.id();
        let evidence = evidence(folder.path(), &id, tampering);
        let grant = Grant {
            grant: ByteArray::new([3; 16]),
            transcript: id,
            dataset: manifest.id,
            policy: transcript.policies[0],
            cost: job.cost,
            ledger_head: Digest::of("head", &[]),
        };
        let grant = Signed::sign(&grant, &keys.broker).unwrap();

        fs::create_dir(folder.path().join("results")).unwrap();
        let mut previous = None;
        for (number, (stage, mut tensors)) in (0..).zip(stages(&server, tampering)) {
            let centring = stage == Stage::Centring;
            let gate = if centring { Gate { clip: 8.0, ..job.gate } } else { job.gate };
            let mut outputs = tensors.iter().map(Tensor::output).collect::<Vec<_>>();
            if tampering.outputs && number == 1 {
                outputs.pop();
            }
            tensors.sort_by(|a, b| a.name.cmp(b.name));
            let file = file(&tensors);
            let mut cost = Zcdp::of_gaussian(STEPS, SIGMA).unwrap().as_pico();
            if tampering.release_cost && number == 1 {
                cost -= 1;
            }
            if tampering.previous && number == 2 {
                previous = Some(zero());
            }
            let release = Release {
                transcript: id,
                job: job_id,
                number,
                of: 3,
                stage,
                gate,
                divisor: UNITS,
                cost,
                outputs,
                tensors: tensors_digest(&file),
                previous,
            };
            let signed = Signed::sign(&release, &keys.enclave).unwrap();
            previous = Some(signed.open_by_anyone().unwrap().id);
            let receipt = Receipt::new(
                signed,
                evidence.clone(),
                transcript.to_bytes(),
                signed_job.clone(),
                code.clone(),
                vec![proof.clone()],
                vec![grant.clone()],
            );
            let stem = folder.path().join(format!("results/release-{number:03}"));
            fs::write(stem.with_extension("receipt"), receipt.to_bytes()).unwrap();
            fs::write(stem.with_extension("safetensors"), file).unwrap();
        }
        Self(folder)
    }
}

struct Keys {
    owner: SigningKey,
    broker: SigningKey,
    enclave: SigningKey,
}

fn dataset(keys: &Keys) -> DatasetProof {
    let column = |name: &str, role| Column {
        name: name.into(),
        role,
        kind: ColumnType::F64,
        lower: Some(0.0),
        upper: Some(1.0),
        typical: None,
    };
    let header = HeaderCore {
        version: 1,
        dataset: ByteArray::new([1; 16]),
        name: "patients".into(),
        owner: keys.owner.id(),
        broker: keys.broker.id(),
        population: "people".into(),
        unit: Unit::Row,
        columns: vec![column("x", Role::Feature), column("y", Role::Label)],
    };
    let manifest = DatasetManifest {
        header: header.digest(),
        length: 100,
        rows: UNITS,
        units: UNITS,
        max_rows_per_unit: 1,
        body: BodyHash(ByteArray::new([0; 32])),
    };
    let manifest = Signed::sign(&manifest, &keys.owner).unwrap();
    DatasetProof { header, manifest }
}

fn code() -> CodeManifest {
    CodeManifest {
        name: "logistic".into(),
        version: "1".into(),
        component: Digest::of("test", &[]),
        length: 1,
        world: WORLD.into(),
        parameters: vec![],
        output: "gradient".into(),
        source: None,
    }
}

fn job(
    keys: &Keys,
    manifest: Id<DatasetManifest>,
    code: Id<CodeManifest>,
    tampering: &Tampering,
) -> Job {
    let cost = 3 * Zcdp::of_gaussian(STEPS, SIGMA).unwrap().as_pico();
    Job {
        version: 1,
        job: ByteArray::new([1; 16]),
        purpose: "research".into(),
        role: JobRole::Both,
        code,
        parameters: BTreeMap::new(),
        datasets: vec![JobDataset {
            manifest,
            owner: keys.owner.id(),
            population: "people".into(),
            units: UNITS,
        }],
        rounds: 2,
        gate: Gate { mode: GateMode::Unit, clip: 0.5, steps: STEPS, sigma: SIGMA },
        centring: Some(Centring { clip: 8.0, steps: STEPS, sigma: SIGMA }),
        server: ServerStep { rate: 2.0, momentum: 0.5, average_last: 2, scale: 10.0, clamp: 3.0 },
        schedule: Schedule { first_ms: 100, interval_ms: 100 },
        limits: CallLimits { fuel: 10_000, memory: 1 << 20 },
        cost: if tampering.job_cost { cost - 1 } else { cost },
        seed: 0,
        recipients: Recipients::Anyone,
        public_set: None,
        not_after: 0,
    }
}

/// Evidence of a simulated enclave long ago, and the measurements that approve it.
fn evidence(
    folder: &Path,
    transcript: &cloister_protocol::transcript::TranscriptId,
    tampering: &Tampering,
) -> Vec<u8> {
    // 2026-01-01: no leaf of that day is valid when this test runs.
    let then = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
    let vendor = Vendor::generate(then).unwrap();
    let image = pcr(b"image");
    let measurements = format!(
        "[[simulated]]\nname = \"test enclave\"\nroot = '''\n{}'''\n[simulated.pcrs]\n0 = \"{}\"\n",
        vendor.root_pem(),
        hex::encode(image)
    );
    fs::write(folder.join("measurements.toml"), measurements).unwrap();
    let attester = vendor.leaf(then, LEAF_LIFETIME).unwrap();
    let mut binding = *transcript.digest().as_bytes();
    binding[0] ^= u8::from(tampering.binding);
    let pcrs = Pcrs::from([(0, image), (1, pcr(b"kernel")), (2, pcr(b"application"))]);
    attester.document(&binding, None, &pcrs, then.as_secs() * 1000 + 123).unwrap()
}

struct Tensor {
    name: &'static str,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Tensor {
    fn sums(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: "noised_sum", dtype: Dtype::I64, bytes }
    }

    fn floats(name: &'static str, values: &[f64], tampered: bool) -> Self {
        let mut bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        // The last bit of the first number.
        bytes[0] ^= u8::from(tampered);
        Self { name, dtype: Dtype::F64, bytes }
    }

    fn output(&self) -> Output {
        let dtype = format!("{:?}", self.dtype);
        Output { name: self.name.into(), dtype, shape: vec![self.bytes.len() as u64 / 8] }
    }
}

fn file(tensors: &[Tensor]) -> Vec<u8> {
    let view = |t: &Tensor| {
        let shape = vec![t.bytes.len() / 8];
        // The view borrows the bytes, which outlive it.
        (t.name.to_owned(), (t.dtype, shape, t.bytes.clone()))
    };
    let owned: Vec<_> = tensors.iter().map(view).collect();
    let views = owned.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// What the three releases hold: centring and two rounds.
fn stages(step: &ServerStep, tampering: &Tampering) -> Vec<(Stage, Vec<Tensor>)> {
    let mean = |clip, sum: &[i64]| {
        let grid = Grid::new(clip, STEPS, sum.len()).unwrap();
        NoisySum::from_released(grid, sum.to_vec()).unwrap().mean(UNITS).unwrap()
    };
    let server = Server::new(step.rate, step.momentum, step.average_last).unwrap();
    let mut state = server.start(&[0.0; 2]).unwrap();
    let centre = [4321];
    let mut stages = vec![(
        Stage::Centring,
        vec![
            Tensor::sums(&centre),
            Tensor::floats("centre", &mean(8.0, &centre), tampering.centre),
        ],
    )];
    for (round, sum) in [(1, [12_345, -777]), (2, [-999, 31_415])] {
        state.apply(&mean(0.5, &sum)).unwrap();
        let tampered = tampering.model && round == 1;
        let mut tensors =
            vec![Tensor::sums(&sum), Tensor::floats("model", state.model(), tampered)];
        if round == 2 {
            let averaged = state.averaged();
            tensors.push(Tensor::floats("final_model", &averaged, tampering.final_model));
        }
        tensors.push(Tensor::floats("accuracy", &[0.75], false));
        stages.push((Stage::Round(round), tensors));
    }
    stages
}
