//! Sealed bodies that were cut, turned and patched. The keys are in the enclave; no row is
//! used before the whole body is the one that its owner signed.

use anyhow::{Context, Result, ensure};
use cloister_host::relay::Source::Enclave;
use cloister_protocol::{
    dataset::{PREFIX, SEALED_CHUNK},
    frames::SessionState,
};
use cloister_tests::played::PlayedHost;

use super::scene::{Scene, Session, expect};

/// Where a whole chunk is.
fn chunk(number: usize) -> std::ops::Range<usize> {
    PREFIX + number * SEALED_CHUNK..PREFIX + (number + 1) * SEALED_CHUNK
}

type Lie = (&'static str, &'static str, fn(&mut Vec<u8>));

const LIES: &[Lie] = &[
    ("a byte of the salt", "body-commitment", |body| body[3] ^= 1),
    ("a byte of the commitment", "body-commitment", |body| body[PREFIX - 1] ^= 1),
    ("a byte of the first chunk", "body-chunk", |body| body[PREFIX] ^= 1),
    ("a byte of a chunk in the middle", "body-chunk", |body| body[chunk(1).start + 99] ^= 64),
    ("a byte of the last chunk", "body-chunk", |body| {
        let last = body.len() - 1;
        body[last] ^= 128;
    }),
    ("two chunks swapped", "body-chunk", |body| {
        let second = body[chunk(1)].to_vec();
        body.copy_within(chunk(0), chunk(1).start);
        body[chunk(0)].copy_from_slice(&second);
    }),
    ("a chunk in another's place", "body-chunk", |body| {
        body.copy_within(chunk(0), chunk(2).start);
    }),
    ("a chunk repeated", "body-length", |body| {
        let again = body[chunk(1)].to_vec();
        body.splice(chunk(1).end..chunk(1).end, again);
    }),
    ("a chunk dropped", "body-length", |body| drop(body.drain(chunk(1)))),
    ("a chunk dropped, the length kept", "body-chunk", |body| {
        let dropped = body.drain(chunk(1)).len();
        body.resize(body.len() + dropped, 0);
    }),
    ("the last chunk dropped", "body-length", |body| body.truncate(chunk(2).end)),
    ("a byte appended", "body-length", |body| body.push(0)),
];

pub async fn cases(scene: &mut Scene) -> Result<()> {
    let session = scene.attest(scene.material()?, |_| ()).await?;
    let grants = scene.host.grants(&session.material, &session.brokers, &session.attested).await?;
    scene.charged_since(session.material.job.value.cost)?;
    let first = scene.host.load(&scene.enclave.address, &session.attested, 0, &[]).await;
    expect(first, &Enclave, "state").context("data before the grants")?;
    scene.host.hand_over(&scene.enclave.address, &session.attested, grants).await?;

    let body = PlayedHost::body(&session.material.datasets[0])?;
    ensure!(body.len() > chunk(2).end, "the dataset has {} bytes, too few chunks", body.len());
    for (lie, code, change) in LIES {
        let mut altered = body.clone();
        change(&mut altered);
        ensure!(altered != body, "{lie}: nothing was changed");
        refuse(scene, &session, &altered, code).await.with_context(|| (*lie).to_owned())?;
        scene.line(lie, "enclave", code);
    }
    let other = PlayedHost::body(&session.material.datasets[1])?;
    ensure!(other.len() == body.len(), "the other owner's dataset has another length");
    refuse(scene, &session, &other, "body-commitment").await?;
    scene.line("another owner's dataset", "enclave", "body-commitment");

    // The session is unharmed: the honest bodies, and the job runs to its end.
    scene.host.load_all(&scene.enclave.address, &session.material, &session.attested).await?;
    let releases = scene.host.follow(&scene.enclave.address, &session.attested, 0).await?;
    ensure!(releases.len() == session.material.job.value.releases() as usize);
    scene.nothing_charged()?;
    scene.honest().await.map(drop)
}

/// The enclave refuses, still waits for this dataset, and has nothing to release.
async fn refuse(scene: &Scene, session: &Session, body: &[u8], code: &str) -> Result<()> {
    let (host, enclave) = (&scene.host, &scene.enclave.address);
    expect(host.load(enclave, &session.attested, 0, body).await, &Enclave, code)?;
    let state = host.status(enclave).await?.state;
    ensure!(state == SessionState::Granted, "the enclave is {state:?}");
    expect(host.follow(enclave, &session.attested, 0).await, &Enclave, "state")?;
    Ok(())
}
