//! Challenge to grant, through a real home and a real ledger.

use std::{fs, os::unix::fs::PermissionsExt};

use cloister_attestation::Measurements;
use cloister_protocol::{
    Id,
    brokering::GrantResponse,
    cbor,
    dataset::{DataKey, DatasetManifest},
    grant::GrantExpectation,
};
use cloister_simulated::mutations::snp::Plan;
use serde_bytes::ByteArray;

use super::*;
use crate::scene::{COST, Case, NOW, Scene};

struct Bench {
    home: tempfile::TempDir,
    scene: Scene,
    dataset: Id<DatasetManifest>,
}

impl Bench {
    /// A home with policy, approval, the first dataset's key and a new ledger.
    fn new() -> (Self, Broker) {
        let (home, scene) = (tempfile::tempdir().unwrap(), Scene::new());
        let vault = Vault::new(home.path());
        Ledger::create(&vault.ledger(), scene.owner.id()).unwrap();
        let case = scene.case();
        fs::create_dir(home.path().join("approvals")).unwrap();
        let approval = home.path().join("approvals/logistic.cloister");
        fs::write(approval, case.approvals[0].as_bytes()).unwrap();
        let proof = &case.message.datasets[0];
        let dataset = vault.keep(&DataKey::from_bytes(&[6; 32]), proof).unwrap();
        let bench = Self { home, scene, dataset };
        bench.write_policy();
        let broker = bench.open().unwrap();
        (bench, broker)
    }

    fn write_policy(&self) {
        let policy = self.scene.policy.sign(&self.scene.owner).unwrap();
        fs::write(self.home.path().join("policy.cloister"), policy.as_bytes()).unwrap();
    }

    fn open(&self) -> Result<Broker, BrokerError> {
        let key = SigningKey::from_pkcs8(&self.scene.broker_document).unwrap();
        Broker::open(Vault::new(self.home.path()), self.scene.owner.id(), key, NOW)
    }

    fn challenge(&self, broker: &mut Broker, n: u8) -> Result<Challenge, BrokerError> {
        let request = ChallengeRequest { datasets: vec![self.dataset] };
        broker.challenge(&request, &peer(), Nonce(ByteArray::new([n; 32])), NOW)
    }

    /// The request that answers a challenge.
    fn request(&mut self, challenge: &Challenge) -> Case {
        self.scene.nonce = challenge.nonce;
        self.scene.case()
    }
}

/// The host that asks.
fn peer() -> KeyId {
    KeyId::new(cloister_protocol::Digest::of("peer", &[]))
}

#[allow(clippy::unnecessary_wraps, reason = "the system's may fail")]
fn random(bytes: &mut [u8]) -> Result<(), BrokerError> {
    bytes.fill(4);
    Ok(())
}

fn code(result: Result<impl Sized, BrokerError>) -> (String, Fault) {
    let error = result.err().expect("a refusal");
    (error.refusal().code, error.fault())
}

#[test]
fn from_challenge_to_a_key_in_the_enclave() {
    let (mut bench, mut broker) = Bench::new();
    let challenge = bench.challenge(&mut broker, 1).unwrap();
    assert_eq!(challenge.broker, *bench.scene.broker.public());
    let case = bench.request(&challenge);
    assert_eq!(challenge.policy, *case.policy.id.digest());
    let response = broker.grant(&case.message, &mut random, NOW).unwrap();
    let GrantResponse { grants } = cbor::decode(&response, 1 << 20).unwrap();
    let expected = GrantExpectation {
        transcript: Request::read(&case.message).unwrap().transcript(),
        dataset: bench.dataset,
        policy: challenge.policy,
        charges: bench.scene.job.charges(),
        broker: challenge.broker.id(),
    };
    let (_, key) = grants[0].open(&expected, &bench.scene.enclave).unwrap();
    assert_eq!(key.expose(), &[6; 32]);
    assert_eq!(broker.ledger().spent("patients").unwrap(), COST);

    // The same request again: the same bytes, from a restarted broker, at a time when
    // evidence and nonce are long expired. Nothing more is charged.
    drop(broker);
    let mut broker = bench.open().unwrap();
    let again = broker.grant(&case.message, &mut random, NOW + 100_000).unwrap();
    assert!(again == response);
    assert_eq!(broker.ledger().spent("patients").unwrap(), COST);
    // Another transcript under the same nonce: refused by its name.
    bench.scene.change_transcript = |transcript| transcript.signing_key = transcript_key();
    let other = bench.scene.case();
    let refused = code(broker.grant(&other.message, &mut random, NOW));
    assert_eq!(refused, ("nonce-used".into(), Fault::Request));
}

/// Some other enclave's key.
fn transcript_key() -> cloister_protocol::PublicKey {
    *crate::scene::key().public()
}

#[test]
fn a_host_cannot_have_one_job_paid_for_again_and_again() {
    let (mut bench, mut broker) = Bench::new();
    // Challenge, offer, evidence, grant, abandon; the orchestrator signed one job.
    let challenge = bench.challenge(&mut broker, 1).unwrap();
    let first = bench.request(&challenge);
    let response = broker.grant(&first.message, &mut random, NOW).unwrap();
    for n in 2..5 {
        let challenge = bench.challenge(&mut broker, n).unwrap();
        let mut again = bench.request(&challenge);
        again.message.job = first.message.job.clone();
        let refused = code(broker.grant(&again.message, &mut random, NOW));
        assert_eq!(refused, ("job-repeated".into(), Fault::Request));
    }
    assert_eq!(broker.ledger().spent("patients").unwrap(), COST);
    assert!(broker.grant(&first.message, &mut random, NOW).unwrap() == response);
    // A new job of the same orchestrator is another charge: then the budget is spent.
    bench.scene.job.job = ByteArray::new([2; 16]);
    let challenge = bench.challenge(&mut broker, 5).unwrap();
    let next = bench.request(&challenge);
    broker.grant(&next.message, &mut random, NOW).unwrap();
    assert_eq!(broker.ledger().spent("patients").unwrap(), 2 * COST);
}

#[test]
fn without_a_nonce_nothing_is_looked_at() {
    let (mut bench, mut broker) = Bench::new();
    let challenge = bench.challenge(&mut broker, 1).unwrap();
    let case = bench.request(&challenge);
    bench.scene.nonce = Nonce(ByteArray::new([77; 32]));
    let unknown = bench.scene.case();
    // Whoever looks at policy or keys fails otherwise.
    fs::remove_file(bench.home.path().join("policy.cloister")).unwrap();
    fs::remove_dir_all(bench.home.path().join("data")).unwrap();
    let refused = code(broker.grant(&unknown.message, &mut random, NOW));
    assert_eq!(refused, ("nonce-unknown".into(), Fault::Request));
    let refused = code(broker.grant(&case.message, &mut random, NOW + 601));
    assert_eq!(refused, ("nonce-expired".into(), Fault::Request));
    assert_eq!(code(broker.grant(&case.message, &mut random, NOW)).0, "policy-unusable");
}

#[test]
fn a_clock_set_back_is_for_the_owner_to_see_to() {
    let (bench, mut broker) = Bench::new();
    let request = ChallengeRequest { datasets: vec![bench.dataset] };
    let nonce = Nonce(ByteArray::new([1; 32]));
    let refused = code(broker.challenge(&request, &peer(), nonce, NOW - 61));
    assert_eq!(refused, ("clock-back".into(), Fault::Owner));
    broker.challenge(&request, &peer(), nonce, NOW - 60).unwrap();
}

#[test]
fn a_refused_request_costs_nothing_and_the_next_one_works() {
    let (mut bench, mut broker) = Bench::new();
    let challenge = bench.challenge(&mut broker, 1).unwrap();
    bench.scene.job.purpose = "marketing".into();
    let case = bench.request(&challenge);
    let refused = code(broker.grant(&case.message, &mut random, NOW));
    assert_eq!(refused, ("job-purpose".into(), Fault::Request));
    assert_eq!(broker.ledger().spent("patients").unwrap(), 0);
    bench.scene.job.purpose = "research".into();
    let case = bench.request(&challenge);
    broker.grant(&case.message, &mut random, NOW).unwrap();
    assert_eq!(broker.ledger().spent("patients").unwrap(), COST);
}

#[test]
fn challenges_are_for_known_datasets() {
    let (_bench, mut broker) = Bench::new();
    for datasets in [vec![], vec![Id::new(cloister_protocol::Digest::of("another", &[]))]] {
        let request = ChallengeRequest { datasets };
        let refused =
            code(broker.challenge(&request, &peer(), Nonce(ByteArray::new([1; 32])), NOW));
        assert_eq!(refused, ("dataset-unknown".into(), Fault::Request));
    }
}

#[test]
fn a_new_policy_counts_at_once_and_an_old_one_never_again() {
    let (mut bench, mut broker) = Bench::new();
    let challenge = bench.challenge(&mut broker, 1).unwrap();
    let before = bench.request(&challenge);
    let old = bench.scene.policy.clone();
    bench.scene.policy.version += 1;
    bench.write_policy();
    let refused = code(broker.grant(&before.message, &mut random, NOW));
    assert_eq!(refused, ("policy-outdated".into(), Fault::Request));
    // The old file is put back: neither served now nor after a restart.
    bench.scene.policy = old;
    bench.write_policy();
    let rollback = ("policy-rollback".to_owned(), Fault::Owner);
    assert_eq!(code(broker.grant(&before.message, &mut random, NOW)), rollback);
    assert_eq!(code(bench.challenge(&mut broker, 2)), rollback);
    assert_eq!(code(bench.open()), rollback);
}

#[test]
fn without_a_valid_policy_nothing_is_served() {
    let (bench, mut broker) = Bench::new();
    let path = bench.home.path().join("policy.cloister");
    let unusable = ("policy-unusable".to_owned(), Fault::Owner);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(code(bench.challenge(&mut broker, 1)), unusable, "altered");
    let foreign = bench.scene.policy.sign(&bench.scene.other_owner).unwrap();
    fs::write(&path, foreign.as_bytes()).unwrap();
    assert_eq!(code(bench.challenge(&mut broker, 1)), unusable, "signed by another");
    fs::remove_file(&path).unwrap();
    assert_eq!(code(bench.challenge(&mut broker, 1)), unusable, "gone");
    assert_eq!(code(bench.open()), unusable, "gone at start");
}

#[test]
fn a_fault_inside_is_not_told_outside() {
    let (mut bench, mut broker) = Bench::new();
    let challenge = bench.challenge(&mut broker, 1).unwrap();
    let case = bench.request(&challenge);
    let mut fails = |_: &mut [u8]| Err(BrokerError::Random);
    let error = broker.grant(&case.message, &mut fails, NOW).unwrap_err();
    assert_eq!(error.fault(), Fault::Passing);
    // A key of a wrong length is a fault, not a shorter key.
    let data = bench.home.path().join("data");
    let files = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let key = files.into_iter().find(|path| path.extension().unwrap() == "key").unwrap();
    for length in [31, 33] {
        fs::write(&key, vec![6; length]).unwrap();
        let error = broker.grant(&case.message, &mut random, NOW).unwrap_err();
        let refusal = error.refusal();
        assert_eq!(refusal.code, "broker-internal");
        assert!(!refusal.message.contains(key.to_str().unwrap()));
    }
    // Nor is a key granted that others may have read.
    fs::write(&key, [6; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = broker.grant(&case.message, &mut random, NOW).unwrap_err();
    assert!(matches!(error, BrokerError::Vault(VaultError::KeyMode { mode: 0o640, .. })));
    let folder = fs::metadata(key.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    assert_eq!(broker.ledger().spent("patients").unwrap(), 0);
    fs::remove_file(&key).unwrap();
    let refused = code(broker.grant(&case.message, &mut random, NOW));
    assert_eq!(refused.0, "dataset-unknown");
}

#[test]
fn an_altered_ledger_does_not_open() {
    let (mut bench, mut broker) = Bench::new();
    let challenge = bench.challenge(&mut broker, 1).unwrap();
    let case = bench.request(&challenge);
    broker.grant(&case.message, &mut random, NOW).unwrap();
    let path = Vault::new(bench.home.path()).ledger();
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.execute("UPDATE log SET cost = 0 WHERE population IS NOT NULL", []).unwrap();
    let error = bench.open().err().expect("a refusal");
    assert!(matches!(error, BrokerError::Ledger(LedgerError::Altered { seq: 2, .. })), "{error}");
    drop(sql);
    fs::remove_file(path).unwrap();
    assert!(matches!(bench.open(), Err(BrokerError::Ledger(LedgerError::Missing(_)))));
}

/// A report under a vendor of tests, which no policy can approve: what is missing shows how
/// far the broker got.
fn report(_: &Scene, message: &mut GrantRequest) {
    let transcript = Request::read(message).unwrap().transcript();
    let plan = Plan::new(transcript.digest().as_bytes(), &[0x99; 48]);
    message.evidence = plan.sign().report.into();
}

#[test]
fn reports_are_verified_with_the_certificates_that_the_owner_keeps() {
    let (mut bench, mut broker) = Bench::new();
    let snp = format!(
        "[[snp]]\nname = \"guest\"\nmeasurement = \"{}\"\nallow = [\"any-tcb\"]\n\
         [snp.products.genoa]\n",
        "99".repeat(48)
    );
    bench.scene.policy.enclaves = Measurements::from_toml(&snp).unwrap();
    bench.scene.policy.version += 1;
    bench.write_policy();
    bench.scene.change_message = report;
    let mut failed = |bench: &mut Bench, n| {
        let challenge = bench.challenge(&mut broker, n).unwrap();
        let case = bench.request(&challenge);
        let Err(error) = broker.grant(&case.message, &mut random, NOW) else { panic!("granted") };
        (error.to_string(), error.refusal().code)
    };
    let (error, code) = failed(&mut bench, 1);
    assert!(code == "evidence" && error.contains("collateral.leaf"), "{error}");

    let kept = bench.home.path().join("collateral");
    fs::create_dir(&kept).unwrap();
    let signed = Plan::new(&[0; 64], &[0; 48]).sign();
    for (name, der) in [("leaf", signed.leaf), ("ask", signed.intermediate), ("ark", signed.root)] {
        fs::write(kept.join(name), der).unwrap();
    }
    let (error, code) = failed(&mut bench, 2);
    assert!(code == "evidence" && !error.contains("collateral.leaf"), "{error}");
    assert!(error.contains("root.pinned"), "{error}");

    // What is half written does not count; what cannot be read is nobody's list of
    // revocations, and is not passed over.
    fs::write(kept.join(".new-1"), "half").unwrap();
    assert_eq!(failed(&mut bench, 3).1, "evidence");
    fs::write(kept.join("list"), "half").unwrap();
    let (error, code) = failed(&mut bench, 4);
    assert!(code == "collateral-unusable" && error.contains("list"), "{error}");
}
