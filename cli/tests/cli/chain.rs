//! A job's releases, made as an enclave makes them, with one thing wrong on request.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use cloister_party::{Home, NewParty, Role as PartyRole};
use cloister_privacy::Zcdp;
use cloister_protocol::{
    Digest, Id, Signed, SigningKey,
    code::{CodeManifest, WORLD},
    dataset::{BodyHash, Column, ColumnType, DatasetManifest, HeaderCore, Role, Unit},
    grant::Grant,
    hpke,
    job::{
        CallLimits, Centring, Gate, GateMode, Job, JobDataset, JobRole, Metrics, PublicSet,
        Recipients, Schedule, ServerStep,
    },
    release::{DatasetProof, Receipt, Release, Stage, tensors_digest},
    transcript::{Nonce, Transcript, TranscriptId},
};
use cloister_simulated::{Attester, LEAF_LIFETIME, Pcrs, UnixTime, Vendor, pcr};
use serde_bytes::{ByteArray, ByteBuf};

use super::tensors::{LOSS, STEPS, Tensor, UNITS, file, model_file, stages};

const SIGMA: u64 = 20_000;
/// 2026-01-01, when the evidence is made unless something else is asked for.
const THEN: u64 = 1_767_225_600;

/// What an enclave that is not ours, or a thief of its key, might do.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a lie that can be told or not")]
pub struct Tampering {
    /// Evidence for another transcript.
    pub binding: bool,
    /// A model that is not what the sums give.
    pub model: bool,
    /// The same, of the average.
    pub final_model: bool,
    /// The same, of the centre.
    pub centre: bool,
    /// A job with metrics.
    pub measured: bool,
    /// Metrics that are not what their sum gives.
    pub metrics: bool,
    /// A release that says it cost less.
    pub release_cost: bool,
    /// A job that says it costs less.
    pub job_cost: bool,
    /// A release after one that is not there.
    pub previous: bool,
    /// A tensor in the file that the release does not declare.
    pub undeclared: bool,
    /// A tensor that the release declares, and that no release of a job has.
    pub extra: bool,
    /// A first model that is not of singles.
    pub first_model: bool,
    /// Nonces of a broker that has nothing to do with the data.
    pub nonces: bool,
    /// A broker that is not its owner's.
    pub broker: bool,
    /// A job that had ended when the evidence was made.
    pub expired: bool,
    /// When the evidence says it was made, in seconds since 1970.
    pub made: Option<u64>,
    /// What evidence release 1 carries.
    pub evidence: Evidence,
    /// Datasets whose unit is a column.
    pub people: bool,
}

/// The evidence in one receipt of several.
#[derive(Default, PartialEq, Eq)]
pub enum Evidence {
    /// That of the others.
    #[default]
    Same,
    /// The same document, signed once more.
    SignedAgain,
    /// The same document with a signature that does not verify.
    Unsigned,
    /// A document of a second later.
    Later,
}

/// A folder with `measurements.toml`, the homes `hospital`, `lab` and `author`, and
/// `results/` of three releases, or four with metrics, and the model.
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
    #[expect(clippy::too_many_lines, reason = "a whole job, step by step")]
    pub fn make(tampering: &Tampering) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let party = |name, role| party(folder.path(), name, role);
        let hospital = party("hospital", PartyRole::Owner);
        let (lab, author) =
            (party("lab", PartyRole::Orchestrator), party("author", PartyRole::Author));
        let keys = Keys {
            owner: hospital.signing_key().unwrap(),
            broker: if tampering.broker { key() } else { hospital.broker_key().unwrap() },
            enclave: key(),
        };
        let proof = dataset(&keys, tampering);
        let manifest = proof.check().unwrap();
        let code = Signed::sign(&code(), &author.signing_key().unwrap()).unwrap();
        let job = job(&keys, manifest.id, code.open_by_anyone().unwrap().id, tampering);
        let server = job.server;
        let signed_job = Signed::sign(&job, &lab.signing_key().unwrap()).unwrap();
        let job_id = signed_job.open_by_anyone().unwrap().id;
        let transcript = Transcript {
            version: 1,
            role: JobRole::Both,
            suite: hpke::SUITE.into(),
            nonces: BTreeMap::from([(
                if tampering.nonces { key().id() } else { keys.broker.id() },
                Nonce(ByteArray::new([7; 32])),
            )]),
            hpke_key: ByteBuf::from(vec![1; hpke::PUBLIC_KEY_LEN]),
            signing_key: *keys.enclave.public(),
            job: job_id,
            code: job.code,
            datasets: vec![manifest.id],
            policies: vec![Digest::of("policy", &[])],
        };
        let id = transcript.id();
        let platform = Platform::new(folder.path(), tampering);
        let evidence = platform.evidence(&id, 0, tampering);
        let grant = Grant {
            grant: ByteArray::new([3; 16]),
            transcript: id,
            dataset: manifest.id,
            policy: transcript.policies[0],
            cost: job.charges().total().unwrap().as_pico(),
            order: None,
            ledger_head: Digest::of("head", &[]),
        };
        let grant = Signed::sign(&grant, &keys.broker).unwrap();

        fs::create_dir(folder.path().join("results")).unwrap();
        let mut previous = None;
        for (number, (stage, mut tensors)) in (0..).zip(stages(&server, tampering)) {
            let gate = match stage {
                Stage::Centring => Gate { clip: 8.0, ..job.gate },
                Stage::Round(_) => job.gate,
                Stage::Metrics => Gate { clip: 1.0, ..job.gate },
            };
            if tampering.extra && number == 1 {
                tensors.push(Tensor::floats("rows", &[0.5], false));
            }
            let outputs = tensors.iter().map(Tensor::output).collect::<Vec<_>>();
            if tampering.undeclared && number == 1 {
                tensors.push(Tensor::floats("rows", &[0.5], false));
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
                of: job.releases(),
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
            let evidence = match tampering.evidence {
                Evidence::SignedAgain if number == 1 => platform.evidence(&id, 0, tampering),
                Evidence::Later if number == 1 => platform.evidence(&id, 1000, tampering),
                Evidence::Unsigned if number == 1 => {
                    let mut bytes = evidence.clone();
                    *bytes.last_mut().unwrap() ^= 1;
                    bytes
                }
                _ => evidence.clone(),
            };
            let receipt = Receipt::new(
                signed,
                evidence,
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
        let results = folder.path().join("results");
        fs::write(results.join("job.cloister"), signed_job.as_bytes()).unwrap();
        fs::write(results.join("model.safetensors"), model_file(&server, &job_id)).unwrap();
        Self(folder)
    }
}

struct Keys {
    owner: SigningKey,
    broker: SigningKey,
    enclave: SigningKey,
}

/// The home of a new party.
fn party(folder: &Path, name: &str, role: PartyRole) -> Home {
    let owner = role == PartyRole::Owner;
    let party = NewParty {
        role,
        name: name.parse().unwrap(),
        address: owner.then(|| "https://127.0.0.1:7101".parse().unwrap()),
        population: owner.then(|| "people".into()),
    };
    Home::create(&folder.join(name), &party).unwrap()
}

fn dataset(keys: &Keys, tampering: &Tampering) -> DatasetProof {
    let column = |name: &str, role| Column {
        name: name.into(),
        role,
        kind: ColumnType::F64,
        lower: Some(0.0),
        upper: Some(1.0),
        typical: None,
    };
    let mut columns = vec![column("x", Role::Feature), column("y", Role::Label)];
    if tampering.people {
        columns.push(column("id", Role::Unit));
    }
    let header = HeaderCore {
        version: 1,
        dataset: ByteArray::new([1; 16]),
        name: "patients".into(),
        owner: keys.owner.id(),
        broker: keys.broker.id(),
        population: "people".into(),
        unit: if tampering.people { Unit::Column("id".into()) } else { Unit::Row },
        columns,
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
    let releases = if tampering.measured { 4 } else { 3 };
    let cost = releases * Zcdp::of_gaussian(STEPS, SIGMA).unwrap().as_pico();
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
        metrics: tampering.measured.then_some(Metrics { loss: LOSS, steps: STEPS, sigma: SIGMA }),
        server: ServerStep { rate: 2.0, momentum: 0.5, average_last: 2, scale: 10.0, clamp: 3.0 },
        schedule: Schedule { first_ms: 100, interval_ms: 100 },
        limits: CallLimits { fuel: 10_000, memory: 1 << 20 },
        cost: if tampering.job_cost { cost - 1 } else { cost },
        seed: 0,
        recipients: Recipients::Anyone,
        public_set: Some(PublicSet { digest: Digest::of("public-set", &[]), length: 1 }),
        not_after: tampering.made.unwrap_or(THEN) - u64::from(tampering.expired),
    }
}

/// A simulated enclave of long ago.
struct Platform {
    attester: Attester,
    pcrs: Pcrs,
    made: u64,
}

impl Platform {
    /// Makes it, and the measurements that approve it.
    fn new(folder: &Path, tampering: &Tampering) -> Self {
        // No leaf of that day is valid when this test runs.
        let made = tampering.made.unwrap_or(THEN);
        let then = UnixTime::since_unix_epoch(Duration::from_secs(made));
        let vendor = Vendor::generate(then).unwrap();
        let image = pcr(b"image");
        let measurements = format!(
            "[[simulated]]\nname = \"test enclave\"\nroot = '''\n{}'''\n[simulated.pcrs]\n0 = \"{}\"\n",
            vendor.root_pem(),
            hex::encode(image)
        );
        fs::write(folder.join("measurements.toml"), measurements).unwrap();
        let pcrs = Pcrs::from([(0, image), (1, pcr(b"kernel")), (2, pcr(b"application"))]);
        Self { attester: vendor.leaf(then, LEAF_LIFETIME).unwrap(), pcrs, made }
    }

    /// Evidence over a transcript, made so many milliseconds after the first.
    fn evidence(&self, transcript: &TranscriptId, after_ms: u64, tampering: &Tampering) -> Vec<u8> {
        let mut binding = *transcript.digest().as_bytes();
        binding[0] ^= u8::from(tampering.binding);
        let ms = self.made * 1000 + 123 + after_ms;
        self.attester.document(&binding, None, &self.pcrs, ms).unwrap()
    }
}
