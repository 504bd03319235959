//! Links between real sockets, with peers that keep the rules and peers that do not.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use cloister_link::{Address, Link, LinkError, Listener, connect};
use cloister_protocol::{
    frames::{DATA_FRAME, Refusal, Reply, Request},
    limits,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::UnixStream,
};

const PATIENCE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);

/// A link, and the bare socket at its other end.
fn link_and_socket() -> (Link, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    (Link::over(ours, PATIENCE), theirs)
}

async fn frame(socket: &mut DuplexStream, body: &[u8]) {
    socket.write_u32(u32::try_from(body.len()).unwrap()).await.unwrap();
    socket.write_all(body).await.unwrap();
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
}

/// Bulk data is echoed with a message before and after it.
async fn echo(listener: &mut Listener) {
    let mut link = listener.accept().await.unwrap();
    let Request::Status = link.receive().await.unwrap() else { panic!("another request") };
    let length: u64 = link.receive().await.unwrap();
    let bytes = link.receive_bulk_bytes(length, 8 << 20).await.unwrap();
    link.send(&Reply::Granted).await.unwrap();
    link.send_bulk_bytes(&bytes).await.unwrap();
    link.finish().await;
}

async fn exchange(address: &Address) {
    let mut listener = Listener::bind(address, PATIENCE).await.unwrap();
    let address = listener.address().unwrap();
    let serving = tokio::spawn(async move { echo(&mut listener).await });
    let mut link = connect(&address, PATIENCE).await.unwrap();
    let sent = pattern(5 << 20);
    link.send(&Request::Status).await.unwrap();
    link.send(&(sent.len() as u64)).await.unwrap();
    link.send_bulk(&mut sent.as_slice(), sent.len() as u64).await.unwrap();
    assert!(matches!(link.receive().await.unwrap(), Reply::Granted));
    let back = link.receive_bulk_bytes(sent.len() as u64, 8 << 20).await.unwrap();
    assert!(back == sent, "bulk data changed on the way");
    assert!(matches!(link.receive::<Reply>().await, Err(LinkError::Closed)));
    link.finish().await;
    serving.await.unwrap();
}

#[tokio::test]
async fn five_mebibytes_go_both_ways_over_tcp() {
    exchange(&"tcp://127.0.0.1:0".parse().unwrap()).await;
}

#[tokio::test]
async fn five_mebibytes_go_both_ways_over_a_unix_socket() {
    let home = tempfile::tempdir().unwrap();
    let address = Address::Unix(home.path().join("enclave.sock"));
    exchange(&address).await;
    // The socket of a listener that died is replaced; one in use is not.
    drop(std::os::unix::net::UnixListener::bind(home.path().join("enclave.sock")).unwrap());
    let _first = Listener::bind(&address, PATIENCE).await.unwrap();
    assert!(matches!(Listener::bind(&address, PATIENCE).await, Err(LinkError::Listen { .. })));
}

#[tokio::test]
async fn a_wrong_handshake_is_refused_on_both_sides_and_keeps_nobody_waiting() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("enclave.sock");
    let mut listener = Listener::bind(&Address::Unix(path.clone()), PATIENCE).await.unwrap();
    let serving = tokio::spawn(async move { listener.accept().await.map(|link| (link, listener)) });

    // One caller says nothing, others say something else: neither gets a link.
    let _silent = UnixStream::connect(&path).await.unwrap();
    for wrong in ["CONNECT 1\n", "GET / HTTP/1.1\r\n", "CONNECT 5005", &"x".repeat(99)] {
        let mut caller = UnixStream::connect(&path).await.unwrap();
        // The enclave may hang up before all of it is written.
        let _ = caller.write_all(wrong.as_bytes()).await;
        let _ = caller.shutdown().await;
        let mut answer = Vec::new();
        let _ = caller.read_to_end(&mut answer).await;
        assert_eq!(answer, b"", "{wrong:?}");
    }
    let begun = Instant::now();
    let mut link = connect(&Address::Unix(path), PATIENCE).await.unwrap();
    link.send(&Request::Status).await.unwrap();
    let (mut accepted, _listener) = serving.await.unwrap().unwrap();
    assert!(matches!(accepted.receive().await.unwrap(), Request::Status));
    assert!(begun.elapsed() < PATIENCE / 2, "a silent caller kept others waiting");
}

#[tokio::test]
async fn a_caller_refuses_a_wrong_answer_and_a_silent_one() {
    for (answer, stalls) in [("NO\n", false), ("OK\n", false), ("OK x\n", false), ("OK 1", true)] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("enclave.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let serving = tokio::spawn(async move {
            let mut socket = listener.accept().await.unwrap().0;
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket
        });
        let error = connect(&Address::Unix(path), SHORT).await.err().unwrap();
        match error {
            LinkError::Handshake { .. } => assert!(!stalls, "{answer:?}"),
            LinkError::Stalled { .. } => assert!(stalls, "{answer:?}"),
            other => panic!("{answer:?}: {other}"),
        }
        drop(serving.await.unwrap());
    }
}

#[tokio::test]
async fn nobody_there_names_the_address() {
    let error = connect(&"unix:/nonexistent/e.sock".parse().unwrap(), SHORT).await.err().unwrap();
    assert!(error.to_string().contains("unix:/nonexistent/e.sock"), "{error}");
    let error = connect(&"vsock:5005".parse().unwrap(), SHORT).await.err().unwrap();
    assert!(error.to_string().contains("listen"), "{error}");
}

#[tokio::test]
async fn lengths_over_the_limit_are_refused_from_the_length_alone() {
    for length in [limits::CONTROL_FRAME + 1, 1 << 31] {
        let (mut link, mut socket) = link_and_socket();
        // Nothing follows: were the body waited for, this would stall instead.
        socket.write_u32(u32::try_from(length).unwrap()).await.unwrap();
        let error = link.receive::<Reply>().await.unwrap_err();
        assert!(
            matches!(error, LinkError::FrameTooLong { limit: limits::CONTROL_FRAME }),
            "{error}"
        );
        assert!(matches!(link.receive::<Reply>().await, Err(LinkError::Broken)));
    }
    let (mut link, mut socket) = link_and_socket();
    socket.write_u32(u32::try_from(DATA_FRAME + 1).unwrap()).await.unwrap();
    let error = link.receive_bulk_bytes(1 << 20, 1 << 20).await.unwrap_err();
    assert!(matches!(error, LinkError::FrameTooLong { limit: DATA_FRAME }), "{error}");
    let (mut link, _socket) = link_and_socket();
    let error = link.receive_bulk_bytes(u64::MAX, 1 << 20).await.unwrap_err();
    assert!(matches!(error, LinkError::BulkTooLong { limit: 1_048_576, found: u64::MAX }));
}

#[tokio::test]
async fn too_much_bulk_too_little_and_nothing_are_told_apart() {
    let (mut link, mut socket) = link_and_socket();
    frame(&mut socket, &[1; 60]).await;
    frame(&mut socket, &[2; 60]).await;
    let error = link.receive_bulk_bytes(100, 100).await.unwrap_err();
    assert!(matches!(error, LinkError::BulkOverrun { announced: 100 }), "{error}");

    let (mut link, mut socket) = link_and_socket();
    frame(&mut socket, &[1; 60]).await;
    drop(socket);
    let error = link.receive_bulk_bytes(100, 100).await.unwrap_err();
    assert!(matches!(error, LinkError::BulkTruncated { announced: 100, found: 60 }), "{error}");

    let (mut link, mut socket) = link_and_socket();
    socket.write_u32(60).await.unwrap();
    socket.write_all(&[1; 59]).await.unwrap();
    drop(socket);
    assert!(matches!(link.receive_bulk_bytes(100, 100).await, Err(LinkError::Torn)));

    let (mut link, mut socket) = link_and_socket();
    frame(&mut socket, &[]).await;
    assert!(matches!(link.receive_bulk_bytes(1, 1).await, Err(LinkError::BulkEmptyFrame)));
}

#[tokio::test]
async fn bulk_left_in_the_middle_breaks_the_link() {
    let (mut link, mut socket) = link_and_socket();
    frame(&mut socket, &[1; 60]).await;
    frame(&mut socket, &[2; 40]).await;
    let mut bulk = link.bulk(100, 100).unwrap();
    assert_eq!(bulk.next().await.unwrap().unwrap(), [1; 60].as_slice());
    drop(bulk);
    assert!(matches!(link.receive::<Reply>().await, Err(LinkError::Broken)));
}

#[tokio::test]
async fn a_stalled_peer_times_out_whatever_it_stalls() {
    // Nothing comes; half a frame comes; a byte now and then comes.
    let (mut link, mut socket) = link_and_socket();
    link.set_patience(SHORT);
    let error = link.receive::<Reply>().await.unwrap_err();
    assert!(matches!(error, LinkError::Stalled { patience: SHORT, .. }), "{error}");
    assert!(matches!(link.receive::<Reply>().await, Err(LinkError::Broken)));

    let (mut dripped, mut drip) = link_and_socket();
    dripped.set_patience(SHORT);
    let dripping = tokio::spawn(async move {
        drip.write_u32(100).await.unwrap();
        for _ in 0..100 {
            if drip.write_u8(0).await.is_err() {
                break;
            }
            tokio::time::sleep(SHORT / 4).await;
        }
    });
    let begun = Instant::now();
    assert!(matches!(dripped.receive::<Reply>().await, Err(LinkError::Stalled { .. })));
    assert!(begun.elapsed() < SHORT * 5);
    dripping.abort();

    // A peer that does not read stalls the sender once the socket is full.
    let (mut link, _socket) = link_and_socket();
    link.set_patience(SHORT);
    let error = link.send_bulk_bytes(&pattern(3 << 20)).await.unwrap_err();
    assert!(matches!(error, LinkError::Stalled { .. }), "{error}");
    socket.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_deadline_of_the_exchange_ends_even_a_lively_one() {
    let (mut link, mut socket) = link_and_socket();
    link.set_deadline(Some(tokio::time::Instant::now() + SHORT));
    let lively = tokio::spawn(async move {
        loop {
            frame(&mut socket, &[1; 10]).await;
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let error = link.receive_bulk_bytes(1 << 20, 1 << 20).await.unwrap_err();
    assert!(matches!(error, LinkError::Deadline { .. }), "{error}");
    lively.abort();
}

#[tokio::test]
async fn what_is_not_the_expected_message_is_refused() {
    let (mut link, mut socket) = link_and_socket();
    frame(&mut socket, b"\xa0\x00").await;
    assert!(matches!(link.receive::<Reply>().await, Err(LinkError::Message(_))));
    let (mut link, _socket) = link_and_socket();
    let message = "x".repeat(limits::CONTROL_FRAME);
    let refusal = Reply::Refused(Refusal { code: "busy".into(), message });
    assert!(matches!(link.send(&refusal).await, Err(LinkError::MessageTooLong { .. })));
    link.send(&Reply::Granted).await.unwrap();
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_bulk_data_arrives() {
    let home = tempfile::tempdir().unwrap();
    let address = Address::Unix(home.path().join("enclave.sock"));
    let mut listener = Listener::bind(&address, PATIENCE).await.unwrap();
    let serving = tokio::spawn(async move {
        let mut link = listener.accept().await.unwrap();
        let mut bulk = link.bulk(64 << 20, 64 << 20).unwrap();
        bulk.next().await.unwrap();
        drop(bulk);
        let refusal = Refusal { code: "dataset-hash".into(), message: "no".into() };
        link.send(&Reply::Refused(refusal)).await.unwrap();
        link.set_patience(SHORT);
        link.finish().await;
    });
    let mut link = connect(&address, PATIENCE).await.unwrap();
    let data = pattern(1 << 20);
    let mut sending = Ok(());
    for _ in 0..64 {
        sending = link.send_bulk_bytes(&data).await;
        if sending.is_err() {
            break;
        }
    }
    let reply: Reply = link.receive().await.unwrap();
    assert!(matches!(reply, Reply::Refused(refusal) if refusal.code == "dataset-hash"));
    drop(sending);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_source_that_ends_early_is_reported_as_such() {
    let (mut link, _socket) = link_and_socket();
    let error = link.send_bulk(&mut [0u8; 10].as_slice(), 11).await.unwrap_err();
    assert!(matches!(error, LinkError::Source { announced: 11, found: 0, .. }), "{error}");
    assert!(matches!(link.send(&Reply::Granted).await, Err(LinkError::Broken)));
}

/// Takes whatever is written, and remembers how much came at a time.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<usize>>>);

impl AsyncWrite for Recorder {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().push(b.len());
        Poll::Ready(Ok(b.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn no_write_is_larger_than_vsock_stacks_bear() {
    let recorder = Recorder::default();
    let mut link = Link::over(recorder.clone(), PATIENCE);
    let message = "x".repeat(limits::CONTROL_FRAME - 8);
    link.send(&message).await.unwrap();
    let control: Vec<usize> = std::mem::take(&mut recorder.0.lock().unwrap());
    assert!(control.len() >= 3, "a large message takes several writes: {control:?}");
    link.send_bulk_bytes(&pattern(1 << 20)).await.unwrap();
    let bulk: Vec<usize> = std::mem::take(&mut recorder.0.lock().unwrap());
    for writes in [&control, &bulk] {
        assert!(writes.iter().all(|size| *size <= limits::SOCKET_WRITE), "{writes:?}");
    }
    let whole = bulk.iter().filter(|size| **size == limits::SOCKET_WRITE).count();
    assert_eq!(whole, (1 << 20) / DATA_FRAME, "each full bulk frame is one write: {bulk:?}");
}
