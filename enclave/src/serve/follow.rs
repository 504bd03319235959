//! Following a session: heartbeats at fixed times, releases at theirs.

use std::{sync::Arc, time::Duration};

use cloister_link::Link;
use cloister_protocol::frames::Reply;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval_at},
};

use super::{desk::Followed, exchange::Interrupted};
use crate::{
    refusal::{Code, Refused},
    release::Kept,
    session::{Ending, Progress},
};

/// From one heartbeat to the next.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Sends what is released, from number `from` on, until there is no more.
pub(super) async fn follow(
    link: &mut Link,
    followed: Followed,
    from: u32,
) -> Result<(), Interrupted> {
    let Followed { began, mut progress } = followed;
    let mut number = from;
    // Every follower's heartbeats keep the session's clock.
    let beats = began.elapsed().as_secs() + 1;
    let mut heartbeat = interval_at(began + HEARTBEAT.saturating_mul(whole(beats)), HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            next = next(&mut progress, number) => match next {
                Next::Release(kept) => {
                    send(link, number, &kept).await?;
                    number += 1;
                }
                Next::End(Ending::Complete) => return Ok(link.send(&Reply::Ended).await?),
                Next::End(Ending::Abandoned) => {
                    return Err(Refused::new(Code::Abandoned, "the session was abandoned").into());
                }
                Next::End(Ending::Fault) => {
                    return Err(Refused::new(Code::Internal, "a fault of the enclave").into());
                }
            },
            _ = heartbeat.tick() => link.send(&Reply::Heartbeat).await?,
        }
    }
}

enum Next {
    Release(Arc<Kept>),
    End(Ending),
}

async fn next(progress: &mut watch::Receiver<Progress>, number: u32) -> Next {
    let place = number as usize;
    let known = |progress: &Progress| progress.releases.len() > place || progress.ending.is_some();
    match progress.wait_for(known).await {
        Ok(progress) => match progress.releases.get(place) {
            Some(kept) => Next::Release(Arc::clone(kept)),
            None => Next::End(progress.ending.unwrap_or(Ending::Fault)),
        },
        Err(_) => Next::End(Ending::Fault),
    }
}

async fn send(link: &mut Link, number: u32, kept: &Kept) -> Result<(), Interrupted> {
    let receipt = kept.receipt();
    let receipt_length = receipt.len() as u64;
    let tensors_length = kept.tensors.len() as u64;
    link.send(&Reply::Release { number, receipt_length, tensors_length }).await?;
    link.send_bulk_bytes(&receipt).await?;
    link.send_bulk_bytes(&kept.tensors).await?;
    Ok(())
}

fn whole(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
