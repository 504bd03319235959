//! An owner's home that somebody has been at: policies and approvals that were altered,
//! and older ones that were put back.

use std::fs;

use anyhow::{Context, Result, ensure};
use cloister_host::relay;

use super::{
    bytes::flipped,
    scene::{OWNERS, Scene, broker, expect},
};

/// Beta's home is the one.
const BETA: usize = 1;

pub async fn cases(scene: &mut Scene) -> Result<()> {
    altered_policy(scene).await?;
    older_policy(scene).await?;
    approvals(scene).await
}

async fn altered_policy(scene: &mut Scene) -> Result<()> {
    let path = scene.world.owners[BETA].home.join("policy.cloister");
    let honest = fs::read(&path)?;
    let material = scene.material()?;
    let brokers = scene.host.brokers(&material)?;
    let session = scene.attest(material, |_| ()).await?;
    let request = relay::grant_request(&session.material, &session.attested);
    for altered in flipped(&honest, 30) {
        fs::write(&path, altered)?;
        let asked = scene.host.challenge(&brokers[BETA]).await;
        expect(asked, &broker(BETA), "policy-unusable")?;
        let asked = scene.host.grant(&brokers[BETA], request.clone()).await;
        expect(asked, &broker(BETA), "policy-unusable")?;
    }
    fs::write(&path, honest)?;
    scene.nothing_charged()?;
    scene.honest().await?;
    scene.line("a byte of the policy", &broker(BETA).to_string(), "policy-unusable");
    Ok(())
}

async fn older_policy(scene: &mut Scene) -> Result<()> {
    let path = scene.world.owners[BETA].home.join("policy.cloister");
    let older = fs::read(&path)?;

    // 1. The owner changes its mind between challenge and grant.
    let session = scene.attest(scene.material()?, |_| ()).await?;
    scene.new_policy(BETA, &|text| text)?;
    let request = relay::grant_request(&session.material, &session.attested);
    let asked = scene.host.grant(&session.brokers[BETA], request).await;
    let lie = "a transcript that names an older policy";
    scene.refused(lie, &broker(BETA), "policy-outdated", asked).await?;

    // 2. Somebody puts the older file back, signed as it is.
    let newer = fs::read(&path)?;
    fs::write(&path, &older)?;
    let material = scene.material()?;
    let brokers = scene.host.brokers(&material)?;
    let asked = scene.host.challenge(&brokers[BETA]).await;
    expect(asked, &broker(BETA), "policy-rollback")?;
    scene.line("an older policy put back", &broker(BETA).to_string(), "policy-rollback");

    // 3. Nor does a broker start with it.
    scene.world.owners[BETA].broker = None;
    let started = scene.world.start_broker(BETA);
    let why = started.err().context("a broker started with an older policy")?.to_string();
    ensure!(why.contains("policy-rollback"), "{why}");
    scene.line(
        "a broker started with an older policy",
        &broker(BETA).to_string(),
        "policy-rollback",
    );
    fs::write(&path, newer)?;
    scene.world.start_broker(BETA)?;
    scene.nothing_charged()?;
    scene.honest().await.map(drop)
}

async fn approvals(scene: &mut Scene) -> Result<()> {
    let approval = |scene: &Scene, owner: usize| -> Result<_> {
        let folder = scene.world.owners[owner].home.join("approvals");
        let entry = fs::read_dir(folder)?.next().context("no approval")?;
        Ok(entry?.path())
    };
    let path = approval(scene, BETA)?;
    let honest = fs::read(&path)?;
    let session = scene.attest(scene.material()?, |_| ()).await?;
    let request = relay::grant_request(&session.material, &session.attested);
    for altered in flipped(&honest, 30) {
        fs::write(&path, altered)?;
        let asked = scene.host.grant(&session.brokers[BETA], request.clone()).await;
        expect(asked, &broker(BETA), "code-not-approved")?;
    }
    scene.line("a byte of an approval", &broker(BETA).to_string(), "code-not-approved");

    fs::copy(approval(scene, 0)?, &path)?;
    let asked = scene.host.grant(&session.brokers[BETA], request).await;
    expect(asked, &broker(BETA), "code-not-approved")?;
    let lie = format!("{}'s approval in {}'s home", OWNERS[0], OWNERS[BETA]);
    scene.line(&lie, &broker(BETA).to_string(), "code-not-approved");

    fs::write(&path, honest)?;
    scene.nothing_charged()?;
    scene.honest().await.map(drop)
}
