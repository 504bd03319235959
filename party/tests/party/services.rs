//! Who may call whom, with real sockets and real certificates.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::common::{Service, accept, ask_who, party, party_at};
use crate::homes::forged;
use cloister_party::{Client, ClientError, Role, certificates::Authority, write_atomically};
use cloister_protocol::Signed;
use jiff::{Timestamp, ToSpan};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use serde_json::Value;

#[test]
fn each_caller_is_known_by_its_own_name() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let owner = party(root.path(), Role::Owner, "owner");
    let orchestrator = party(root.path(), Role::Orchestrator, "orchestrator");
    accept(&host, &owner);
    accept(&host, &orchestrator);
    let service = Service::start(&host);
    assert_eq!(ask_who(&owner, &accept(&owner, &host)).unwrap(), "owner");
    assert_eq!(ask_who(&orchestrator, &accept(&orchestrator, &host)).unwrap(), "orchestrator");
    let own: Value = Client::of_myself(&host).unwrap().get_json("/who").unwrap();
    assert_eq!(own["id"], host.id().to_string());
    drop(service);
}

#[test]
fn an_enrolment_counts_at_once_and_its_removal_too() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let owner = party(root.path(), Role::Owner, "owner");
    let _service = Service::start(&host);
    let peer = accept(&owner, &host);
    let error = ask_who(&owner, &peer).unwrap_err();
    assert!(matches!(error, ClientError::NotEnrolled { .. }), "{error}");
    assert!(error.to_string().contains("host") && !error.is_transient(), "{error}");

    accept(&host, &owner);
    let client = Client::new(&owner, &peer).unwrap();
    let who: Value = client.get_json("/who").unwrap();
    assert_eq!(who["name"], "owner");

    // The connection is still open; the next request on it is refused all the same.
    host.remove_peer("owner").unwrap();
    let error = client.get_json::<Value>("/who").unwrap_err();
    assert_eq!(error.refusal().unwrap().code, "not-enrolled");
}

#[test]
fn a_file_that_makes_callers_ambiguous_makes_neither_known() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let owner = party(root.path(), Role::Owner, "owner");
    let orchestrator = party(root.path(), Role::Orchestrator, "orchestrator");
    accept(&host, &owner);
    accept(&host, &orchestrator);
    let _service = Service::start(&host);
    let (peer, other) = (accept(&owner, &host), accept(&orchestrator, &host));
    assert_eq!(ask_who(&owner, &peer).unwrap(), "owner");

    // Somebody puts a file there by hand that claims the owner's authority.
    let (mut forged, key) = forged(root.path());
    forged.tls_ca = owner.myself().authority().to_vec().into();
    let bytes = Signed::sign(&forged, &key).unwrap();
    let file = host.peers_directory().join("forger.cloister");
    write_atomically(&file, bytes.as_bytes(), 0o644).unwrap();
    let error = ask_who(&owner, &peer).unwrap_err();
    assert!(matches!(error, ClientError::NotEnrolled { .. }), "{error}");
    assert_eq!(ask_who(&orchestrator, &other).unwrap(), "orchestrator");

    // A file that is damaged harms nobody else.
    write_atomically(&file, b"damaged", 0o644).unwrap();
    assert_eq!(ask_who(&owner, &peer).unwrap(), "owner");
}

#[test]
fn a_caller_without_certificate_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let service = Service::start(&host);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(host.myself().authority().to_vec())).unwrap();
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(service.address).unwrap());
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    let error = error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap();
    assert_eq!(*error, rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
}

#[test]
fn tls_1_2_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let service = Service::start(&host);
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(service.address).unwrap();
    let error = connection.complete_io(&mut socket).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[test]
fn outdated_certificates_and_those_for_serving_cannot_call() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let owner = party(root.path(), Role::Owner, "owner");
    accept(&host, &owner);
    let peer = accept(&owner, &host);
    let _service = Service::start(&host);

    let key = fs::read_to_string(owner.file("tls/ca.key")).unwrap();
    let now = Timestamp::now();
    let past = now - (4 * 366 * 24).hours();
    let authority = Authority::from_key(owner.role(), owner.name(), &key, now).unwrap();
    let outdated = authority.client(past).unwrap();
    write_atomically(&owner.file("tls/client.pem"), outdated.certificate.as_bytes(), 0o644)
        .unwrap();
    write_atomically(&owner.file("tls/client.key"), outdated.key.as_bytes(), 0o600).unwrap();
    let error = ask_who(&owner, &peer).unwrap_err();
    assert!(error.to_string().contains("CertificateExpired"), "{error}");

    for kind in ["pem", "key"] {
        let from = owner.file(format!("tls/server.{kind}"));
        fs::copy(from, owner.file(format!("tls/client.{kind}"))).unwrap();
    }
    let error = ask_who(&owner, &peer).unwrap_err();
    assert!(matches!(error, ClientError::NotEnrolled { .. }), "{error}");

    owner.renew_certificates().unwrap();
    assert_eq!(ask_who(&owner, &peer).unwrap(), "owner");
}

#[test]
fn a_service_of_another_party_is_not_taken_for_the_peer() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let port = host.identity().address.as_ref().unwrap().port();
    let other = party_at(root.path(), Role::Host, "other", port);
    let owner = party(root.path(), Role::Owner, "owner");
    accept(&host, &owner);
    let _service = Service::start(&host);
    let error = ask_who(&owner, &accept(&owner, &other)).unwrap_err();
    assert!(matches!(error, ClientError::NotThePeer { .. }), "{error}");
    assert_eq!(ask_who(&owner, &accept(&owner, &host)).unwrap(), "owner");
}

#[test]
fn a_stalled_caller_keeps_nobody_waiting_and_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let owner = party(root.path(), Role::Owner, "owner");
    accept(&host, &owner);
    let service = Service::start(&host);
    let mut silent: Vec<_> =
        (0..20).map(|_| TcpStream::connect(service.address).unwrap()).collect();
    assert_eq!(ask_who(&owner, &accept(&owner, &host)).unwrap(), "owner");
    let begun = Instant::now();
    for socket in &mut silent {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "the service hangs up");
    }
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn questions_and_answers_refusals_and_streams() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let owner = party(root.path(), Role::Owner, "owner");
    accept(&host, &owner);
    let _service = Service::start(&host);
    let client = Client::new(&owner, &accept(&owner, &host)).unwrap();

    assert_eq!(client.post_cbor::<u64, u64>("/twice", &21, 16).unwrap(), 42);
    let error = client.post_cbor::<str, u64>("/twice", "x", 16).unwrap_err();
    assert_eq!(error.refusal().unwrap().code, "malformed");
    let error = client.post_cbor::<u64, u64>("/twice", &u64::from(u32::MAX), 4).unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");

    let error = client.get_json::<Value>("/no").unwrap_err();
    assert_eq!(error.refusal().unwrap().code, "not-today");
    assert_eq!(error.to_string(), "host refused: come back tomorrow (not-today)");
    let error = client.get_json::<Value>("/broken").unwrap_err();
    assert!(matches!(error, ClientError::Status { status: 502, .. }) && error.is_transient());

    let data = vec![3; 1_500_000];
    let mut steps = Vec::new();
    let answer: Value = client
        .put_stream("/sum", data.as_slice(), data.len() as u64, |sent| steps.push(sent))
        .unwrap();
    assert_eq!((&answer["length"], &answer["sum"]), (&1_500_000.into(), &4_500_000.into()));
    assert!(steps.len() > 10 && steps.is_sorted() && steps.last() == Some(&1_500_000));

    // Refused before the body was sent.
    let mut sent = 0;
    let endless = std::io::repeat(7);
    let error = client.put_stream::<Value>("/no", endless, 1 << 40, |now| sent = now).unwrap_err();
    assert_eq!(error.refusal().unwrap().code, "not-today");
    assert_eq!(sent, 0);

    let error = client.put_stream::<Value>("/sum", [1; 10].as_slice(), 11, |_| ()).unwrap_err();
    assert!(matches!(error, ClientError::Source(_)), "{error}");
}

#[test]
fn a_service_that_is_down_is_named_with_its_address() {
    let root = tempfile::tempdir().unwrap();
    let host = party(root.path(), Role::Host, "host");
    let owner = party(root.path(), Role::Owner, "owner");
    let error = ask_who(&owner, &accept(&owner, &host)).unwrap_err();
    let address = host.identity().address.as_ref().unwrap().to_string();
    assert!(error.is_transient() && error.to_string().contains(&address), "{error}");
    let author = party(root.path(), Role::Author, "author");
    let error = ask_who(&owner, &accept(&owner, &author)).unwrap_err();
    assert!(matches!(error, ClientError::NoService { .. }), "{error}");
}
