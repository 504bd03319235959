//! For tests: a request that every rule accepts, made of parts that a test can change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use cloister_attestation::{Measurements, snp::Collateral};
use cloister_protocol::{
    Digest, Id, KeyId, Signed, SigningKey, Verified,
    brokering::GrantRequest,
    code::{CodeApproval, CodeManifest, WORLD, component_digest},
    dataset::{BodyHash, Column, ColumnType, DatasetManifest, HeaderCore, Role, Unit},
    hpke::{self, HpkeKeyPair},
    job::{CallLimits, Gate, GateMode, Job, JobDataset, JobRole, Recipients, Schedule, ServerStep},
    release::DatasetProof,
    transcript::{Nonce, Transcript},
};
use cloister_simulated::{Attester, LEAF_LIFETIME, Pcrs, UnixTime, Vendor, pcr};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use crate::{
    appraise::{Appraised, Denial, Ground, NonceState, Request},
    policy::{Amount, Budget, Code, Cohort, Policy, Purposes},
};

/// 2026-01-01.
pub(crate) const NOW: u64 = 1_767_225_600;
/// What the job costs: 24 rounds at sensitivity 1024 and sigma 22000.
pub(crate) const COST: u64 = 24 * 1_083_239_670;
/// What is in the component.
pub(crate) const COMPONENT: &[u8] = b"component";

/// Everything that a request is made of.
pub(crate) struct Scene {
    pub now: u64,
    pub owner: SigningKey,
    pub broker: SigningKey,
    /// The same in PKCS#8, for tests that need it a second time.
    pub broker_document: Zeroizing<Vec<u8>>,
    pub other_owner: SigningKey,
    pub other_broker: SigningKey,
    pub orchestrator: SigningKey,
    pub author: SigningKey,
    pub vendor: Vendor,
    pub enclave: HpkeKeyPair,
    pub release_key: SigningKey,
    pub policy: Policy,
    pub code: CodeManifest,
    pub approved_by: Option<SigningKey>,
    pub job: Job,
    /// Headers and manifests; they are signed by whichever of the two owners they name.
    pub datasets: Vec<(HeaderCore, DatasetManifest)>,
    pub holds_keys: bool,
    pub nonce: Nonce,
    pub nonce_state: NonceState,
    /// Whether the job was granted in another transcript already.
    pub paid_before: bool,
    /// Whether another job was granted before, by an account at this order.
    pub paid_at: Option<cloister_privacy::Order>,
    pub pcrs: Pcrs,
    pub evidence_time: u64,
    /// Applied after ids are filled in and before the job is signed.
    pub change_job: fn(&mut Job),
    /// Applied before evidence is made.
    pub change_transcript: fn(&mut Transcript),
    /// Applied to the finished request.
    pub change_message: fn(&Scene, &mut GrantRequest),
}

/// A finished request, and what the broker knows.
pub(crate) struct Case {
    pub message: GrantRequest,
    pub policy: Verified<Policy>,
    pub datasets: BTreeSet<Id<DatasetManifest>>,
    pub approvals: Vec<Signed<CodeApproval>>,
}

pub(crate) fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn time(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// `measurements.toml` of an enclave of this vendor.
pub(crate) fn measurements(vendor: &Vendor, pcrs: &Pcrs) -> String {
    let mut text = format!(
        "[[simulated]]\nname = \"test enclave\"\nroot = '''\n{}'''\n[simulated.pcrs]\n",
        vendor.root_pem()
    );
    for (index, value) in pcrs {
        writeln!(text, "{index} = \"{}\"", hex::encode(value)).unwrap();
    }
    text
}

pub(crate) fn header(owner: &SigningKey, broker: &SigningKey) -> HeaderCore {
    let column = |name: &str, role, kind| {
        let bound = |value| (role != Role::Unit).then_some(value);
        Column {
            name: name.into(),
            role,
            kind,
            lower: bound(0.0),
            upper: bound(9.0),
            typical: None,
        }
    };
    HeaderCore {
        version: 1,
        dataset: ByteArray::new([7; 16]),
        name: "visits".into(),
        owner: owner.id(),
        broker: broker.id(),
        population: "patients".into(),
        unit: Unit::Column("patient".into()),
        columns: vec![
            column("patient", Role::Unit, ColumnType::Text),
            column("size", Role::Feature, ColumnType::F64),
            column("sick", Role::Label, ColumnType::F64),
        ],
    }
}

pub(crate) fn manifest(header: &HeaderCore, units: u64) -> DatasetManifest {
    DatasetManifest {
        header: header.digest(),
        length: 1000,
        rows: units,
        units,
        max_rows_per_unit: 1,
        body: BodyHash(ByteArray::new([3; 32])),
    }
}

impl Scene {
    /// Two owners, one enclave, one job; nothing wrong with it.
    pub(crate) fn new() -> Self {
        let (broker, broker_document) = SigningKey::generate().unwrap();
        let [owner, other_owner, other_broker, orchestrator, author, release_key] =
            std::array::from_fn(|_| key());
        let vendor = Vendor::generate(time(NOW - 3600)).unwrap();
        let pcrs = Pcrs::from([(0, pcr(b"enclave")), (1, pcr(b"kernel")), (2, pcr(b"programs"))]);
        let code = CodeManifest {
            name: "logistic".into(),
            version: "1".into(),
            component: component_digest(COMPONENT),
            length: COMPONENT.len() as u64,
            world: WORLD.into(),
            parameters: Vec::new(),
            output: "gradient".into(),
            source: None,
        };
        let policy = Policy {
            format: 1,
            id: None,
            version: 3,
            population: "patients".into(),
            budget: Budget {
                total: Amount::new(2.0, 1e-5).unwrap(),
                order: None,
                per_job: Amount::new(1.0, 1e-5).unwrap(),
            },
            purposes: Purposes { allowed: vec!["research".into()], not_after: NOW + 1000 },
            code: Code { components: Vec::new(), approvals: true },
            orchestrators: vec![orchestrator.id()],
            recipients: vec![Recipients::Anyone],
            cohort: Cohort {
                owners: vec![owner.id(), other_owner.id()],
                minimum_owners: 2,
                minimum_units: 500,
            },
            per_row: false,
            evidence_max_age: 300,
            enclaves: Measurements::from_toml(&measurements(&vendor, &pcrs)).unwrap(),
        };
        let datasets = [(&owner, &broker, 300), (&other_owner, &other_broker, 200)];
        let datasets = datasets.map(|(owner, broker, units)| {
            let header = header(owner, broker);
            let manifest = manifest(&header, units);
            (header, manifest)
        });
        Self {
            now: NOW,
            policy,
            code,
            approved_by: None,
            job: job(),
            datasets: datasets.into(),
            holds_keys: true,
            nonce: Nonce(ByteArray::new([9; 32])),
            nonce_state: NonceState::Open { until: NOW },
            paid_before: false,
            paid_at: None,
            evidence_time: NOW,
            change_job: |_| (),
            change_transcript: |_| (),
            change_message: |_, _| (),
            enclave: HpkeKeyPair::generate(),
            vendor,
            pcrs,
            owner,
            broker,
            broker_document,
            other_owner,
            other_broker,
            orchestrator,
            author,
            release_key,
        }
    }

    /// Another table of the owner's patients: a column of its own, and one row each.
    pub(crate) fn table(&self, name: &str, units: u64) -> (HeaderCore, DatasetManifest) {
        let mut header = header(&self.owner, &self.broker);
        header.name = name.into();
        header.columns.truncate(2);
        header.columns[1].name = format!("of {name}");
        let manifest = manifest(&header, units);
        (header, manifest)
    }

    pub(crate) fn attester(&self) -> Attester {
        self.vendor.leaf(time(self.now), LEAF_LIFETIME).unwrap()
    }

    pub(crate) fn evidence(&self, transcript: &Transcript) -> Vec<u8> {
        let binding = transcript.id();
        let time = self.evidence_time * 1000;
        let attester = self.attester();
        attester.document(binding.digest().as_bytes(), None, &self.pcrs, time).unwrap()
    }

    fn signer(&self, id: KeyId) -> &SigningKey {
        if id == self.other_owner.id() { &self.other_owner } else { &self.owner }
    }

    /// Headers and signed manifests.
    pub(crate) fn proofs(&self) -> Vec<DatasetProof> {
        let proof = |(header, manifest): &(HeaderCore, DatasetManifest)| DatasetProof {
            header: header.clone(),
            manifest: Signed::sign(manifest, self.signer(header.owner)).unwrap(),
        };
        self.datasets.iter().map(proof).collect()
    }

    /// Signs everything, in the order in which things refer to each other.
    pub(crate) fn case(&self) -> Case {
        let policy = Signed::sign(&self.policy, &self.owner).unwrap().open_by_anyone().unwrap();
        let code = Signed::sign(&self.code, &self.author).unwrap();
        let code_id = code.open_by_anyone().unwrap().id;
        let approval = CodeApproval { code: code_id, component: self.code.component };
        let approver = self.approved_by.as_ref().unwrap_or(&self.owner);
        let proofs = self.proofs();
        let ids: Vec<_> = proofs.iter().map(|p| p.manifest.open_by_anyone().unwrap().id).collect();
        let mut job = self.job.clone();
        job.code = code_id;
        job.datasets = self
            .datasets
            .iter()
            .zip(&ids)
            .map(|((header, manifest), id)| JobDataset {
                manifest: *id,
                owner: header.owner,
                population: header.population.clone(),
                units: manifest.units,
            })
            .collect();
        (self.change_job)(&mut job);
        let job = Signed::sign(&job, &self.orchestrator).unwrap();
        let mut transcript = Transcript {
            version: 1,
            role: JobRole::Both,
            suite: hpke::SUITE.into(),
            nonces: BTreeMap::from([(self.broker.id(), self.nonce)]),
            hpke_key: self.enclave.public().to_vec().into(),
            signing_key: *self.release_key.public(),
            job: job.open_by_anyone().unwrap().id,
            code: code_id,
            policies: ids.iter().map(|_| *policy.id.digest()).collect(),
            datasets: ids.clone(),
        };
        (self.change_transcript)(&mut transcript);
        let mut message = GrantRequest {
            transcript: transcript.to_bytes().into(),
            evidence: self.evidence(&transcript).into(),
            job,
            code,
            datasets: proofs,
        };
        (self.change_message)(self, &mut message);
        let datasets = if self.holds_keys { ids.into_iter().collect() } else { BTreeSet::new() };
        let approvals = vec![Signed::sign(&approval, approver).unwrap()];
        Case { message, policy, datasets, approvals }
    }

    /// What the pure decision says.
    pub(crate) fn appraise(&self, case: &Case) -> Result<Appraised, Denial> {
        Request::read(&case.message)?.appraise(&Ground {
            owner: self.owner.id(),
            broker: self.broker.id(),
            policy: &case.policy,
            datasets: &case.datasets,
            approvals: &case.approvals,
            collateral: &Collateral::new(),
            nonce: self.nonce_state,
            now: self.now,
        })
    }
}

fn job() -> Job {
    let unknown = Digest::of("filled in later", &[]);
    Job {
        version: 1,
        job: ByteArray::new([1; 16]),
        purpose: "research".into(),
        role: JobRole::Both,
        code: Id::new(unknown),
        parameters: BTreeMap::new(),
        datasets: Vec::new(),
        rounds: 24,
        gate: Gate { mode: GateMode::Unit, clip: 0.35, steps: 1024, sigma: 22_000 },
        centring: None,
        metrics: None,
        server: ServerStep { rate: 1.0, momentum: 0.0, average_last: 1, scale: 1.0, clamp: 3.0 },
        schedule: Schedule { first_ms: 100, interval_ms: 100 },
        limits: CallLimits { fuel: 10_000, memory: 1 << 20 },
        cost: COST,
        seed: 0,
        recipients: Recipients::Anyone,
        public_set: None,
        not_after: NOW + 100,
    }
}
