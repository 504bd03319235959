//! The program itself: over mutual TLS, stopped, restarted, and refusing to start.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    str::FromStr,
};

use cloister_broker::{
    Ledger, Policy, Vault,
    policy::{Template, Unprotected, template, trust_image},
};
use cloister_party::{Client, ClientError, Home, NewParty, PartyName, Role, ServiceAddress};
use cloister_protocol::{
    Id, Signed,
    brokering::{Challenge, ChallengeRequest, GrantRequest, GrantResponse},
    code::CodeManifest,
    dataset::{
        BodyHash, Column, ColumnType, DataKey, DatasetManifest, HeaderCore, Role as ColumnRole,
        Unit,
    },
    release::DatasetProof,
};
use cloister_simulated::{UnixTime, Vendor};
use serde_bytes::ByteArray;

/// A running broker. Dropping it ends it.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(home: &Home, listen: SocketAddr) -> Self {
        let mut child = command(home, listen).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect(&line);
        Self { address: address.parse().unwrap(), child }
    }

    /// Asks it to stop, and returns what it wrote to its log.
    fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(home: &Home, listen: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloister-broker"));
    command.arg("--home").arg(home.path()).arg("--listen").arg(listen.to_string()).arg("--json");
    command.stderr(Stdio::piped());
    command
}

fn party(directory: &Path, role: Role, name: &str, address: Option<SocketAddr>) -> Home {
    let address = address.map(|address| ServiceAddress::from_str(&format!("https://{address}")));
    let party = NewParty {
        role,
        name: PartyName::from_str(name).unwrap(),
        address: address.transpose().unwrap(),
        population: (role == Role::Owner).then(|| "patients".to_owned()),
    };
    Home::create(&directory.join(name), &party).unwrap()
}

/// An address that nothing listens on.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What `cloister owner init`, `policy trust-image` and `policy sign` do.
fn sign_policy(owner: &Home, version: u64) {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let vendor = Vendor::generate(UnixTime::since_unix_epoch(time)).unwrap();
    let measurements = format!(
        "[[simulated]]\nname = \"test\"\nroot = '''\n{}'''\n[simulated.pcrs]\n0 = \"{}\"\n",
        vendor.root_pem(),
        "ab".repeat(48)
    );
    let with = Template {
        owner: *owner.id(),
        name: "Hospital A",
        population: "patients",
        not_after: "2037-12-31",
    };
    let allow = Unprotected { simulated: true, debug: false };
    let (text, _) = trust_image(&template(&with), &measurements, allow).unwrap();
    let text = text.replace("version = 2", &format!("version = {version}"));
    let policy = Policy::from_toml(&text).unwrap().sign(&owner.signing_key().unwrap()).unwrap();
    std::fs::write(owner.file("policy.cloister"), policy.as_bytes()).unwrap();
}

/// A dataset whose key the broker has.
fn seal(owner: &Home) -> Id<DatasetManifest> {
    let feature = Column {
        name: "size".into(),
        role: ColumnRole::Feature,
        kind: ColumnType::F64,
        lower: Some(0.0),
        upper: Some(1.0),
        typical: None,
    };
    let header = HeaderCore {
        version: 1,
        dataset: ByteArray::new([7; 16]),
        name: "visits".into(),
        owner: *owner.id(),
        broker: owner.broker_key().unwrap().id(),
        population: "patients".into(),
        unit: Unit::Row,
        columns: vec![feature],
    };
    let manifest = DatasetManifest {
        header: header.digest(),
        length: 100,
        rows: 5,
        units: 5,
        max_rows_per_unit: 1,
        body: BodyHash(ByteArray::new([3; 32])),
    };
    let manifest = Signed::sign(&manifest, &owner.signing_key().unwrap()).unwrap();
    let proof = DatasetProof { header, manifest };
    Vault::new(owner.path()).keep(&DataKey::from_bytes(&[6; 32]), &proof).unwrap()
}

fn client(home: &Home, owner: &Home) -> Client {
    Client::new(home, &home.peer(owner.name().as_str()).unwrap()).unwrap()
}

fn acquaint(one: &Home, other: &Home) {
    one.add_peer(other.enrolment().as_bytes()).unwrap();
    other.add_peer(one.enrolment().as_bytes()).unwrap();
}

fn code<T>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused { refusal, .. }) => refusal.code,
        Err(other) => format!("{other:?}"),
        Ok(_) => "accepted".to_owned(),
    }
}

#[test]
fn serves_hosts_over_mutual_tls_and_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let owner = party(directory.path(), Role::Owner, "hospital", Some(address));
    let host = party(directory.path(), Role::Host, "node", Some(free_address()));
    let orchestrator = party(directory.path(), Role::Orchestrator, "university", None);
    acquaint(&owner, &host);
    acquaint(&owner, &orchestrator);
    sign_policy(&owner, 2);
    let dataset = seal(&owner);
    Ledger::create(&Vault::new(owner.path()).ledger(), *owner.id()).unwrap();

    let broker = Running::start(&owner, address);
    assert_eq!(broker.address, address);
    refuses_to_start(&owner, "[broker-running]");
    let caller = client(&host, &owner);
    let status: serde_json::Value = caller.get_json("/v1/status").unwrap();
    assert_eq!(status["policy_version"], 2);
    assert_eq!(status["owner"], owner.id().digest().to_hex());
    let request = ChallengeRequest { datasets: vec![dataset] };
    let challenge: Challenge = caller.post_cbor("/v1/challenge", &request, 4096).unwrap();
    assert_eq!(challenge.broker, *owner.broker_key().unwrap().public());
    let again: Challenge = caller.post_cbor("/v1/challenge", &request, 4096).unwrap();
    assert_ne!(again.nonce, challenge.nonce);
    // A request of nonsense is refused by its name, and not by a fault.
    let nonsense = GrantRequest {
        transcript: vec![1, 2, 3].into(),
        evidence: Vec::new().into(),
        job: Signed::from_bytes(vec![]),
        code: Signed::<CodeManifest>::from_bytes(vec![]),
        datasets: vec![],
    };
    let refused = caller.post_cbor::<_, GrantResponse>("/v1/grant", &nonsense, 1 << 20);
    assert_eq!(code(refused), "transcript");
    assert_eq!(code(caller.post_cbor::<_, GrantResponse>("/v1/grant", &7, 4096)), "malformed");
    // A challenge has room for all datasets of a job, and for nothing else.
    let large = ChallengeRequest { datasets: vec![dataset; 200] };
    let refused = caller.post_cbor::<_, Challenge>("/v1/challenge", &large, 4096);
    assert!(matches!(refused, Err(ClientError::Status { status: 413, .. })), "{refused:?}");
    // Only hosts ask for keys.
    let refused =
        client(&orchestrator, &owner).post_cbor::<_, Challenge>("/v1/challenge", &request, 4096);
    assert_eq!(code(refused), "caller-role");

    let log = broker.stop();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(log.contains("challenge issued") && log.contains("\"code\":\"transcript\""), "{log}");
    // What was promised before is known after.
    let broker = Running::start(&owner, address);
    let ledger = Ledger::open(&Vault::new(owner.path()).ledger(), *owner.id()).unwrap();
    let state = ledger.nonce(&challenge.nonce).unwrap();
    assert!(matches!(state, cloister_broker::appraise::NonceState::Open { .. }), "{state:?}");
    // A newer policy counts at once; going back is refused, now and at the next start.
    sign_policy(&owner, 3);
    let status: serde_json::Value = client(&host, &owner).get_json("/v1/status").unwrap();
    assert_eq!(status["policy_version"], 3);
    sign_policy(&owner, 2);
    let refused = client(&host, &owner).post_cbor::<_, Challenge>("/v1/challenge", &request, 4096);
    assert_eq!(code(refused), "policy-rollback");
    broker.stop();
    refuses_to_start(&owner, "[policy-rollback]");
}

#[test]
fn does_not_start_without_ledger_policy_or_the_right_home() {
    let directory = tempfile::tempdir().unwrap();
    let owner = party(directory.path(), Role::Owner, "hospital", Some(free_address()));
    let host = party(directory.path(), Role::Host, "node", Some(free_address()));
    refuses_to_start(&owner, "[ledger-missing]");
    Ledger::create(&Vault::new(owner.path()).ledger(), *owner.id()).unwrap();
    refuses_to_start(&owner, "[policy-missing]");
    refuses_to_start(&host, "owner");
}

/// It ends with an error of one line that says `why`.
fn refuses_to_start(home: &Home, why: &str) {
    let output = command(home, free_address()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(error.contains(why) && error.trim().lines().count() == 1, "{error}");
}
