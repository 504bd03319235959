//! What several tests need: parties that know each other, a sealed file, code, a job.
#![allow(dead_code)] // Each test uses a part of it.

use std::{collections::BTreeMap, net::TcpListener, path::Path};

use cloister_party::{Client, Home, NewParty, Peer, Role};
use cloister_protocol::{
    Digest, Id, KeyId, Signed, SigningKey,
    code::{CodeFile, CodeManifest, WORLD, component_digest},
    dataset::{
        BodyHash, Column, ColumnType, DatasetManifest, HeaderCore, Role as ColumnRole, Unit,
        write_prefix, write_suffix,
    },
    job::{
        CallLimits, Gate, GateMode, Job, JobDataset, JobRole, PublicSet, Recipients, Schedule,
        ServerStep,
    },
};
use serde_bytes::ByteArray;

/// A party's home under `root`, with its keys and certificates.
pub fn party(root: &Path, role: Role, name: &str, port: Option<u16>) -> Home {
    let address = port.map(|port| format!("https://127.0.0.1:{port}").parse().unwrap());
    let population = (role == Role::Owner).then(|| "patients".to_owned());
    let party = NewParty { role, name: name.parse().unwrap(), address, population };
    Home::create(&root.join(name), &party).unwrap()
}

/// Each of the two gets to know the other.
pub fn introduce(a: &Home, b: &Home) {
    a.add_peer(b.enrolment().as_bytes()).unwrap();
    b.add_peer(a.enrolment().as_bytes()).unwrap();
}

/// A port that nobody uses at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A client of `host`, as `home`.
pub fn client(home: &Home, host: &Home) -> Client {
    let peer: Peer = home.peer(host.name().as_str()).unwrap();
    Client::new(home, &peer).unwrap()
}

/// A file that is laid out, hashed and signed as a sealed dataset is. Its body is noise:
/// the host could not tell, and neither can anybody without the key.
pub fn sealed(owner: &SigningKey, broker: KeyId, length: usize) -> (Vec<u8>, DatasetManifest) {
    let body: Vec<u8> = (0..=250).map(|i: u8| i.wrapping_mul(31)).cycle().take(length).collect();
    let column = |name: &str, role, kind, bounds: Option<f64>| Column {
        name: name.into(),
        role,
        kind,
        lower: bounds.map(|_| 0.0),
        upper: bounds,
        typical: None,
    };
    let header = HeaderCore {
        version: 1,
        dataset: ByteArray::new([7; 16]),
        name: "patients of a ward".into(),
        owner: owner.id(),
        broker,
        population: "patients".into(),
        unit: Unit::Column("id".into()),
        columns: vec![
            column("id", ColumnRole::Unit, ColumnType::Text, None),
            column("size", ColumnRole::Feature, ColumnType::F64, Some(10.0)),
            column("sick", ColumnRole::Label, ColumnType::I64, Some(1.0)),
        ],
    };
    let manifest = DatasetManifest {
        header: header.digest(),
        length: body.len() as u64,
        rows: 30,
        units: 20,
        max_rows_per_unit: 2,
        body: BodyHash(ByteArray::new(*blake3::hash(&body).as_bytes())),
    };
    let mut file = Vec::new();
    write_prefix(&mut file, &header).unwrap();
    file.extend_from_slice(&body);
    write_suffix(&mut file, &Signed::sign(&manifest, owner).unwrap()).unwrap();
    (file, manifest)
}

/// A file of signed code, and its id.
pub fn code(author: &SigningKey) -> (Vec<u8>, Id<CodeManifest>) {
    let manifest = CodeManifest {
        name: "logistic".into(),
        version: "1".into(),
        component: component_digest(b"component"),
        length: 9,
        world: WORLD.into(),
        parameters: Vec::new(),
        output: "gradient".into(),
        source: None,
    };
    let signed = Signed::sign(&manifest, author).unwrap();
    let id = signed.open_by_anyone().unwrap().id;
    (CodeFile::new(signed, b"component".to_vec()).to_bytes(), id)
}

/// A job over one dataset.
pub fn job(code: Id<CodeManifest>, dataset: Id<DatasetManifest>, owner: KeyId) -> Job {
    Job {
        version: 1,
        job: ByteArray::new([1; 16]),
        purpose: "research".into(),
        role: JobRole::Both,
        code,
        parameters: BTreeMap::new(),
        datasets: vec![JobDataset {
            manifest: dataset,
            owner,
            population: "patients".into(),
            units: 20,
        }],
        rounds: 3,
        gate: Gate { mode: GateMode::Unit, clip: 1.0, steps: 1024, sigma: 4096 },
        centring: None,
        metrics: None,
        server: ServerStep { rate: 1.0, momentum: 0.0, average_last: 1, scale: 1.0, clamp: 3.0 },
        schedule: Schedule { first_ms: 100, interval_ms: 100 },
        limits: CallLimits { fuel: 10_000, memory: 1 << 20 },
        cost: 1,
        seed: 0,
        recipients: Recipients::Anyone,
        public_set: None,
        not_after: u64::MAX,
    }
}

/// A job that names nothing that exists, signed by a new key.
pub fn imaginary_job(number: u8) -> (Signed<Job>, Id<Job>, KeyId) {
    let (key, _) = SigningKey::generate().unwrap();
    let nothing = Digest::of("test", &[]);
    let mut job = job(Id::new(nothing), Id::new(nothing), Id::new(nothing));
    job.job = ByteArray::new([number; 16]);
    job.public_set = Some(PublicSet { digest: nothing, length: 1 });
    let signed = Signed::sign(&job, &key).unwrap();
    let id = signed.open_by_anyone().unwrap().id;
    (signed, id, key.id())
}
