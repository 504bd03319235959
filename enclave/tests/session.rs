//! The enclave as its host sees it: a Unix socket, real grants, real data, real workers.

mod common;

use std::time::{Duration, Instant};

use cloister_protocol::{
    Digest, Id,
    frames::{Reply, Request, SessionState},
    release::{Receipt, Stage},
    transcript::Transcript,
};
use common::{Fixture, guests, host::Running, seal, stream};
use safetensors::SafeTensors;

/// Bytes of a whole sealed chunk, and of salt and commitment.
const SEALED_CHUNK: usize = cloister_protocol::dataset::SEALED_CHUNK;
const PREFIX: usize = cloister_protocol::dataset::PREFIX;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_in_receipts_that_verify() {
    let enclave = Running::start().await;
    let mut fixture = Fixture::new(guests::benign());
    fixture.measure(1 << 20);
    assert_eq!(enclave.status().await.state, SessionState::Idle);
    let session = enclave.offer(&fixture).await.unwrap();
    assert_eq!(enclave.status().await.state, SessionState::Attested);
    assert_eq!(enclave.status().await.transcript, Some(session.id));
    enclave.begin(&fixture, &session).await;
    let begun = Instant::now();
    let releases = enclave.follow(session.id, 0).await.unwrap();
    assert_eq!(enclave.status().await.state, SessionState::Released);

    // One centring release, three rounds and metrics, none before its time.
    assert_eq!(releases.len(), 5);
    let schedule = fixture.job.schedule;
    let earliest = schedule.first_ms + 4 * schedule.interval_ms;
    assert!(begun.elapsed() >= Duration::from_millis(earliest - 50));

    let mut previous = None;
    for (number, released) in releases.iter().enumerate() {
        let receipt = Receipt::from_bytes(&released.receipt).unwrap();
        let checked = receipt.check(&released.tensors).unwrap();
        assert_eq!(checked.release.value.number as usize, number);
        assert_eq!(checked.release.value.previous, previous);
        assert_eq!(checked.transcript_id, session.id);
        assert_eq!(receipt.evidence.to_vec(), session.evidence);
        previous = Some(checked.release.id);
        let tensors = SafeTensors::deserialize(&released.tensors).unwrap();
        let mut names = tensors.names();
        names.sort_unstable();
        let expected: &[&str] = match checked.release.value.stage {
            Stage::Centring => &["centre", "first_model", "noised_sum"],
            Stage::Round(3) => &["accuracy", "final_model", "loss", "model", "noised_sum"],
            Stage::Round(_) => &["accuracy", "loss", "model", "noised_sum"],
            Stage::Metrics => &["metrics", "noised_sum"],
        };
        assert_eq!(names, expected);
        let numbers = if number == 4 { 4 } else { 2 };
        assert_eq!(tensors.tensor("noised_sum").unwrap().shape(), [numbers]);
        let mut altered = released.tensors.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert!(receipt.check(&altered).is_err());
    }
    let charged: u64 = releases
        .iter()
        .map(|released| Receipt::from_bytes(&released.receipt).unwrap())
        .map(|receipt| receipt.check_release().cost)
        .sum();
    assert_eq!(charged, fixture.job.cost);

    // The evidence is a document over this very transcript.
    let binding = session.id.digest().as_bytes();
    assert!(session.evidence.windows(64).any(|window| window == binding));

    // Asked again, from anywhere, the same bytes.
    assert_eq!(enclave.follow(session.id, 0).await.unwrap(), releases);
    assert_eq!(enclave.follow(session.id, 3).await.unwrap(), releases[3..]);
    assert_eq!(enclave.follow(session.id, 5).await.unwrap(), []);
    assert_eq!(enclave.follow(session.id, 6).await, Err("release-number".into()));

    // A new job may follow, and forgets the old one.
    let again = enclave.offer(&fixture).await.unwrap();
    assert_ne!(again.id, session.id);
    assert_eq!(enclave.follow(session.id, 0).await, Err("transcript-other".into()));
}

trait ReleaseOf {
    fn check_release(&self) -> cloister_protocol::release::Release;
}
impl ReleaseOf for Receipt {
    fn check_release(&self) -> cloister_protocol::release::Release {
        self.release.open_by_anyone().unwrap().value
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_follow_from_released_sums_alone() {
    let enclave = Running::start().await;
    let fixture = Fixture::new(guests::benign());
    let releases = enclave.run(&fixture).await;
    let job = &fixture.job;
    // What the job's documentation says, by hand.
    let (mut model, mut velocity) = ([0.0_f64; 2], [0.0_f64; 2]);
    let mut iterates = Vec::new();
    for released in &releases[1..] {
        let file = SafeTensors::deserialize(&released.tensors).unwrap();
        let words = |name: &str| -> Vec<[u8; 8]> {
            let data = file.tensor(name).unwrap().data();
            data.chunks_exact(8).map(|word| word.try_into().unwrap()).collect()
        };
        let sum = words("noised_sum").into_iter().map(i64::from_le_bytes);
        for (index, sum) in sum.enumerate() {
            let mean = sum as f64 * job.gate.clip / job.gate.steps as f64 / job.units() as f64;
            velocity[index] = job.server.momentum * velocity[index] + mean;
            model[index] -= job.server.rate * velocity[index];
        }
        iterates.push(model);
        let found: Vec<_> = words("model").into_iter().map(f64::from_le_bytes).collect();
        assert_eq!(found, model);
        if file.tensor("final_model").is_ok() {
            let found: Vec<_> = words("final_model").into_iter().map(f64::from_le_bytes).collect();
            let [.., one, two] = iterates[..] else { panic!("three rounds") };
            let average = |index: usize| f64::midpoint(one[index], two[index]);
            assert_eq!(found, [average(0), average(1)]);
        }
    }
    assert_eq!(iterates.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_good_for_one_session_only() {
    let enclave = Running::start().await;
    let fixture = Fixture::new(guests::benign());
    let first = enclave.offer(&fixture).await.unwrap();
    let old = fixture.grants(&first.transcript);
    // The same offer again: another session, another transcript.
    let second = enclave.offer(&fixture).await.unwrap();
    assert_eq!(enclave.grant(first.id, old.clone()).await, Err("transcript-other".into()));
    assert_eq!(enclave.grant(second.id, old.clone()).await, Err("grant-transcript".into()));

    // Every other rule of a grant, each with its own code.
    let (transcript, id) = Transcript::from_bytes(&second.transcript).unwrap();
    let good = fixture.grants(&second.transcript);
    let with = |change: &dyn Fn(&mut cloister_protocol::grant::Grant)| {
        let first = fixture.grant(&fixture.owned[0], &transcript, id, |grant| change(grant));
        vec![first, good[1].clone()]
    };
    for (grants, code) in [
        (vec![good[0].clone()], "grant-count"),
        (vec![good[1].clone(), good[0].clone()], "grant-signature"),
        (with(&|grant| grant.dataset = Id::new(Digest::of("test", &[]))), "grant-dataset"),
        (with(&|grant| grant.policy = Digest::of("test", &[])), "grant-policy"),
        (with(&|grant| grant.cost -= 1), "grant-cost"),
    ] {
        assert_eq!(enclave.grant(second.id, grants).await, Err(code.into()));
    }
    // The key of an older session's grant in a good grant's place.
    let mixed = cloister_protocol::grant::SealedGrant {
        grant: good[0].grant.clone(),
        sealed: old[0].sealed.clone(),
    };
    let mixed = enclave.grant(second.id, vec![mixed, good[1].clone()]).await;
    assert_eq!(mixed, Err("grant-key".into()));

    // None of that has hurt the session.
    assert_eq!(enclave.grant(second.id, good.clone()).await, Ok(()));
    assert_eq!(enclave.grant(second.id, good).await, Err("state".into()));
    assert_eq!(enclave.status().await.state, SessionState::Granted);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_data_is_refused_and_the_next_job_works() {
    let enclave = Running::start().await;
    // Three chunks and a bit of something that is no table.
    let noise: Vec<u8> =
        (0..3 * 16_384 + 5_usize).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let fixture = Fixture::with_data(guests::benign(), vec![seal(&noise, 4, 3, 2)]);
    let body = &fixture.owned[0].body;
    let session = enclave.offer(&fixture).await.unwrap();
    assert_eq!(enclave.load(session.id, 0, body).await, Err("state".into()));
    enclave.grant(session.id, fixture.grants(&session.transcript)).await.unwrap();

    let chunk = |k: usize| PREFIX + k * SEALED_CHUNK..PREFIX + (k + 1) * SEALED_CHUNK;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = body.clone();
        change(&mut body);
        body
    };
    for (what, body, code) in [
        ("flipped", with(&|b| b[PREFIX + 9] ^= 1), "body-chunk"),
        ("flipped in the last chunk", with(&|b| *b.last_mut().unwrap() ^= 1), "body-chunk"),
        (
            "swapped",
            with(&|b| {
                let second = b[chunk(1)].to_vec();
                b.copy_within(chunk(0), chunk(1).start);
                b[chunk(0)].copy_from_slice(&second);
            }),
            "body-chunk",
        ),
        ("repeated", with(&|b| b.copy_within(chunk(0), chunk(1).start)), "body-chunk"),
        ("dropped", with(&|b| drop(b.drain(chunk(1)))), "body-length"),
        ("salt", with(&|b| b[3] ^= 1), "body-commitment"),
        ("longer", with(&|b| b.push(0)), "body-length"),
        ("as sealed, and still no table", body.clone(), "dataset-format"),
    ] {
        assert_eq!(enclave.load(session.id, 0, &body).await, Err(code.into()), "{what}");
    }
    assert_eq!(enclave.load(session.id, 7, body).await, Err("load-index".into()));
    assert_eq!(enclave.status().await.state, SessionState::Granted);
    assert_eq!(enclave.follow(session.id, 0).await, Err("state".into()));

    // Nothing but abandoning makes room; then the next job works.
    let good = Fixture::new(guests::benign());
    assert_eq!(enclave.offer(&good).await.map(|_| ()), Err("busy".into()));
    assert_eq!(enclave.abandon(session.id).await, Ok(()));
    assert_eq!(enclave.status().await.state, SessionState::Idle);
    assert_eq!(enclave.run(&good).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_as_signed_are_refused() {
    let enclave = Running::start().await;
    let rows = stream(&[("a", [1.0, 2.0], 1.0), ("b", [1.0, 2.0], 0.0)]);
    let fixture = Fixture::with_data(guests::benign(), vec![seal(&rows, 2, 1, 2)]);
    let session = enclave.offer(&fixture).await.unwrap();
    enclave.grant(session.id, fixture.grants(&session.transcript)).await.unwrap();
    let loaded = enclave.load(session.id, 0, &fixture.owned[0].body).await;
    assert_eq!(loaded, Err("dataset-rows".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_or_vanished_host_disturbs_nothing() {
    let enclave = Running::start().await;
    let fixture = Fixture::new(guests::benign());
    // One connection says nothing, one stops in the middle of an offer.
    let silent = enclave.link().await;
    let mut torn = enclave.link().await;
    torn.send(&Request::Offer(Box::new(fixture.offer()))).await.unwrap();
    torn.send_bulk_bytes(&fixture.component[..10]).await.unwrap();
    let session = enclave.offer(&fixture).await.unwrap();
    drop(torn);
    enclave.grant(session.id, fixture.grants(&session.transcript)).await.unwrap();

    // One stops in the middle of a dataset; while it hangs, only that dataset waits.
    let (first, second) = (&fixture.owned[0].body, &fixture.owned[1].body);
    let mut stalled = enclave.link().await;
    let load = Request::Load { transcript: session.id, index: 0, length: first.len() as u64 };
    stalled.send(&load).await.unwrap();
    stalled.send_bulk_bytes(&first[..first.len() / 2]).await.ok();
    // Nothing tells from outside that the enclave has taken this in.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(enclave.load(session.id, 1, second).await, Ok(1));
    assert_eq!(enclave.load(session.id, 1, second).await, Err("load-again".into()));
    assert_eq!(enclave.load(session.id, 0, first).await, Err("load-busy".into()));
    drop(stalled);
    let missing = loop {
        match enclave.load(session.id, 0, first).await {
            Err(code) if code == "load-busy" => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other,
        }
    };
    assert_eq!(missing, Ok(0));

    // A follower that leaves does not stop the rounds.
    let mut leaving = enclave.link().await;
    leaving.send(&Request::Follow { transcript: session.id, from: 0 }).await.unwrap();
    assert!(matches!(leaving.receive().await.unwrap(), Reply::Release { .. } | Reply::Heartbeat));
    drop(leaving);
    let other = Fixture::new(guests::benign());
    assert_eq!(enclave.offer(&other).await.map(|_| ()), Err("busy".into()));
    assert_eq!(enclave.follow(session.id, 0).await.unwrap().len(), 4);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_job_says_so_and_makes_room() {
    let enclave = Running::start().await;
    let mut fixture = Fixture::new(guests::benign());
    fixture.job.schedule.first_ms = 1500;
    let session = enclave.offer(&fixture).await.unwrap();
    enclave.begin(&fixture, &session).await;
    assert_eq!(enclave.status().await.state, SessionState::Running);
    let id = session.id;
    let (followed, abandoned) = tokio::join!(enclave.follow(id, 0), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        enclave.abandon(id).await
    });
    assert_eq!(abandoned, Ok(()));
    assert_eq!(followed, Err("abandoned".into()));
    assert_eq!(enclave.status().await.state, SessionState::Idle);
    fixture.job.schedule.first_ms = 100;
    assert_eq!(enclave.run(&fixture).await.len(), 4);
}

/// A host that abandons a job in the middle of a round must not see when the work of that
/// round is done: the end comes when the release would have, whatever the code did.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_abandoned_job_tells_nothing_about_its_work() {
    let enclave = Running::start().await;
    for component in [guests::benign(), guests::trapping(), guests::looping_for_some()] {
        let mut fixture = Fixture::new(component);
        fixture.job.schedule.first_ms = 1200;
        let session = enclave.offer(&fixture).await.unwrap();
        let before = Instant::now();
        enclave.begin(&fixture, &session).await;
        enclave.abandon(session.id).await.unwrap();
        assert_eq!(enclave.offer(&fixture).await.map(|_| ()), Err("busy".into()));
        while enclave.status().await.state == SessionState::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ended = before.elapsed();
        assert!(ended >= Duration::from_millis(1200), "it ended after {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_a_clock_of_their_own() {
    let enclave = Running::start().await;
    let mut fixture = Fixture::new(guests::benign());
    fixture.job.schedule.first_ms = 60_000;
    let session = enclave.offer(&fixture).await.unwrap();
    enclave.begin(&fixture, &session).await;
    // Two followers that came at different times hear the same beats.
    let mut first = enclave.link().await;
    let mut second = enclave.link().await;
    let follow = Request::Follow { transcript: session.id, from: 0 };
    first.send(&follow).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    second.send(&follow).await.unwrap();
    let mut beats = Vec::new();
    for turn in 0..4 {
        let link = if turn % 2 == 0 { &mut first } else { &mut second };
        assert!(matches!(link.receive().await.unwrap(), Reply::Heartbeat));
        beats.push(Instant::now());
    }
    let between = |a: usize, b: usize| beats[b].duration_since(beats[a]).as_millis();
    assert!(between(0, 1) < 400, "{}", between(0, 1));
    assert!((600..1600).contains(&between(1, 2)), "{}", between(1, 2));
    assert!(between(2, 3) < 400, "{}", between(2, 3));
    enclave.abandon(session.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_code_ends_in_the_same_form() {
    let enclave = Running::start().await;
    let good = enclave.run(&Fixture::new(guests::benign())).await;
    // (Certificates in the simulated evidence differ by a byte from one to the next.)
    let lengths = |releases: &[common::host::Released]| -> Vec<(usize, usize)> {
        let release = |released: &common::host::Released| {
            let receipt = Receipt::from_bytes(&released.receipt).unwrap();
            (receipt.release.as_bytes().len(), released.tensors.len())
        };
        releases.iter().map(release).collect()
    };
    let expected = lengths(&good);
    for component in [guests::trapping(), guests::looping_for_some()] {
        let releases = enclave.run(&Fixture::new(component)).await;
        assert_eq!(lengths(&releases), expected);
        for released in &releases {
            let receipt = Receipt::from_bytes(&released.receipt).unwrap();
            receipt.check(&released.tensors).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused() {
    let enclave = Running::start().await;
    let mut link = enclave.link().await;
    link.send(&"hello").await.unwrap();
    match link.receive().await.unwrap() {
        Reply::Refused(refusal) => assert_eq!(refusal.code, "request"),
        other => panic!("{other:?}"),
    }
    assert_eq!(enclave.status().await.state, SessionState::Idle);
}
