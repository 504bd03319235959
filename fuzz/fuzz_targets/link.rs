//! What the other end of a link sends: control frames, then bulk data.
#![no_main]

use std::time::Duration;

use cloister_link::{Link, LinkError};
use cloister_protocol::frames::{Reply, Request};
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt;

/// What the receiver of bulk data allows.
const LIMIT: u64 = 100_000;

fuzz_target!(|bytes: &[u8]| {
    let [announced, sent @ ..] = bytes else { return };
    let announced = u64::from(*announced) * 1000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (mut peer, ours) = tokio::io::duplex(sent.len().max(1));
        peer.write_all(sent).await.expect("there is room for all of it");
        drop(peer);
        let mut link = Link::over(ours, Duration::from_secs(5));
        let _ = link.receive::<Request>().await;
        let _ = link.receive::<Reply>().await;
        let mut received = 0;
        let taken = link
            .receive_bulk(announced, LIMIT, |piece| {
                received += piece.len() as u64;
                Ok::<_, LinkError>(())
            })
            .await;
        assert!(received <= announced.min(LIMIT));
        assert!(taken.is_err() || received == announced);
    });
});
