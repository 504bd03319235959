//! Nothing is promised twice, and nothing half.

use std::{
    path::PathBuf,
    sync::{Arc, Barrier},
    thread,
};

use cloister_privacy::{Accounting, JobCost, Release, Sensitivity};
use cloister_protocol::{
    Id, Signed, SigningKey, Verified, brokering::GrantResponse, cbor, dataset::DataKey,
    grant::GrantExpectation, hpke::HpkeKeyPair, transcript::Nonce,
};
use rusqlite::Connection;
use serde_bytes::ByteArray;

use super::*;
use crate::{
    appraise::{Appraised, Charge, NonceState, Rule},
    policy::Policy,
    scene::{NOW, Scene, key},
};

const COST: u64 = 1000;

/// A job that costs so much: releases with so much noise that each costs the least there is.
fn charges(cost: u64) -> JobCost {
    let (sensitivity, sampling) = (Sensitivity::Unit, None);
    let least = Release { sensitivity, steps: 1, sigma_steps: 1 << 32, sampling };
    JobCost::new([(u32::try_from(cost).unwrap(), least)])
}

/// A ledger in a directory of its own, with one policy in force: its first entry.
struct Bench {
    directory: tempfile::TempDir,
    owner: KeyId,
    broker: SigningKey,
    enclave: HpkeKeyPair,
    policy: Verified<Policy>,
}

impl Bench {
    fn new() -> (Self, Ledger) {
        let (bench, mut ledger) = Self::empty();
        ledger.adopt(&bench.policy, NOW).unwrap();
        (bench, ledger)
    }

    fn empty() -> (Self, Ledger) {
        let scene = Scene::new();
        let policy = Signed::sign(&scene.policy, &scene.owner).unwrap();
        let bench = Self {
            directory: tempfile::tempdir().unwrap(),
            owner: key().id(),
            broker: key(),
            enclave: HpkeKeyPair::generate(),
            policy: policy.open_by_anyone().unwrap(),
        };
        let ledger = Ledger::create(&bench.path(), bench.owner).unwrap();
        (bench, ledger)
    }

    /// A ledger of jobs 1 to `jobs`, each with its grant.
    fn with_grants(jobs: u8) -> (Self, Ledger) {
        let (bench, mut ledger) = Self::new();
        for n in 1..=jobs {
            issue(&mut ledger, n).unwrap();
            bench.grant(&mut ledger, &bench.appraised(n, 99 * COST)).unwrap();
        }
        (bench, ledger)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.sqlite")
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.path(), self.owner).unwrap()
    }

    /// SQL as whoever has the file can run it.
    fn sql(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    /// A job of `COST` whose population may spend `total`, in transcript number `n`.
    fn appraised(&self, n: u8, total: u64) -> Appraised {
        Appraised {
            transcript: id("transcript", n),
            nonce: nonce(n),
            hpke_key: self.enclave.public().to_vec(),
            job: id("job", n),
            purpose: "research".into(),
            orchestrator: id("orchestrator", 0),
            code: id("code", 0),
            policy: *self.policy.id.digest(),
            accounting: Accounting::AllOrders,
            total,
            charges: vec![Charge {
                datasets: vec![id("dataset", 0)],
                population: "patients".into(),
                cost: COST,
            }],
            platform: cloister_attestation::Platform::Simulated,
        }
    }

    fn grant(&self, ledger: &mut Ledger, appraised: &Appraised) -> Result<Vec<u8>, LedgerError> {
        let key = |_| (DataKey::from_bytes(&[8; 32]), [5; 16]);
        let keys: Vec<_> = appraised.charges.iter().flat_map(|c| &c.datasets).map(key).collect();
        ledger.grant(&Issue { appraised, keys: &keys, broker: &self.broker, now: NOW })
    }
}

fn id<T>(kind: &str, n: u8) -> Id<T> {
    Id::new(Digest::of(kind, &[&[n]]))
}

fn nonce(n: u8) -> Nonce {
    Nonce(ByteArray::new([n; 32]))
}

/// Whoever asks for challenges.
fn peer(n: u8) -> KeyId {
    KeyId::new(Digest::of("peer", &[&[n]]))
}

fn issue(ledger: &mut Ledger, n: u8) -> Result<u64, LedgerError> {
    ledger.issue_nonce(&nonce(n), &peer(0), NOW)
}

/// The rule that a request was denied by.
fn denied(result: Result<Vec<u8>, LedgerError>) -> Rule {
    match result {
        Err(LedgerError::Denied(denial)) => denial.rule,
        other => panic!("{other:?}"),
    }
}

mod found;
mod joined;
mod rules;

#[test]
fn a_missing_ledger_is_not_a_fresh_budget() {
    let (bench, ledger) = Bench::new();
    drop(ledger);
    assert!(matches!(Ledger::create(&bench.path(), bench.owner), Err(LedgerError::Exists(_))));
    let other = key().id();
    assert!(matches!(Ledger::open(&bench.path(), other), Err(LedgerError::Foreign(_))));
    std::fs::remove_file(bench.path()).unwrap();
    assert!(matches!(Ledger::open(&bench.path(), bench.owner), Err(LedgerError::Missing(_))));
    Connection::open(bench.path()).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    assert!(matches!(Ledger::open(&bench.path(), bench.owner), Err(LedgerError::Foreign(_))));
}

#[test]
fn a_crash_while_it_is_made_leaves_a_ledger_or_none() {
    let (bench, ledger) = Bench::new();
    drop(ledger);
    std::fs::remove_file(bench.path()).unwrap();
    std::fs::remove_file(Head::path(&bench.path())).unwrap();
    // A crash leaves an empty file under another name, and perhaps a head without entries.
    std::fs::write(schema::unfinished(&bench.path()), b"").unwrap();
    assert!(matches!(Ledger::open(&bench.path(), bench.owner), Err(LedgerError::Missing(_))));
    Ledger::create(&bench.path(), bench.owner).unwrap();
    assert!(!schema::unfinished(&bench.path()).exists());
    assert_eq!(bench.open().verify_chain().unwrap().0, 0);
    std::fs::remove_file(bench.path()).unwrap();
    Ledger::create(&bench.path(), bench.owner).unwrap();
    // But where entries were made, a new one is a fresh budget.
    let (bench, _) = Bench::with_grants(1);
    std::fs::remove_file(bench.path()).unwrap();
    assert!(matches!(Ledger::create(&bench.path(), bench.owner), Err(LedgerError::Missing(_))));
}

#[test]
fn the_file_is_the_owners_alone_and_durable() {
    use std::os::unix::fs::PermissionsExt;
    let (bench, ledger) = Bench::new();
    let mode = std::fs::metadata(bench.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let pragma = |name: &str| {
        ledger
            .connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
    };
    assert_eq!(pragma("journal_mode").unwrap(), "wal".to_owned().into());
    assert_eq!(pragma("synchronous").unwrap(), 2.into(), "2 is FULL");
    assert_eq!(pragma("foreign_keys").unwrap(), 1.into());
}

#[test]
fn nonces_are_known_by_what_became_of_them() {
    let (bench, mut ledger) = Bench::new();
    assert_eq!(ledger.nonce(&nonce(1)).unwrap(), NonceState::Unknown);
    let until = issue(&mut ledger, 1).unwrap();
    assert_eq!(until, NOW + NONCE_SECONDS);
    assert_eq!(ledger.nonce(&nonce(1)).unwrap(), NonceState::Open { until });
    assert!(issue(&mut ledger, 1).is_err(), "issued twice");
    bench.grant(&mut ledger, &bench.appraised(1, COST)).unwrap();
    assert_eq!(ledger.nonce(&nonce(1)).unwrap(), NonceState::Used);
    // Soon after its end it is forgotten; a used one never is.
    issue(&mut ledger, 2).unwrap();
    let later = NOW + 2 * NONCE_SECONDS + 1;
    ledger.issue_nonce(&nonce(3), &peer(0), later).unwrap();
    assert_eq!(ledger.nonce(&nonce(2)).unwrap(), NonceState::Unknown);
    assert_eq!(ledger.nonce(&nonce(1)).unwrap(), NonceState::Used);
}

#[test]
fn open_nonces_are_bounded() {
    let (bench, mut ledger) = Bench::new();
    let hoard = |count, peers: &str| {
        bench.sql(&format!(
            "DELETE FROM nonces; \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO nonces SELECT randomblob(32), {peers}, {NOW} FROM n"
        ));
    };
    // Of all peers together ...
    hoard(OUTSTANDING, "randomblob(64)");
    let refused = issue(&mut ledger, 1);
    assert!(matches!(refused, Err(LedgerError::TooManyNonces { limit: OUTSTANDING, .. })));
    ledger.issue_nonce(&nonce(1), &peer(0), NOW + 1).unwrap();
    // ... and of one, who does not keep another from being served.
    let hoarder = peer(0).digest().to_hex();
    hoard(OUTSTANDING_OF_PEER, &format!("x'{hoarder}'"));
    let refused = issue(&mut ledger, 1);
    assert!(matches!(refused, Err(LedgerError::TooManyNonces { limit: OUTSTANDING_OF_PEER, .. })));
    ledger.issue_nonce(&nonce(1), &peer(1), NOW).unwrap();
    ledger.issue_nonce(&nonce(2), &peer(0), NOW + 1).unwrap();
}

#[test]
fn a_grant_reserves_logs_and_opens_in_its_enclave() {
    let (bench, mut ledger) = Bench::new();
    issue(&mut ledger, 1).unwrap();
    let appraised = bench.appraised(1, COST);
    let response = bench.grant(&mut ledger, &appraised).unwrap();
    let GrantResponse { grants } = cbor::decode(&response, 1 << 20).unwrap();
    let expected = GrantExpectation {
        transcript: appraised.transcript,
        dataset: appraised.charges[0].datasets[0],
        policy: appraised.policy,
        charges: charges(COST),
        broker: bench.broker.id(),
    };
    let (grant, key) = grants[0].open(&expected, &bench.enclave).unwrap();
    assert_eq!(key.expose(), &[8; 32]);
    assert_eq!(grant.value.ledger_head, ledger.head().unwrap());
    assert_eq!(ledger.spent("patients").unwrap(), COST);
    assert_eq!(ledger.spent("staff").unwrap(), 0);
    assert_eq!(ledger.verify_chain().unwrap(), (2, ledger.head().unwrap()));
    let [_, (Entry { event: Event::Reserved(entry), .. }, _)] = &ledger.history().unwrap()[..]
    else {
        panic!("a policy and one reservation are expected");
    };
    assert_eq!((entry.cost, entry.job), (COST, appraised.job));
}

#[test]
fn a_repeated_request_gets_the_same_bytes_and_costs_nothing() {
    let (bench, mut ledger) = Bench::new();
    issue(&mut ledger, 1).unwrap();
    let appraised = bench.appraised(1, COST);
    let first = bench.grant(&mut ledger, &appraised).unwrap();
    let again = bench.grant(&mut ledger, &appraised).unwrap();
    let reopened = bench.grant(&mut bench.open(), &appraised).unwrap();
    assert!(first == again && first == reopened);
    assert_eq!(ledger.spent("patients").unwrap(), COST);
    // Another transcript with the same nonce is refused.
    let other = Appraised { nonce: nonce(1), ..bench.appraised(2, 2 * COST) };
    assert_eq!(denied(bench.grant(&mut ledger, &other)), Rule::NonceUsed);
}

#[test]
fn numbers_beyond_the_database_are_refused() {
    let (bench, mut ledger) = Bench::new();
    issue(&mut ledger, 1).unwrap();
    let mut appraised = bench.appraised(1, u64::MAX);
    appraised.charges[0].cost = 1 << 63;
    assert!(matches!(bench.grant(&mut ledger, &appraised), Err(LedgerError::Number(_))));
    assert_eq!(ledger.spent("patients").unwrap(), 0);
}

#[test]
fn a_failure_at_any_step_leaves_nothing_behind() {
    let fail = "BEGIN SELECT RAISE(ABORT, 'injected'); END";
    let steps: &[(&str, String)] = &[
        ("consume", format!("CREATE TRIGGER t BEFORE DELETE ON nonces {fail}")),
        ("log", format!("CREATE TRIGGER t BEFORE INSERT ON log {fail}")),
        ("after the log", format!("CREATE TRIGGER t AFTER INSERT ON log {fail}")),
        ("store", format!("CREATE TRIGGER t BEFORE INSERT ON grants {fail}")),
        ("after storing", format!("CREATE TRIGGER t AFTER INSERT ON grants {fail}")),
        (
            "commit",
            "CREATE TABLE other (seq REFERENCES log (seq) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER t AFTER INSERT ON grants
             BEGIN INSERT INTO other VALUES (-1); END"
                .to_owned(),
        ),
        ("seal", String::new()),
    ];
    for (step, sabotage) in steps {
        let (bench, mut ledger) = Bench::new();
        issue(&mut ledger, 1).unwrap();
        let (before, head) = (ledger.nonce(&nonce(1)).unwrap(), ledger.head().unwrap());
        bench.sql(sabotage);
        let mut appraised = bench.appraised(1, COST);
        if *step == "seal" {
            appraised.hpke_key = vec![0; 3];
        }
        assert!(bench.grant(&mut ledger, &appraised).is_err(), "{step}");
        let ledger_again = bench.open();
        for ledger in [&ledger, &ledger_again] {
            assert_eq!(ledger.spent("patients").unwrap(), 0, "{step}");
            assert_eq!(ledger.head().unwrap(), head, "{step}");
            assert_eq!(ledger.nonce(&nonce(1)).unwrap(), before, "{step}");
            assert_eq!(ledger.granted(&appraised.transcript).unwrap(), None, "{step}");
        }
        // And once the fault is gone, the same request is served.
        bench.sql("DROP TRIGGER IF EXISTS t; DROP TABLE IF EXISTS other");
        bench.grant(&mut ledger, &bench.appraised(1, COST)).unwrap();
        assert_eq!(ledger.spent("patients").unwrap(), COST);
    }
}

#[test]
fn of_two_requests_for_the_last_budget_one_is_granted() {
    for _ in 0..5 {
        let (bench, mut ledger) = Bench::new();
        for n in 1..=4 {
            issue(&mut ledger, n).unwrap();
        }
        let (bench, start) = (Arc::new(bench), Arc::new(Barrier::new(4)));
        let racers: Vec<_> = (1..=4)
            .map(|n| {
                let (bench, start) = (bench.clone(), start.clone());
                thread::spawn(move || {
                    let mut ledger = bench.open();
                    let appraised = bench.appraised(n, COST);
                    start.wait();
                    bench.grant(&mut ledger, &appraised)
                })
            })
            .collect();
        let results: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(denied(Err(error)), Rule::BudgetExhausted);
        }
        assert_eq!(ledger.spent("patients").unwrap(), COST);
        ledger.verify_chain().unwrap();
    }
}
