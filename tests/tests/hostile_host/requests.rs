//! Lies to the brokers: an enclave has attested, and grants are asked for.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use cloister_host::relay::{self, Material, RelayError};
use cloister_protocol::{
    Digest, SigningKey,
    brokering::GrantRequest,
    grant::SealedGrant,
    hpke::{self, HpkeKeyPair},
    transcript::{Nonce, Transcript},
};
use cloister_simulated::{LEAF_LIFETIME, Pcrs, UnixTime, Vendor};
use cloister_tests::{guests, orders, played::EnclaveProcess};
use serde_bytes::ByteArray;

use super::{
    bytes::{flipped, flipped_signed, flipped_value},
    scene::{Scene, Session, broker, expect},
};

/// Owner alpha's broker, which is asked first.
const ALPHA: usize = 0;
/// Owner beta's broker.
const BETA: usize = 1;

pub async fn cases(scene: &mut Scene) -> Result<()> {
    altered_requests(scene).await?;
    nonces(scene).await?;
    jobs(scene).await
}

/// Asks an owner's broker.
pub async fn ask(
    scene: &Scene,
    session: &Session,
    owner: usize,
    request: GrantRequest,
) -> Result<Vec<SealedGrant>, RelayError> {
    scene.host.grant(&session.brokers[owner], request).await
}

/// Attests as an honest host, asks one broker as a hostile one. `altered` gives the altered
/// requests: each has to be refused with the same code.
async fn each_refused(
    scene: &mut Scene,
    lie: &str,
    code: &str,
    altered: impl FnOnce(&GrantRequest) -> Vec<GrantRequest>,
) -> Result<()> {
    let session = scene.attest(scene.material()?, |_| ()).await?;
    let honest = relay::grant_request(&session.material, &session.attested);
    let mut requests = altered(&honest);
    let last = requests.pop().with_context(|| format!("{lie}: nothing was altered"))?;
    for request in requests {
        let asked = ask(scene, &session, ALPHA, request).await;
        expect(asked, &broker(ALPHA), code).with_context(|| lie.to_owned())?;
    }
    let asked = ask(scene, &session, ALPHA, last).await;
    scene.refused(lie, &broker(ALPHA), code, asked).await?;
    Ok(())
}

async fn altered_requests(scene: &mut Scene) -> Result<()> {
    each_refused(scene, "a byte of the job, to a broker", "job-signature", |honest| {
        let with = |job| GrantRequest { job, ..honest.clone() };
        flipped_signed(&honest.job, 10).map(with).collect()
    })
    .await?;
    each_refused(scene, "a byte of the code's manifest, to a broker", "code-signature", |honest| {
        let with = |code| GrantRequest { code, ..honest.clone() };
        flipped_signed(&honest.code, 10).map(with).collect()
    })
    .await?;
    each_refused(scene, "a byte of a header, to a broker", "dataset-manifest", |honest| {
        let with = |header| {
            let mut request = honest.clone();
            request.datasets[BETA].header = header;
            request
        };
        flipped_value(&honest.datasets[BETA].header, 30).map(with).collect()
    })
    .await?;
    each_refused(scene, "a byte of a manifest, to a broker", "dataset-manifest", |honest| {
        let with = |manifest| {
            let mut request = honest.clone();
            request.datasets[BETA].manifest = manifest;
            request
        };
        flipped_signed(&honest.datasets[BETA].manifest, 10).map(with).collect()
    })
    .await?;
    each_refused(scene, "a byte of the evidence", "evidence", |honest| {
        let with = |evidence: Vec<u8>| GrantRequest { evidence: evidence.into(), ..honest.clone() };
        flipped(&honest.evidence, 100).map(with).collect()
    })
    .await?;
    each_refused(scene, "the host's own key in the transcript", "evidence", |honest| {
        let mut transcript = read(honest);
        transcript.hpke_key = HpkeKeyPair::generate().public().to_vec().into();
        vec![GrantRequest { transcript: transcript.to_bytes().into(), ..honest.clone() }]
    })
    .await?;
    let earlier = scene.attest(scene.material()?, |_| ()).await?.attested.evidence;
    each_refused(scene, "evidence of an earlier transcript", "evidence", |honest| {
        vec![GrantRequest { evidence: earlier.into(), ..honest.clone() }]
    })
    .await
}

fn read(request: &GrantRequest) -> Transcript {
    let (transcript, _) = Transcript::from_bytes(&request.transcript).expect("the enclave's own");
    transcript
}

/// Challenges that the broker in question did not pose, or did not pose for this.
async fn nonces(scene: &mut Scene) -> Result<()> {
    let used = {
        let ran = scene.honest().await?;
        Transcript::from_bytes(&ran.attested.transcript)?.0.nonces
    };
    let session = scene.attest(scene.material()?, |offer| offer.nonces = used).await?;
    refused_by(scene, session, ALPHA, "a nonce of an earlier job", "nonce-used").await?;

    let session = scene
        .attest(scene.material()?, |offer| {
            for nonce in offer.nonces.values_mut() {
                *nonce = Nonce(ByteArray::new([7; 32]));
            }
        })
        .await?;
    refused_by(scene, session, ALPHA, "a nonce that the host made up", "nonce-unknown").await?;

    let session = scene
        .attest(scene.material()?, |offer| {
            let other: Vec<_> = offer.nonces.values().rev().copied().collect();
            for (nonce, other) in offer.nonces.values_mut().zip(other) {
                *nonce = other;
            }
        })
        .await?;
    refused_by(scene, session, ALPHA, "another broker's nonce", "nonce-unknown").await?;

    let session = scene.attest(scene.material()?, |_| ()).await?;
    let home = &scene.world.owners[ALPHA].home;
    let ledger = rusqlite::Connection::open(home.join("ledger.sqlite"))?;
    ledger.busy_timeout(Duration::from_secs(10))?;
    // Ten minutes in a moment: the broker's own note of until when is set back.
    let aged = ledger.execute("UPDATE nonces SET until = until - 700", [])?;
    ensure!(aged > 0, "no nonce is out");
    drop(ledger);
    refused_by(scene, session, ALPHA, "a nonce older than ten minutes", "nonce-expired").await
}

/// Asks honestly for what has been attested.
async fn refused_by(
    scene: &mut Scene,
    session: Session,
    owner: usize,
    lie: &str,
    code: &str,
) -> Result<()> {
    let request = relay::grant_request(&session.material, &session.attested);
    let asked = ask(scene, &session, owner, request).await;
    scene.refused(lie, &broker(owner), code, asked).await?;
    Ok(())
}

/// Jobs that an enclave admits and an owner does not.
async fn jobs(scene: &mut Scene) -> Result<()> {
    let material = scene.material_with(guests::for_everybody(guests::ZERO)?)?;
    attested(scene, material, "a component that nobody approved", "code-not-approved").await?;

    let mut job = orders::job(&scene.code, &scene.datasets)?;
    job.gate.sigma /= 32;
    orders::price(&mut job)?;
    let material = orders::material(&job, &scene.lab, &scene.code, &scene.datasets)?;
    attested(scene, material, "a job with less noise than the policy asks for", "job-budget")
        .await?;

    let material = scene.material_of(|job| job.purpose = "advertising".into())?;
    attested(scene, material, "a purpose that the policy does not have", "job-purpose").await?;

    let (stranger, _) = SigningKey::generate()?;
    let job = orders::job(&scene.code, &scene.datasets)?;
    let material = orders::material(&job, &stranger, &scene.code, &scene.datasets)?;
    attested(scene, material, "a job signed by a stranger", "job-orchestrator").await?;

    let material = scene.material_of(|job| job.not_after = 1_000_000)?;
    attested(scene, material, "a job of long ago", "job-expired").await?;

    let alone = scene.material_on(&scene.datasets[..1])?;
    attested(scene, alone, "an owner alone", "cohort-owners").await?;

    let few = scene.material_on(&scene.few)?;
    attested(scene, few, "a cohort too small", "cohort-units").await?;

    let material = scene.material()?;
    let session = scene
        .attest(material, |offer| offer.policies[ALPHA] = Digest::of("policy", &[b"mild"]))
        .await?;
    refused_by(scene, session, ALPHA, "another policy than the owner's", "policy-outdated").await
}

/// The enclave attests the job, and alpha's broker refuses it.
async fn attested(scene: &mut Scene, material: Material, lie: &str, code: &str) -> Result<()> {
    let session = scene.attest(material, |_| ()).await.with_context(|| lie.to_owned())?;
    refused_by(scene, session, ALPHA, lie, code).await
}

/// An enclave whose program has one byte more, and one that another vendor vouches for.
pub async fn enclaves_that_are_not_approved(scene: &mut Scene) -> Result<()> {
    let program = scene.world.root.join("cloister-enclave");
    fs::copy(scene.world.programs.enclave(), &program)?;
    {
        use std::io::Write as _;
        fs::File::options().append(true).open(&program)?.write_all(&[0])?;
    }
    let altered = EnclaveProcess::start(&scene.world, "enclave-altered", &program, "vendor")?;
    let session = scene.attest_by(&altered, scene.material()?, |_| ()).await?;
    let request = relay::grant_request(&session.material, &session.attested);
    let asked = ask(scene, &session, ALPHA, request).await;
    let lie = "an enclave whose program has one byte more";
    let why = scene.refused(lie, &broker(ALPHA), "evidence", asked).await?;
    ensure!(why.contains("pcrs.image"), "the measurement is not named: {why}");
    drop(altered);
    fs::remove_file(program)?;

    scene.world.enclave(&["vendor", "vendor-2"])?;
    let program = scene.world.programs.enclave();
    let foreign = EnclaveProcess::start(&scene.world, "enclave-foreign", &program, "vendor-2")?;
    let session = scene.attest_by(&foreign, scene.material()?, |_| ()).await?;
    refused_by(scene, session, ALPHA, "an enclave under another vendor's root", "evidence").await
}

/// What if an enclave that the policy approves let everything pass? The brokers check
/// for themselves. The test signs the evidence with the simulated vendor's key.
pub async fn a_broken_enclave(scene: &mut Scene) -> Result<()> {
    let mut tables = scene.datasets.clone();
    tables.push(scene.few[ALPHA].clone());
    let apart = scene.material_on(&tables)?;
    let lie = "two tables of one population, apart, if the enclave let it pass";
    forged(scene, apart, lie, "population-apart").await?;

    tables.swap(1, 2);
    let joined = scene.material_on(&tables)?;
    let lie = "two tables that cannot be joined, if the enclave let it pass";
    forged(scene, joined, lie, "dataset-join").await?;

    let cheaper = scene.material_of(|job| job.gate.sigma /= 16)?;
    let lie = "less noise than the cost says, if the enclave let it pass";
    forged(scene, cheaper, lie, "cost-mismatch").await
}

async fn forged(scene: &mut Scene, material: Material, lie: &str, code: &str) -> Result<()> {
    let brokers = scene.host.brokers(&material)?;
    let offer = scene.host.offer(&material, &brokers).await?;
    let (signing, _) = SigningKey::generate()?;
    let transcript = Transcript {
        version: 1,
        role: material.job.value.role,
        suite: hpke::SUITE.into(),
        nonces: offer.nonces,
        hpke_key: HpkeKeyPair::generate().public().to_vec().into(),
        signing_key: *signing.public(),
        job: material.job.id,
        code: material.job.value.code,
        datasets: material.datasets.iter().map(|dataset| dataset.id).collect(),
        policies: offer.policies,
    };
    let request = GrantRequest {
        transcript: transcript.to_bytes().into(),
        evidence: vouch(scene, &transcript)?.into(),
        job: material.signed.clone(),
        code: material.code.manifest.clone(),
        datasets: material.proofs(),
    };
    let asked = scene.host.grant(&brokers[ALPHA], request).await;
    scene.refused(lie, &broker(ALPHA), code, asked).await?;
    Ok(())
}

/// Evidence of the approved program, by whoever has the simulated vendor's key.
fn vouch(scene: &Scene, transcript: &Transcript) -> Result<Vec<u8>> {
    let vendor =
        Vendor::from_pem(&fs::read_to_string(scene.world.root.join("vendor/vendor.pem"))?)?;
    let measured = fs::read_to_string(scene.world.root.join("measurements.toml"))?;
    let measured: toml::Table = toml::from_str(&measured)?;
    let pcrs = measured["simulated"][0]["pcrs"].as_table().context("no registers")?;
    let mut registers = Pcrs::new();
    for (index, value) in pcrs {
        let value = hex::decode(value.as_str().context("a register is hexadecimal")?)?;
        let value = value.try_into().ok().context("a register has 48 bytes")?;
        registers.insert(index.parse()?, value);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let leaf = vendor.leaf(UnixTime::since_unix_epoch(now), LEAF_LIFETIME)?;
    let binding = *transcript.id().digest().as_bytes();
    Ok(leaf.document(&binding, None, &registers, now.as_secs() * 1000)?)
}
