//! Each exchange with the enclave ends, whatever is at the other side of the socket.

mod common;

use std::time::{Duration, Instant};

use axum::{Router, body::Body, routing::post};
use cloister_host::relay::{self, Deadlines, Event, RelayError, Source};
use cloister_link::{Address, Link, Listener};
use cloister_party::{ClientError, Role, Server};
use cloister_protocol::{
    Digest, Id,
    frames::{Refusal, Reply, Request},
    transcript::TranscriptId,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_millis(500);

fn deadlines() -> Deadlines {
    Deadlines { frame: PATIENCE, load_per_gib: Duration::from_secs(2), ..Deadlines::default() }
}

fn transcript() -> TranscriptId {
    Id::new(Digest::of("test", &[]))
}

/// Somebody who accepts one connection, and how to reach them.
async fn somebody<F>(what: impl FnOnce(Link) -> F + Send + 'static) -> (Address, TempDir)
where
    F: Future<Output = ()> + Send,
{
    let folder = tempfile::tempdir().unwrap();
    let address = Address::Unix(folder.path().join("enclave.sock"));
    let mut listener = Listener::bind(&address, Duration::from_secs(5)).await.unwrap();
    tokio::spawn(async move {
        let link = listener.accept().await.unwrap();
        what(link).await;
    });
    (address, folder)
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let address = Address::Unix("/nonexistent/enclave.sock".into());
    let error = relay::status(&address, PATIENCE).await.unwrap_err();
    assert!(error.is_enclave_lost());
    assert_eq!(error.code(), "enclave-lost");
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let (address, _folder) = somebody(|link| async move {
        tokio::time::sleep(Duration::from_mins(1)).await;
        drop(link);
    })
    .await;
    let began = Instant::now();
    let error = relay::status(&address, PATIENCE).await.unwrap_err();
    assert!(error.is_enclave_lost(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_dataset_is_heard() {
    let (address, _folder) = somebody(|mut link| async move {
        let request: Request = link.receive().await.unwrap();
        assert!(matches!(request, Request::Load { index: 1, length: 50_000_000, .. }));
        let refusal =
            Refusal { code: "dataset-chunk".into(), message: "chunk 0 was altered".into() };
        link.send(&Reply::Refused(refusal)).await.unwrap();
        link.finish().await;
    })
    .await;
    let mut body = tokio::io::repeat(7);
    let loaded = relay::load(&address, transcript(), 1, &mut body, 50_000_000, &deadlines()).await;
    match loaded.unwrap_err() {
        RelayError::Refused { from, refusal } => {
            assert_eq!((from, refusal.code.as_str()), (Source::Enclave, "dataset-chunk"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_dataset_that_is_not_read_ends_with_the_deadline() {
    let (address, _folder) = somebody(|link| async move {
        tokio::time::sleep(Duration::from_mins(1)).await;
        drop(link);
    })
    .await;
    let began = Instant::now();
    let mut body = tokio::io::repeat(7);
    let loaded = relay::load(&address, transcript(), 0, &mut body, 50_000_000, &deadlines()).await;
    assert!(loaded.unwrap_err().is_enclave_lost());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_file_of_ours_that_is_too_short_is_not_the_enclaves_fault() {
    let (address, _folder) = somebody(|mut link| async move {
        let _: Request = link.receive().await.unwrap();
        let _ = link.receive_bulk_bytes(100_000, 100_000).await;
    })
    .await;
    let body = vec![7; 50_000];
    let mut body = &body[..];
    let loaded = relay::load(&address, transcript(), 0, &mut body, 100_000, &deadlines()).await;
    assert!(matches!(loaded, Err(RelayError::Io(_))), "{loaded:?}");
}

#[tokio::test]
async fn an_answer_to_another_question_is_named() {
    let (address, _folder) = somebody(|mut link| async move {
        let _: Request = link.receive().await.unwrap();
        link.send(&Reply::Granted).await.unwrap();
        link.finish().await;
    })
    .await;
    let error = relay::abandon(&address, transcript(), &deadlines()).await.unwrap_err();
    assert_eq!(error.code(), "enclave-answer");
    assert!(error.to_string().contains("grants were opened"), "{error}");
}

#[tokio::test]
async fn a_release_arrives_whole_or_not_at_all() {
    let (address, _folder) = somebody(|mut link| async move {
        let request: Request = link.receive().await.unwrap();
        assert!(matches!(request, Request::Follow { from: 4, .. }));
        link.send(&Reply::Heartbeat).await.unwrap();
        let release = Reply::Release { number: 4, receipt_length: 3, tensors_length: 70_000 };
        link.send(&release).await.unwrap();
        link.send_bulk_bytes(b"abc").await.unwrap();
        // The connection is lost in the middle of the tensors.
        link.send_bulk_bytes(&vec![5; 30_000]).await.unwrap();
    })
    .await;
    let mut following = relay::follow(&address, transcript(), 4, &deadlines()).await.unwrap();
    assert_eq!(following.next().await.unwrap(), Event::Heartbeat);
    let release = following.next().await.unwrap();
    assert_eq!(release, Event::Release { number: 4, receipt_length: 3, tensors_length: 70_000 });
    let (mut receipt, mut tensors) = (Vec::new(), Vec::new());
    following.take(3, &mut receipt).await.unwrap();
    assert_eq!(receipt, b"abc");
    assert!(following.take(70_000, &mut tensors).await.unwrap_err().is_enclave_lost());
}

#[tokio::test]
async fn a_release_of_a_senseless_size_is_refused_before_it_comes() {
    let (address, _folder) = somebody(|mut link| async move {
        let _: Request = link.receive().await.unwrap();
        let release = Reply::Release { number: 0, receipt_length: 1 << 40, tensors_length: 1 };
        link.send(&release).await.unwrap();
        link.finish().await;
    })
    .await;
    let mut following = relay::follow(&address, transcript(), 0, &deadlines()).await.unwrap();
    let error = following.next().await.unwrap_err();
    assert!(error.to_string().contains("1099511627776"), "{error}");
}

/// It never stalls, and the thread that asks would never come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_answers_byte_by_byte_is_left_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let port = common::free_port();
    let host = common::party(folder.path(), Role::Host, "node", Some(common::free_port()));
    let owner = common::party(folder.path(), Role::Owner, "hospital", Some(port));
    common::introduce(&host, &owner);
    let server = Server::bind(format!("127.0.0.1:{port}").parse().unwrap(), &owner).await.unwrap();
    let drip = || async {
        let bytes = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, std::io::Error>(vec![b'x']), ()))
        });
        ([("content-type", "application/cbor")], Body::from_stream(bytes))
    };
    let router = Router::new().route("/v1/challenge", post(drip));
    tokio::spawn(server.run(router, std::future::pending()));
    let client = common::client(&host, &owner);
    let began = Instant::now();
    let asking = tokio::task::spawn_blocking(move || {
        client.post_cbor_within::<_, u8>("/v1/challenge", &0, 4096, PATIENCE)
    });
    let answer = asking.await.unwrap();
    assert!(matches!(answer, Err(ClientError::Unreachable { .. })), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
