//! Homes and enrolments: what is made, and what is refused.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::common::{accept, party};
use cloister_party::{
    Enrolment, EnrolmentError, Home, HomeError, NewParty, Role, write_atomically,
};
use cloister_protocol::{Kind, PublicKey, Signed, SigningKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

#[test]
fn a_home_keeps_its_secrets_and_opens_again() {
    let root = tempfile::tempdir().unwrap();
    let owner = party(root.path(), Role::Owner, "owner");
    let mode = |name: &str| fs::metadata(owner.file(name)).unwrap().permissions().mode() & 0o777;
    for key in ["identity.key", "broker.key", "tls/ca.key", "tls/server.key", "tls/client.key"] {
        assert_eq!(mode(key), 0o600, "{key}");
    }
    for directory in ["", "tls", "peers"] {
        assert_eq!(mode(directory), 0o700, "{directory:?}");
    }
    let again = Home::open_as(owner.path(), Role::Owner).unwrap();
    assert_eq!(again.identity(), owner.identity());
    assert_eq!(again.signing_key().unwrap().id(), *owner.id());
    let enrolment = Enrolment::open(again.enrolment()).unwrap();
    assert_eq!(Some(*again.broker_key().unwrap().public()), enrolment.broker_key);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");

    let error = Home::open_as(owner.path(), Role::Host).unwrap_err();
    assert!(matches!(error, HomeError::WrongRole { .. }), "{error}");
    fs::set_permissions(owner.file("identity.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(owner.signing_key(), Err(HomeError::KeyMode { mode: 0o640, .. })));
    // Another party's key in its place is noticed.
    let other = party(root.path(), Role::Owner, "other");
    fs::copy(other.file("broker.key"), owner.file("broker.key")).unwrap();
    assert!(matches!(owner.broker_key(), Err(HomeError::Damaged { .. })));
}

#[test]
fn a_home_is_never_made_over_something_or_against_its_role() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("home");
    let author = NewParty {
        role: Role::Author,
        name: "author".parse().unwrap(),
        address: None,
        population: None,
    };
    assert!(matches!(Home::open(&path), Err(HomeError::NotAHome(_))));
    fs::create_dir(&path).unwrap();
    Home::create(&path, &author).unwrap();
    assert!(matches!(Home::create(&path, &author), Err(HomeError::Exists(_))));
    let address = Some("https://localhost:1".parse().unwrap());
    for wrong in [
        NewParty { address: address.clone(), ..author.clone() },
        NewParty { population: Some("p".into()), ..author.clone() },
        NewParty { role: Role::Host, ..author.clone() },
        NewParty { role: Role::Owner, address: address.clone(), ..author.clone() },
        NewParty { role: Role::Owner, address, population: Some("\n".into()), ..author.clone() },
    ] {
        let error = Home::create(&root.path().join("wrong"), &wrong).unwrap_err();
        assert!(matches!(error, HomeError::Role { .. }), "{wrong:?}: {error}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn what_a_home_is_furnished_with_is_there_with_it_or_neither_is() {
    let root = tempfile::tempdir().unwrap();
    let author = NewParty {
        role: Role::Author,
        name: "author".parse().unwrap(),
        address: None,
        population: None,
    };
    let path = root.path().join("home");
    let failing = Home::create_with(&path, &author, |new, _| {
        fs::write(new.join("ledger"), b"half")?;
        Err("the disk is full".into())
    });
    assert!(failing.unwrap_err().to_string().contains("the disk is full"));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "no half-made home");
    let home = Home::create_with(&path, &author, |new, id| {
        assert!(!path.exists());
        Ok(fs::write(new.join("ledger"), id.to_string())?)
    });
    let home = home.unwrap();
    assert_eq!(fs::read_to_string(home.file("ledger")).unwrap(), home.id().to_string());
}

/// An enrolment as somebody might write it who does not use our types.
#[derive(Clone, Serialize, Deserialize)]
pub struct Forged {
    version: u32,
    role: String,
    pub name: String,
    key: PublicKey,
    broker_key: Option<PublicKey>,
    population: Option<String>,
    pub tls_ca: ByteBuf,
    address: Option<String>,
}

impl Kind for Forged {
    const KIND: &'static str = Enrolment::KIND;
}

/// A correct enrolment of a host that nobody knows yet, and its key.
pub fn forged(root: &std::path::Path) -> (Forged, SigningKey) {
    let host = party(root, Role::Host, "forger");
    let forged = Forged {
        version: 1,
        role: "host".into(),
        name: "forger".into(),
        key: *host.public_key(),
        broker_key: None,
        population: None,
        tls_ca: ByteBuf::from(host.myself().authority().to_vec()),
        address: Some("https://localhost:1".into()),
    };
    (forged, host.signing_key().unwrap())
}

fn add(home: &Home, forged: &Forged, key: &SigningKey) -> Result<(), HomeError> {
    home.add_peer(Signed::sign(forged, key).unwrap().as_bytes()).map(drop)
}

#[test]
fn enrolments_that_are_altered_or_signed_by_another_key_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let home = party(root.path(), Role::Orchestrator, "home");
    let (good, key) = forged(root.path());
    let bytes = Signed::sign(&good, &key).unwrap().as_bytes().to_vec();
    for position in (0..bytes.len()).step_by(7) {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        assert!(home.add_peer(&altered).is_err(), "byte {position}");
    }
    assert!(home.add_peer(&bytes[..bytes.len() - 1]).is_err());
    let (another, _) = SigningKey::generate().unwrap();
    let error = add(&home, &good, &another).unwrap_err();
    assert!(matches!(error, HomeError::Enrolment(EnrolmentError::Signer { .. })), "{error}");
    assert!(home.peers().unwrap().is_empty());
    add(&home, &good, &key).unwrap();
}

#[test]
fn enrolments_with_members_that_cannot_be_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let home = party(root.path(), Role::Orchestrator, "home");
    let (good, key) = forged(root.path());
    let (broker, _) = SigningKey::generate().unwrap();
    let broker = *broker.public();
    for (what, wrong) in [
        ("escape", Forged { name: "../x".into(), ..good.clone() }),
        ("absolute", Forged { name: "/tmp/x".into(), ..good.clone() }),
        ("hidden", Forged { name: ".x".into(), ..good.clone() }),
        ("empty name", Forged { name: String::new(), ..good.clone() }),
        ("version", Forged { version: 2, ..good.clone() }),
        ("role", Forged { role: "king".into(), ..good.clone() }),
        ("no address", Forged { address: None, ..good.clone() }),
        ("plain http", Forged { address: Some("http://localhost:1".into()), ..good.clone() }),
        ("broker of a host", Forged { broker_key: Some(broker), ..good.clone() }),
        ("population of a host", Forged { population: Some("p".into()), ..good.clone() }),
        ("owner without broker", Forged { role: "owner".into(), ..good.clone() }),
        ("no certificate", Forged { tls_ca: ByteBuf::from([0; 9]), ..good.clone() }),
        ("large certificate", Forged { tls_ca: ByteBuf::from([0; 9999]), ..good.clone() }),
    ] {
        let error = add(&home, &wrong, &key).unwrap_err();
        assert!(matches!(error, HomeError::Enrolment(_)), "{what}: {error}");
    }
    assert_eq!(fs::read_dir(home.peers_directory()).unwrap().count(), 0);
    assert!(!home.file("x.cloister").exists());
}

#[test]
fn nobody_can_be_enrolled_under_what_identifies_another() {
    let root = tempfile::tempdir().unwrap();
    let home = party(root.path(), Role::Orchestrator, "home");
    let owner = party(root.path(), Role::Owner, "owner");
    accept(&home, &owner);
    accept(&home, &owner);
    let (good, key) = forged(root.path());
    let authority = |home: &Home| ByteBuf::from(home.myself().authority().to_vec());
    for (what, wrong) in [
        ("name", Forged { name: "owner".into(), ..good.clone() }),
        ("own name", Forged { name: "home".into(), ..good.clone() }),
        ("authority", Forged { tls_ca: authority(&owner), ..good.clone() }),
    ] {
        let error = add(&home, &wrong, &key).unwrap_err();
        assert!(matches!(error, HomeError::Peers(_)), "{what}: {error}");
    }
    // Nor under the same authority in a certificate with another serial number: nobody
    // checks a root's signature.
    let other_serial = |home: &Home| {
        let mut der = authority(home);
        assert_eq!(der[13], 0x02, "SEQUENCE, SEQUENCE, [0] version, INTEGER");
        let last = 14 + usize::from(der[14]);
        der[last] ^= 1;
        der
    };
    let wrong = Forged { tls_ca: other_serial(&owner), ..good.clone() };
    let error = add(&home, &wrong, &key).unwrap_err();
    assert!(error.to_string().contains("certificate authority"), "{error}");
    let mine = Forged { tls_ca: other_serial(&home), ..good.clone() };
    assert!(matches!(add(&home, &mine, &key), Err(HomeError::Myself)));
    let mine = Forged { tls_ca: authority(&home), ..good.clone() };
    assert!(matches!(add(&home, &mine, &key), Err(HomeError::Myself)));
    assert!(matches!(home.add_peer(home.enrolment().as_bytes()), Err(HomeError::Myself)));
    let borrowed = owner.myself().broker_key().copied();
    let wrong = Forged {
        role: "owner".into(),
        population: Some("p".into()),
        broker_key: borrowed,
        ..good.clone()
    };
    assert!(matches!(add(&home, &wrong, &key), Err(HomeError::Peers(_))));
    assert_eq!(home.peers().unwrap().len(), 1);
    assert!(home.peers().unwrap().by_broker(&borrowed.unwrap().id()).is_some());
}

#[test]
fn a_file_copied_under_another_name_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let home = party(root.path(), Role::Orchestrator, "home");
    let owner = party(root.path(), Role::Owner, "owner");
    let bytes = owner.enrolment().as_bytes();
    write_atomically(&home.peers_directory().join("someone.cloister"), bytes, 0o644).unwrap();
    let error = home.peers().unwrap_err();
    assert!(error.to_string().contains("introduces owner"), "{error}");
    let error = home.remove_peer("nobody").unwrap_err();
    assert!(matches!(error, HomeError::Peers(_)), "{error}");
    fs::remove_file(home.peers_directory().join("someone.cloister")).unwrap();
    let error = home.peer("nobody").unwrap_err();
    assert!(matches!(error, HomeError::NoPeer { .. }), "{error}");
}
