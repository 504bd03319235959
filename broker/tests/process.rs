//! The program itself: over mutual TLS, stopped, restarted, and refusing to start.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    str::FromStr,
};

use cloister_broker::{
    Ledger, Policy, Vault,
    policy::{Template, template, trust_image},
};
use cloister_party::{Client, ClientError, Home, NewParty, PartyName, Role, ServiceAddress};
use cloister_protocol::{
    Digest, Id, KeyId, Signed,
    brokering::{Challenge, ChallengeRequest, GrantRequest, GrantResponse},
    dataset::{
        BodyHash, Column, ColumnType, DataKey, DatasetManifest, HeaderCore, Role as ColumnRole, Unit,
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
    fn start(home: &Path, listen: &str) -> Self {
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

fn command(home: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloister-broker"));
    command.arg("--home").arg(home).args(["--listen", listen, "--json"]).stderr(Stdio::piped());
    command
}

fn party(directory: &Path, role: Role, name: &str) -> Home {
    // The port in the address does not matter to the certificate.
    let address = role.has_service().then(|| ServiceAddress::from_str("https://127.0.0.1:7443"));
    let party = NewParty {
        role,
        name: PartyName::from_str(name).unwrap(),
        address: address.transpose().unwrap(),
        population: (role == Role::Owner).then(|| "patients".to_owned()),
    };
    Home::create(&directory.join(name), &party).unwrap()
}

/// What `cloister owner init`, `policy trust-image` and `policy sign` do.
fn set_up(owner: &Home, version: &str) {
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
    let text = trust_image(&template(&with), &measurements).unwrap();
    let text = text.replace("version = 2", version);
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

/// The client of `home` for the broker at `address`.
fn client(home: &Home, owner: &Home, running: &Running) -> Client {
    let _ = running;
    let peer = home.peers().unwrap().named(owner.name().as_str()).unwrap().clone();
    Client::new(home, &peer).unwrap()
}

fn code<T>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused { refusal, .. }) => refusal.code,
        Err(other) => format!("{other:?}"),
        Ok(_) => "accepted".to_owned(),
    }
}
