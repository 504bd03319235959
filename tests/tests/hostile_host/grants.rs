//! Grants that were altered, or made for another enclave.

use anyhow::Result;
use cloister_host::relay::{self, Source::Enclave};
use cloister_protocol::{frames::SessionState, grant::SealedGrant};
use cloister_tests::played::EnclaveProcess;

use super::{
    bytes::{flipped_signed, flipped_value},
    requests::ask,
    scene::{Scene, Session, broker, expect},
};

pub async fn cases(scene: &mut Scene) -> Result<()> {
    let session = scene.attest(scene.material()?, |_| ()).await?;
    let cost = session.material.job.value.cost;
    let honest = scene.host.grants(&session.material, &session.brokers, &session.attested).await?;
    scene.charged_since(cost)?;

    // The same request again is the same answer, and costs nothing.
    let again = scene.host.grants(&session.material, &session.brokers, &session.attested).await?;
    anyhow::ensure!(again == honest, "the same request was answered differently");
    scene.nothing_charged()?;

    for grant in flipped_signed(&honest[0].grant, 60) {
        let altered = SealedGrant { grant, sealed: honest[0].sealed.clone() };
        refuse(scene, &session, vec![altered, honest[1].clone()], "grant-signature").await?;
    }
    scene.line("a byte of a grant", "enclave", "grant-signature");
    for sealed in flipped_value(&honest[0].sealed, 60) {
        let altered = SealedGrant { grant: honest[0].grant.clone(), sealed };
        refuse(scene, &session, vec![altered, honest[1].clone()], "grant-key").await?;
    }
    scene.line("a byte of a grant's sealed key", "enclave", "grant-key");
    let swapped = vec![honest[1].clone(), honest[0].clone()];
    refuse(scene, &session, swapped, "grant-signature").await?;
    scene.line("two owners' grants swapped", "enclave", "grant-signature");
    refuse(scene, &session, honest[..1].to_vec(), "grant-count").await?;
    scene.line("a grant left out", "enclave", "grant-count");

    second_enclave(scene, &session, &honest).await?;

    // After all that, the honest grants still open, and the job runs to its end.
    scene.host.hand_over(&scene.enclave.address, &session.attested, honest).await?;
    scene.host.load_all(&scene.enclave.address, &session.material, &session.attested).await?;
    let releases = scene.host.follow(&scene.enclave.address, &session.attested, 0).await?;
    anyhow::ensure!(releases.len() == session.material.job.value.releases() as usize);
    scene.nothing_charged()?;
    scene.honest().await.map(drop)
}

/// The enclave refuses, and its session is as it was.
async fn refuse(
    scene: &Scene,
    session: &Session,
    grants: Vec<SealedGrant>,
    code: &str,
) -> Result<()> {
    let enclave = &scene.enclave.address;
    expect(scene.host.hand_over(enclave, &session.attested, grants).await, &Enclave, code)?;
    let state = scene.host.status(enclave).await?.state;
    anyhow::ensure!(state == SessionState::Attested, "the enclave is {state:?}");
    Ok(())
}

/// The same program in a second process: another key, another transcript.
async fn second_enclave(scene: &mut Scene, first: &Session, grants: &[SealedGrant]) -> Result<()> {
    let program = scene.world.programs.enclave();
    let second = EnclaveProcess::start(&scene.world, "enclave-2", &program, "vendor")?;
    let host = &scene.host;

    // 1. It has no session at all.
    let replayed = host.hand_over(&second.address, &first.attested, grants.to_vec()).await;
    expect(replayed, &Enclave, "transcript-other")?;

    // 2. It is offered the same job with the same challenges.
    let brokers = host.brokers(&first.material)?;
    let mut offer = host.offer(&first.material, &brokers).await?;
    let own = cloister_protocol::transcript::Transcript::from_bytes(&first.attested.transcript)?.0;
    offer.nonces = own.nonces;
    let attested = host.attest(&second.address, offer, &first.material).await?;
    let replayed = host.hand_over(&second.address, &attested, grants.to_vec()).await;
    expect(replayed, &Enclave, "grant-transcript")?;

    // 3. The brokers grant nothing for those challenges again.
    let request = relay::grant_request(&first.material, &attested);
    let session = Session { material: first.material.clone(), brokers, attested };
    for owner in 0..2 {
        let asked = ask(scene, &session, owner, request.clone()).await;
        expect(asked, &broker(owner), "nonce-used")?;
    }
    scene.nothing_charged()?;

    // 4. With grants of its own, the other's sealed key in one of them.
    let fresh = scene.attest_by(&second, scene.material()?, |_| ()).await?;
    let cost = fresh.material.job.value.cost;
    let own = scene.host.grants(&fresh.material, &fresh.brokers, &fresh.attested).await?;
    scene.charged_since(cost)?;
    let mixed = SealedGrant { grant: own[0].grant.clone(), sealed: grants[0].sealed.clone() };
    let mixed = vec![mixed, own[1].clone()];
    let replayed = scene.host.hand_over(&second.address, &fresh.attested, mixed).await;
    expect(replayed, &Enclave, "grant-key")?;

    scene.line(
        "a grant replayed to a second enclave, which is idle",
        "enclave",
        "transcript-other",
    );
    scene.line("... which attested the same job", "enclave", "grant-transcript");
    scene.line("... its challenges attested twice", "each broker", "nonce-used");
    scene.line("... its sealed key beside an honest grant", "enclave", "grant-key");
    Ok(())
}
