//! For every rule, a receipt that is signed by the right keys throughout and wrong in one
//! thing, with the error that only this rule gives.

use std::collections::{BTreeMap, BTreeSet};

use serde_bytes::{ByteArray, ByteBuf};

use super::*;
use crate::{
    Signed, SigningKey,
    code::{CodeManifest, WORLD},
    dataset::{BodyHash, Column, ColumnType, DatasetManifest, HeaderCore, Role, Unit},
    grant::Grant,
    hpke,
    job::{
        CallLimits, Centring, GateMode, JobDataset, JobRole, Metrics, PublicSet, Recipients,
        Schedule, ServerStep,
    },
    transcript::{Nonce, Transcript},
};

const FEATURES: u64 = 2;
const MODEL: u64 = 3;
const FILE: &[u8] = b"the file of tensors";

/// A change to one thing before it is signed; everything after it names what came out.
type Change<T> = Option<fn(&mut T)>;

/// A receipt for two datasets, and what is to be wrong with it.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a job with it or without")]
struct Case {
    stage: Option<Stage>,
    no_centring: bool,
    public_set: bool,
    /// The datasets are two tables of one population.
    joined: bool,
    metrics: bool,
    header: Change<HeaderCore>,
    manifest: Change<DatasetManifest>,
    job: Change<Job>,
    transcript: Change<Transcript>,
    grant: Change<Grant>,
    release: Change<Release>,
    receipt: Change<Receipt>,
    bytes: Change<Vec<u8>>,
    file: Change<Vec<u8>>,
    /// The kind of an object that somebody else signs.
    stranger: &'static str,
}

/// What is wrong, the code of the rule that refuses it, what the error says, and the change.
type Mutation = (&'static str, &'static str, &'static str, fn(&mut Case));

#[rustfmt::skip] // a table
const MUTATIONS: &[Mutation] = &[
    ("a byte after it", "receipt-format", "not a receipt", |c| c.bytes = Some(|b| b.push(0))),
    ("a transcript of version 2", "transcript-format", "version 2", |c| c.transcript = Some(|t| t.version = 2)),
    ("a policy too few", "transcript-format", "2 datasets and 1 policies", |c| c.transcript = Some(|t| { t.policies.pop(); })),

    ("a release by another key", "signature", "the release is signed by key", |c| c.stranger = "release"),
    ("a manifest by another key", "signature", "the dataset-manifest is signed by key", |c| c.stranger = "manifest"),
    ("a release's signature", "signature", "the release was altered", |c| c.receipt = Some(|r| r.release = flipped(&r.release))),
    ("a job's signature", "signature", "the job was altered", |c| c.receipt = Some(|r| r.job = flipped(&r.job))),
    ("a code manifest's signature", "signature", "the code-manifest was altered", |c| c.receipt = Some(|r| r.code = flipped(&r.code))),
    ("a dataset manifest's signature", "signature", "the dataset-manifest was altered", |c| c.receipt = Some(|r| r.datasets[1].manifest = flipped(&r.datasets[1].manifest))),

    ("a release of another transcript", "release-transcript", "", |c| c.release = Some(|r| r.transcript = other())),
    ("a job that the transcript does not name", "transcript-job", "", |c| c.transcript = Some(|t| t.job = other())),
    ("a job that the release does not name", "release-job", "", |c| c.release = Some(|r| r.job = other())),
    ("no rounds", "job-rule", "rounds is 0", |c| c.job = Some(|j| j.rounds = 0)),
    ("code that the transcript does not name", "transcript-code", "", |c| c.transcript = Some(|t| t.code = other())),
    ("code that the job does not name", "job-code", "", |c| c.job = Some(|j| j.code = other())),

    ("a dataset more in the job", "job-datasets", "expected 2, found 3", |c| c.job = Some(|j| {
        let mut more = JobDataset { manifest: other(), ..j.datasets[0].clone() };
        more.population = "others".into();
        j.datasets.push(more);
    })),
    ("a dataset left out", "datasets", "expected 2, found 1", |c| c.receipt = Some(|r| { r.datasets.pop(); })),
    ("a dataset twice", "datasets", "expected 2, found 3", |c| c.receipt = Some(|r| r.datasets.push(r.datasets[1].clone()))),
    ("a grant left out", "grants", "expected 2, found 1", |c| c.receipt = Some(|r| { r.grants.pop(); })),
    ("a header without a name", "header-rule", "not a usable name", |c| c.header = Some(|h| h.name.clear())),
    ("a header that was not signed", "dataset-header", "", |c| c.manifest = Some(|m| m.header = Digest::of("other", &[]))),
    ("a header that was changed afterwards", "dataset-header", "", |c| c.receipt = Some(|r| r.datasets[1].header.columns[0].upper = Some(2.0))),
    ("datasets in another order", "transcript-dataset", "", |c| c.receipt = Some(|r| { r.datasets.swap(0, 1); r.grants.swap(0, 1); })),
    ("a dataset that the transcript does not name", "transcript-dataset", "", |c| { c.transcript = Some(|t| t.datasets[1] = other()); }),
    ("a dataset that the job does not name", "job-dataset", "", |c| c.job = Some(|j| j.datasets[1].manifest = other())),
    ("another owner in the job", "dataset-owner", "", |c| c.job = Some(|j| j.datasets[1].owner = other())),
    ("another population in the job", "dataset-population", "\"others\"", |c| c.job = Some(|j| j.datasets[1].population = "others".into())),
    ("fewer units in the job", "dataset-units", "expected 50, found 49", |c| c.job = Some(|j| j.datasets[1].units -= 1)),
    ("no nonce of a broker", "transcript-nonces", "", |c| c.transcript = Some(|t| { t.nonces.pop_first(); })),
    ("a nonce of a stranger", "transcript-nonces", "", |c| c.transcript = Some(|t| { t.nonces.insert(other(), Nonce(ByteArray::new([7; 32]))); })),

    ("a grant by another key", "grant-signature", "the grant is signed by key", |c| c.stranger = "grant"),
    ("a grant's signature", "grant-signature", "the grant was altered", |c| c.receipt = Some(|r| r.grants[1] = flipped(&r.grants[1]))),
    ("a grant by the other owner's broker", "grant-signature", "the grant is signed by key", |c| c.receipt = Some(|r| r.grants.swap(0, 1))),
    ("a grant for another transcript", "grant-transcript", "it was replayed", |c| c.grant = Some(|g| g.transcript = other())),
    ("a grant for another dataset", "grant-dataset", "", |c| c.grant = Some(|g| g.dataset = other())),
    ("a grant under another policy", "grant-policy", "", |c| c.grant = Some(|g| g.policy = Digest::of("other", &[]))),
    ("a grant of less", "grant-cost", "", |c| c.grant = Some(|g| g.cost -= 1)),

    ("centring that the job has not", "release-centring", "found one", |c| { c.no_centring = true; c.release = Some(|r| r.stage = Stage::Centring); }),
    ("metrics that the job has not", "release-metrics", "found one", |c| c.release = Some(|r| r.stage = Stage::Metrics)),
    ("metrics before the last place", "release-number", "expected 4, found 3", |c| { metrics(c); c.release = Some(|r| r.number = 3); }),
    ("the rounds' gate in the metrics release", "release-gate", "", |c| { metrics(c); c.release = Some(|r| r.gate.sigma = 20_000); }),
    ("a mean over fewer in the metrics release", "release-divisor", "", |c| { metrics(c); c.release = Some(|r| r.divisor = 99); }),
    ("a fifth metric", "release-outputs", "", |c| { metrics(c); c.release = Some(|r| of(r, "metrics").shape = vec![5]); }),
    ("metrics and a model", "release-outputs", "", |c| { metrics(c); c.release = Some(|r| r.outputs.push(output("model", "F64", &[MODEL]))); }),
    ("round 0", "release-round", "expected 1 to 3, found 0", |c| c.release = Some(|r| r.stage = Stage::Round(0))),
    ("a round after the last", "release-round", "expected 1 to 3, found 4", |c| c.release = Some(|r| r.stage = Stage::Round(4))),
    ("another number", "release-number", "expected 2, found 1", |c| c.release = Some(|r| r.number = 1)),
    ("another number of releases", "release-of", "expected 4, found 3", |c| c.release = Some(|r| r.of = 3)),
    ("a release before the first", "release-previous", "expected \"none\"", |c| { c.stage = Some(Stage::Centring); c.release = Some(|r| r.previous = Some(other())); }),
    ("no release before a later one", "release-previous", "expected \"one\"", |c| c.release = Some(|r| r.previous = None)),
    ("another clip", "release-gate", "", |c| c.release = Some(|r| r.gate.clip = 2.0)),
    ("finer steps", "release-gate", "", |c| c.release = Some(|r| r.gate.steps += 1)),
    ("less noise", "release-gate", "", |c| c.release = Some(|r| r.gate.sigma -= 1)),
    ("the rounds' gate in the centring release", "release-gate", "", |c| { c.stage = Some(Stage::Centring); c.release = Some(|r| r.gate.clip = 1.0); }),
    ("the centring's gate in a round", "release-gate", "", |c| c.release = Some(|r| r.gate.clip = 8.0)),
    ("another divisor", "release-divisor", "expected 100, found 99", |c| c.release = Some(|r| r.divisor -= 1)),

    ("a tensor more", "release-outputs", "rows", |c| c.release = Some(|r| r.outputs.push(output("rows", "F64", &[100])))),
    ("a tensor twice", "release-outputs", "", |c| c.release = Some(|r| { let again = r.outputs[0].clone(); r.outputs.push(again); })),
    ("a tensor less", "release-outputs", "", |c| c.release = Some(|r| r.outputs.retain(|o| o.name != "model"))),
    ("no tensor at all", "release-outputs", "a model of 1 to", |c| c.release = Some(|r| r.outputs.clear())),
    ("an empty model", "release-outputs", "a model of 1 to", |c| c.release = Some(|r| for o in &mut r.outputs { o.shape = vec![0]; })),
    ("another type", "release-outputs", "", |c| c.release = Some(|r| of(r, "model").dtype = "I64".into())),
    ("a matrix", "release-outputs", "", |c| c.release = Some(|r| of(r, "model").shape = vec![1, MODEL])),
    ("a longer model than sum", "release-outputs", "", |c| c.release = Some(|r| of(r, "model").shape = vec![MODEL + 1])),
    ("a final model before the last round", "release-outputs", "", |c| c.release = Some(|r| r.outputs.push(output("final_model", "F64", &[MODEL])))),
    ("no final model in the last round", "release-outputs", "", |c| { c.stage = Some(Stage::Round(3)); c.release = Some(|r| r.outputs.retain(|o| o.name != "final_model")); }),
    ("a first model after the first release", "release-outputs", "", |c| c.release = Some(|r| r.outputs.push(output("first_model", "F64", &[MODEL])))),
    ("no first model in the first release", "release-outputs", "", |c| { c.stage = Some(Stage::Centring); c.release = Some(|r| r.outputs.retain(|o| o.name != "first_model")); }),
    ("no first model without centring", "release-outputs", "", |c| { c.no_centring = true; c.stage = Some(Stage::Round(1)); c.release = Some(|r| r.outputs.retain(|o| o.name != "first_model")); }),
    ("a score without a public set", "release-outputs", "", |c| c.release = Some(|r| { r.outputs.push(output("accuracy", "F64", &[1])); r.outputs.push(output("loss", "F64", &[1])); })),
    ("no score with a public set", "release-outputs", "", |c| { c.public_set = true; c.release = Some(|r| r.outputs.retain(|o| o.name != "loss")); }),
    ("a score of several numbers", "release-outputs", "", |c| { c.public_set = true; c.release = Some(|r| of(r, "accuracy").shape = vec![2]); }),
    ("a centre of more than the features", "release-outputs", "", |c| { c.stage = Some(Stage::Centring); c.release = Some(|r| of(r, "centre").shape = vec![FEATURES + 1]); }),
    ("another file", "release-file", "", |c| c.file = Some(|f| f[0] ^= 1)),

    ("a table whose columns are in the other", "join-rule", "two columns are called \"a\"", |c| { c.joined = true; c.header = Some(|h| { h.columns.pop(); }); }),
    ("a table by row", "join-rule", "has rows for units", |c| { c.joined = true; c.header = Some(|h| { table(h); h.unit = Unit::Row; h.columns.remove(0); }); }),
    ("tables granted by two reservations", "grant-apart", "two entries", |c| { c.joined = true; c.grant = Some(|g| g.ledger_head = Digest::of("next", &[])); }),
    ("a joined population that counts twice", "release-divisor", "expected 50, found 100", |c| { c.joined = true; c.release = Some(|r| r.divisor = 100); }),
    ("a centre of the base table's features alone", "release-outputs", "", |c| { c.joined = true; c.stage = Some(Stage::Centring); c.release = Some(|r| of(r, "centre").shape = vec![FEATURES]); }),
];

/// Makes the second of two headers a table that can be joined to the first.
fn table(header: &mut HeaderCore) {
    header.columns.retain(|column| column.role != Role::Label);
    for column in &mut header.columns[1..] {
        column.name.push('2');
    }
}

/// A job with metrics, and their release.
fn metrics(case: &mut Case) {
    (case.metrics, case.stage) = (true, Some(Stage::Metrics));
}

#[test]
fn the_cases_that_are_mutated_are_accepted() {
    for no_centring in [false, true] {
        for public_set in [false, true] {
            let rounds = [1, 2, 3].map(Stage::Round);
            for stage in [Stage::Centring, Stage::Metrics].into_iter().chain(rounds) {
                if no_centring && stage == Stage::Centring {
                    continue;
                }
                for (joined, metrics) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    if stage == Stage::Metrics && !metrics {
                        continue;
                    }
                    let stage = Some(stage);
                    let case =
                        Case { stage, no_centring, public_set, joined, metrics, ..Case::default() };
                    case.check().unwrap();
                }
            }
        }
    }
}

#[test]
fn each_mutation_is_refused_by_its_rule() {
    let mut wrong = Vec::new();
    for (what, code, says, mutate) in MUTATIONS {
        let mut case = Case::default();
        mutate(&mut case);
        match case.check() {
            Ok(_) => wrong.push(format!("{what}: accepted")),
            Err(error) => {
                let said = error.to_string();
                if error.code() != *code || !said.contains(says) {
                    wrong.push(format!("{what}: expected {code}, found {}: {said}", error.code()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_mutation() {
    // Both lists are made by what makes the match over the variants exhaustive.
    let parts = Part::ALL.iter().map(|part| part.code());
    let mut rules: BTreeSet<_> = parts.chain(ReceiptError::CODES.iter().copied()).collect();
    assert_eq!(rules.len(), Part::ALL.len() + ReceiptError::CODES.len(), "codes are unique");
    assert!(rules.remove("grant-key"), "for the sealed half, which no receipt has");
    let mutated: BTreeSet<_> = MUTATIONS.iter().map(|(_, code, ..)| *code).collect();
    assert_eq!(rules, mutated, "rules and mutations match");
}

#[test]
fn what_is_shown_of_hostile_names_is_bounded() {
    let release: Change<Release> = Some(|r| {
        r.outputs = (0..200).map(|_| output(&"n".repeat(150), "F64", &[1])).collect();
    });
    let case = Case { release, ..Case::default() };
    let said = case.check().unwrap_err().to_string();
    assert!(said.len() < 2000 && said.contains("184 more"), "{said}");
}

fn other<T: ?Sized>() -> Id<T> {
    Id::new(Digest::of("other", &[]))
}

fn output(name: &str, dtype: &str, shape: &[u64]) -> Output {
    Output { name: name.into(), dtype: dtype.into(), shape: shape.to_vec() }
}

fn of<'a>(release: &'a mut Release, name: &str) -> &'a mut Output {
    release.outputs.iter_mut().find(|output| output.name == name).unwrap()
}

/// The same with a bit of the signature changed, which is at the end.
fn flipped<T: Kind>(signed: &Signed<T>) -> Signed<T> {
    let mut bytes = signed.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Signed::from_bytes(bytes)
}

fn change<T>(value: &mut T, change: Change<T>) {
    if let Some(change) = change {
        change(value);
    }
}

fn id_of<T: Kind>(signed: &Signed<T>) -> Id<T> {
    signed.open_by_anyone().unwrap().id
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

impl Case {
    fn check(&self) -> Result<CheckedReceipt, ReceiptError> {
        let mut bytes = self.receipt().to_bytes();
        change(&mut bytes, self.bytes);
        let mut file = FILE.to_vec();
        change(&mut file, self.file);
        Receipt::from_bytes(&bytes)?.check(&file)
    }

    /// The parts in the order in which they name each other. What is changed, is changed in
    /// the second dataset.
    fn receipt(&self) -> Receipt {
        let (stranger, enclave) = (key(), key());
        let owners = [(key(), key()), (key(), key())];
        let of_place = |place: usize| &owners[if self.joined { 0 } else { place }];
        let owners = [of_place(0), of_place(1)];
        let datasets: Vec<_> = owners
            .iter()
            .enumerate()
            .map(|(index, (owner, broker))| {
                let second = index == 1;
                let mut header = header(owner, broker);
                if self.joined {
                    header.unit = Unit::Column("id".into());
                    let unit = Column { kind: ColumnType::Text, ..column("id", Role::Unit) };
                    header.columns.insert(0, unit);
                }
                let joined: Change<HeaderCore> = self.joined.then_some(table);
                change(&mut header, self.header.or(joined).filter(|_| second));
                let mut manifest = manifest(&header);
                change(&mut manifest, self.manifest.filter(|_| second));
                let owner = if second { self.signer("manifest", owner, &stranger) } else { owner };
                let manifest = Signed::sign(&manifest, owner).unwrap();
                DatasetProof { header, manifest }
            })
            .collect();
        let code = Signed::sign(&code(), &key()).unwrap();
        let mut job = self.job_of(id_of(&code), &datasets);
        change(&mut job, self.job);
        let signed_job = Signed::sign(&job, &key()).unwrap();
        let nonce = |(_, broker): &&(_, SigningKey)| (broker.id(), Nonce(ByteArray::new([7; 32])));
        let mut transcript = Transcript {
            version: 1,
            role: JobRole::Both,
            suite: hpke::SUITE.into(),
            nonces: owners.iter().map(nonce).collect(),
            hpke_key: ByteBuf::from(vec![1; hpke::PUBLIC_KEY_LEN]),
            signing_key: *enclave.public(),
            job: id_of(&signed_job),
            code: id_of(&code),
            datasets: datasets.iter().map(|proof| id_of(&proof.manifest)).collect(),
            policies: vec![Digest::of("policy", &[]); 2],
        };
        change(&mut transcript, self.transcript);
        let grant = |(index, (_, broker)): (usize, &&(SigningKey, SigningKey))| {
            let mut grant = Grant {
                grant: ByteArray::new([3; 16]),
                transcript: transcript.id(),
                dataset: id_of(&datasets[index].manifest),
                policy: Digest::of("policy", &[]),
                cost: job.charges().total().unwrap().as_pico(),
                order: None,
                ledger_head: Digest::of("head", &[]),
            };
            let second = index == 1;
            change(&mut grant, self.grant.filter(|_| second));
            let broker = if second { self.signer("grant", broker, &stranger) } else { broker };
            Signed::sign(&grant, broker).unwrap()
        };
        let grants = owners.iter().enumerate().map(grant).collect();
        let mut release = self.release_of(&job, &transcript, id_of(&signed_job));
        change(&mut release, self.release);
        let release = Signed::sign(&release, self.signer("release", &enclave, &stranger)).unwrap();
        let evidence = b"evidence is not looked at".to_vec();
        let transcript = transcript.to_bytes();
        let mut receipt =
            Receipt::new(release, evidence, transcript, signed_job, code, datasets, grants);
        change(&mut receipt, self.receipt);
        receipt
    }

    fn signer<'a>(
        &self,
        kind: &str,
        key: &'a SigningKey,
        stranger: &'a SigningKey,
    ) -> &'a SigningKey {
        if self.stranger == kind { stranger } else { key }
    }

    fn job_of(&self, code: Id<CodeManifest>, datasets: &[DatasetProof]) -> Job {
        let declared = |proof: &DatasetProof| JobDataset {
            manifest: id_of(&proof.manifest),
            owner: proof.header.owner,
            population: proof.header.population.clone(),
            units: proof.manifest.open_by_anyone().unwrap().value.units,
        };
        let centring = Centring { clip: 8.0, steps: 1024, sigma: 20_000 };
        let public_set = PublicSet { digest: Digest::of("public-set", &[]), length: 1 };
        Job {
            version: 1,
            job: ByteArray::new([1; 16]),
            purpose: "research".into(),
            role: JobRole::Both,
            code,
            parameters: BTreeMap::new(),
            datasets: datasets.iter().map(declared).collect(),
            rounds: 3,
            gate: Gate { mode: GateMode::Unit, clip: 1.0, steps: 1024, sigma: 20_000 },
            centring: (!self.no_centring).then_some(centring),
            metrics: self.metrics.then_some(Metrics { loss: 1.0, steps: 512, sigma: 10_000 }),
            server: ServerStep {
                rate: 1.0,
                momentum: 0.0,
                average_last: 1,
                scale: 1.0,
                clamp: 3.0,
            },
            schedule: Schedule { first_ms: 100, interval_ms: 100 },
            limits: CallLimits { fuel: 10_000, memory: 1 << 20 },
            cost: 10,
            seed: 0,
            recipients: Recipients::Anyone,
            public_set: self.public_set.then_some(public_set),
            not_after: 0,
        }
    }

    fn features(&self) -> u64 {
        if self.joined { 2 * FEATURES } else { FEATURES }
    }

    fn release_of(&self, job: &Job, transcript: &Transcript, id: Id<Job>) -> Release {
        let stage = self.stage.unwrap_or(Stage::Round(2));
        let number = match stage {
            Stage::Centring => 0,
            Stage::Round(round) => round - u32::from(self.no_centring),
            Stage::Metrics => 4 - u32::from(self.no_centring),
        };
        let clip = if stage == Stage::Centring { 8.0 } else { 1.0 };
        let (steps, sigma) = if stage == Stage::Metrics { (512, 10_000) } else { (1024, 20_000) };
        Release {
            transcript: transcript.id(),
            job: id,
            number,
            of: 4 - u32::from(self.no_centring) + u32::from(self.metrics),
            stage,
            gate: Gate { mode: GateMode::Unit, clip, steps, sigma },
            divisor: job.units(),
            cost: 3,
            outputs: expected_outputs(job, stage, self.features(), MODEL),
            tensors: tensors_digest(FILE),
            previous: (number > 0).then(other),
        }
    }
}

fn column(name: &str, role: Role) -> Column {
    Column {
        name: name.into(),
        role,
        kind: ColumnType::F64,
        lower: Some(0.0),
        upper: Some(1.0),
        typical: None,
    }
}

fn header(owner: &SigningKey, broker: &SigningKey) -> HeaderCore {
    HeaderCore {
        version: 1,
        dataset: ByteArray::new([1; 16]),
        name: "patients".into(),
        owner: owner.id(),
        broker: broker.id(),
        population: "people".into(),
        unit: Unit::Row,
        columns: vec![
            column("a", Role::Feature),
            column("b", Role::Feature),
            column("y", Role::Label),
        ],
    }
}

fn manifest(header: &HeaderCore) -> DatasetManifest {
    DatasetManifest {
        header: header.digest(),
        length: 100,
        rows: 50,
        units: 50,
        max_rows_per_unit: 1,
        body: BodyHash(ByteArray::new([0; 32])),
    }
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
