//! Lies in the offer, which the enclave refuses before a key is asked for.

use anyhow::{Result, ensure};
use cloister_host::relay::Source::Enclave;
use cloister_tests::guests;

use super::{
    bytes::{flipped, flipped_signed, flipped_value},
    scene::{Scene, complaint, expect},
};

pub async fn cases(scene: &mut Scene) -> Result<()> {
    signed_objects(scene).await?;
    components(scene).await?;

    let cheaper = scene.material_of(|job| job.gate.sigma /= 16)?;
    let offered = scene.attest(cheaper, |_| ()).await;
    let lie = "a job with less noise than its cost says";
    scene.refused(lie, &Enclave, "cost-mismatch", offered).await?;

    let mut tables = scene.datasets.clone();
    tables.push(scene.few[0].clone());
    let offered = scene.attest(scene.material_on(&tables)?, |_| ()).await;
    let lie = "two tables of one population, apart";
    scene.refused(lie, &Enclave, "job-invalid", offered).await?;

    tables.swap(1, 2);
    let offered = scene.attest(scene.material_on(&tables)?, |_| ()).await;
    let lie = "two tables of one population that cannot be joined";
    scene.refused(lie, &Enclave, "dataset-join", offered).await?;

    tables[1] = tables[0].clone();
    let offered = scene.attest(scene.material_on(&tables)?, |_| ()).await;
    scene.refused("a dataset twice in a job", &Enclave, "job-invalid", offered).await?;

    let material = scene.material()?;
    let leave_out = |offer: &mut cloister_protocol::frames::Offer| {
        offer.nonces.pop_first();
    };
    let offered = scene.attest(material, leave_out).await;
    scene.refused("a broker's nonce left out", &Enclave, "offer-nonces", offered).await?;
    Ok(())
}

/// One bit of whatever is signed, at many places.
async fn signed_objects(scene: &mut Scene) -> Result<()> {
    let material = scene.material()?;
    let brokers = scene.host.brokers(&material)?;
    let honest = scene.host.offer(&material, &brokers).await?;
    let first = &honest.datasets[0];
    let mut lies = Vec::new();
    for header in flipped_value(&first.header, 200) {
        let mut offer = honest.clone();
        offer.datasets[0].header = header;
        lies.push(("a byte of a dataset's header", "dataset-proof", offer));
    }
    for manifest in flipped_signed(&first.manifest, 20) {
        let mut offer = honest.clone();
        offer.datasets[0].manifest = manifest;
        lies.push(("a byte of a dataset's manifest", "dataset-proof", offer));
    }
    for job in flipped_signed(&honest.job, 20) {
        lies.push(("a byte of the job", "job-signature", honest.clone()));
        if let Some((_, _, offer)) = lies.last_mut() {
            offer.job = job;
        }
    }
    for code in flipped_signed(&honest.code, 20) {
        lies.push(("a byte of the code's manifest", "code-signature", honest.clone()));
        if let Some((_, _, offer)) = lies.last_mut() {
            offer.code = code;
        }
    }
    let mut seen = Vec::new();
    for (lie, code, offer) in lies {
        let offered = scene.host.attest(&scene.enclave.address, offer, &material).await;
        if seen.contains(&lie) {
            expect(offered, &Enclave, code)?;
        } else {
            scene.refused(lie, &Enclave, code, offered).await?;
            seen.push(lie);
        }
    }
    ensure!(seen.len() == 4, "only {seen:?} were tried");
    scene.nothing_charged()
}

/// Components that are not what was signed, or that want more than they get.
async fn components(scene: &mut Scene) -> Result<()> {
    let mut material = scene.material()?;
    let honest = material.code.component.clone();
    for (number, component) in flipped(&honest, 8).enumerate() {
        material.code.component = component.into();
        let offered = scene.attest(material.clone(), |_| ()).await;
        if number == 0 {
            let lie = "a byte of the component";
            scene.refused(lie, &Enclave, "code-component", offered).await?;
        } else {
            expect(offered, &Enclave, "code-component")?;
        }
    }

    let wasi = guests::importing_wasi()?;
    let material = scene.material_with(wasi.clone())?;
    let offered = scene.attest(material, |_| ()).await;
    let lie = "a component that imports something else";
    let why = scene.refused(lie, &Enclave, "code-import", offered).await?;
    ensure!(why.contains("wasi:cli/stdout@0.2.0"), "the import is not named: {why}");

    // Its author is told before anybody else is.
    let path = scene.world.root.join("wasi.wasm");
    std::fs::write(&path, wasi)?;
    let sign = ["code", "sign", "wasi.wasm", "--name", "w", "--version", "1", "--home", "author"];
    let mut command = scene.world.programs.cloister(&scene.world.root, &sign);
    let why = complaint(&mut command)?;
    ensure!(why.contains("wasi:cli/stdout@0.2.0"), "the import is not named: {why}");
    Ok(())
}
