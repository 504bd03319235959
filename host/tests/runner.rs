//! Jobs whose enclave hangs, lies or is lost, or whose data is gone: each ends, the next
//! one begins, and what was charged is said.

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use cloister_host::{
    Runner,
    launch::{Enclave, Launcher, ProcessLauncher},
    queue::{Failure, JobRecord, JobState, Queue},
    relay::Deadlines,
    store::Store,
};
use cloister_link::{Address, Link, Listener};
use cloister_party::{Cbor, Home, Role, Server};
use cloister_protocol::{
    Digest, Id, Signed, SigningKey,
    brokering::{Challenge, GrantResponse},
    cbor,
    frames::{Refusal, Reply, Request, SessionState, Status},
    grant::{Grant, SealedGrant},
    hpke,
    job::JobRole,
    transcript::{Nonce, Transcript, TranscriptId},
};
use serde::Serialize;
use serde_bytes::{ByteArray, ByteBuf};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const FRAME: Duration = Duration::from_millis(300);
const RELEASES: u32 = 3;

/// What a stand-in for an enclave does, when it is not what an honest one would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The first one hangs when it is asked what it does.
    HangsOnStatus,
    /// The first one hangs when it is offered a job.
    HangsOnOffer,
    /// The first one works on an abandoned job for this many more questions.
    Busy(u32),
    /// Receipts come byte by byte, each in time.
    Drips,
    /// Releases go on after the last one.
    NeverEnds,
    /// It says that it runs the job, and does not know it when asked for the releases.
    Forgets,
    /// A dataset is refused.
    RefusesLoad,
}

struct Stage {
    fault: Fault,
    /// The transcript of every job: the host has no reason to look into it.
    transcript: Vec<u8>,
    id: TranscriptId,
    /// Questions for the status of the first enclave.
    asked: AtomicU32,
    follows: AtomicU32,
}

impl Stage {
    fn new(fault: Fault) -> Arc<Self> {
        let nothing = Digest::of("test", &[]);
        let transcript = Transcript {
            version: 1,
            role: JobRole::Both,
            suite: hpke::SUITE.into(),
            nonces: [].into(),
            hpke_key: vec![0; hpke::PUBLIC_KEY_LEN].into(),
            signing_key: *SigningKey::generate().unwrap().0.public(),
            job: Id::new(nothing),
            code: Id::new(nothing),
            datasets: vec![Id::new(nothing)],
            policies: vec![nothing],
        };
        let transcript = transcript.to_bytes();
        let (_, id) = Transcript::from_bytes(&transcript).unwrap();
        let (asked, follows) = (AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Self { fault, transcript, id, asked, follows })
    }

    /// One exchange with the enclave of this number, from 1.
    async fn exchange(&self, generation: usize, link: &mut Link) {
        let request: Request = link.receive().await.unwrap();
        let first = generation == 1;
        let reply = match request {
            Request::Status => {
                // The first question is the supervisor's: is it up?
                let asked = if first { self.asked.fetch_add(1, Ordering::SeqCst) } else { 0 };
                match self.fault {
                    Fault::HangsOnStatus if asked > 0 => return hang().await,
                    Fault::Busy(until) if (1..=until).contains(&asked) => self.running(),
                    Fault::Forgets if self.follows.load(Ordering::SeqCst) > 0 => self.running(),
                    _ => status(None, SessionState::Idle),
                }
            }
            Request::Offer(offer) => {
                if first && self.fault == Fault::HangsOnOffer {
                    return hang().await;
                }
                let length = offer.component_length;
                link.receive_bulk_bytes(length, length).await.unwrap();
                let busy = |until| self.asked.load(Ordering::SeqCst) <= until;
                if first && matches!(self.fault, Fault::Busy(until) if busy(until)) {
                    return link.send(&refused("busy")).await.unwrap();
                }
                let (transcript, evidence) = (self.transcript.clone().into(), vec![1].into());
                Reply::Attested { transcript, evidence }
            }
            Request::Grant { .. } => Reply::Granted,
            Request::Load { length, .. } => {
                if self.fault == Fault::RefusesLoad {
                    refused("body-memory")
                } else {
                    link.receive_bulk_bytes(length, length).await.unwrap();
                    Reply::Loaded { missing: 0 }
                }
            }
            Request::Follow { from, .. } => {
                let again = self.follows.fetch_add(1, Ordering::SeqCst) > 0;
                match self.fault {
                    Fault::Forgets if again => refused("transcript-other"),
                    // The connection is lost.
                    Fault::Forgets => return,
                    _ => return self.release(link, from).await,
                }
            }
            Request::Abandon { .. } => Reply::Abandoned,
        };
        link.send(&reply).await.unwrap();
    }

    fn running(&self) -> Reply {
        status(Some(self.id), SessionState::Running)
    }

    async fn release(&self, link: &mut Link, from: u32) {
        for number in from.. {
            if number == RELEASES && self.fault != Fault::NeverEnds {
                let _ = link.send(&Reply::Ended).await;
                return;
            }
            let release = Reply::Release { number, receipt_length: 1000, tensors_length: 3 };
            if link.send(&release).await.is_err() {
                return;
            }
            let step = if self.fault == Fault::Drips { 1 } else { 1000 };
            let receipt = [u8::try_from(number % 251).unwrap(); 1000];
            for piece in receipt.chunks(step) {
                if link.send_bulk_bytes(piece).await.is_err() {
                    return;
                }
                if step == 1 {
                    sleep(FRAME / 3).await;
                }
            }
            let _ = link.send_bulk_bytes(b"abc").await;
        }
    }
}

fn status(transcript: Option<TranscriptId>, state: SessionState) -> Reply {
    Reply::Status(Status { version: "0".into(), platform: "simulated".into(), transcript, state })
}

fn refused(code: &str) -> Reply {
    Reply::Refused(Refusal { code: code.into(), message: "as this test wants it".into() })
}

async fn hang() {
    sleep(Duration::from_mins(1)).await;
}

/// Answers where an enclave would. The process that the host starts only says that it was.
async fn play(stage: Arc<Stage>, folder: std::path::PathBuf) {
    let address = Address::Unix(folder.join("enclave.sock"));
    let mut generation = 0;
    let mut serving = None::<tokio::task::JoinHandle<()>>;
    loop {
        let started = starts(&folder);
        if started > generation {
            generation = started;
            if let Some(serving) = serving.take() {
                serving.abort();
                let _ = serving.await;
            }
            let mut listener = Listener::bind(&address, Duration::from_secs(5)).await.unwrap();
            let stage = stage.clone();
            serving = Some(tokio::spawn(async move {
                while let Ok(mut link) = listener.accept().await {
                    let stage = stage.clone();
                    tokio::spawn(async move {
                        stage.exchange(generation, &mut link).await;
                        link.finish().await;
                    });
                }
            }));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// How many enclaves were started.
fn starts(folder: &Path) -> usize {
    fs::read_to_string(folder.join("starts")).map_or(0, |text| text.lines().count())
}

struct World {
    folder: TempDir,
    stage: Arc<Stage>,
    queue: Queue,
    store: Arc<Store>,
    host: Home,
    job: Id<cloister_protocol::job::Job>,
    grants: Arc<AtomicU32>,
    dataset: String,
}

impl World {
    /// A job that waits, and everything that it needs.
    async fn new(fault: Fault) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let port = common::free_port();
        let host = common::party(root, Role::Host, "node", Some(common::free_port()));
        let owner = common::party(root, Role::Owner, "hospital", Some(port));
        let orchestrator = common::party(root, Role::Orchestrator, "trial", None);
        common::introduce(&host, &owner);
        let store = Arc::new(Store::open(&root.join("store")).unwrap());
        let queue = Queue::open(&root.join("queue.sqlite")).unwrap();

        let (key, (broker, _)) = (owner.signing_key().unwrap(), SigningKey::generate().unwrap());
        let (file, _) = common::sealed(&key, broker.id(), 200_000);
        let mut upload = store.receive_dataset(key.id()).unwrap();
        upload.write(&file).unwrap();
        let dataset = upload.finish().unwrap().id;
        let (code, code_id) = common::code(&key);
        store.put_code(&code).unwrap();
        let job = common::job(code_id, dataset, key.id());
        let signed = Signed::sign(&job, &orchestrator.signing_key().unwrap()).unwrap();
        let job = signed.open_by_anyone().unwrap().id;
        queue.submit(&job, orchestrator.id(), &signed, RELEASES).unwrap();

        let stage = Stage::new(fault);
        let grants = Arc::new(AtomicU32::new(0));
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        let server = Server::bind(address, &owner).await.unwrap();
        let router = brokering(broker, stage.id, grants.clone());
        tokio::spawn(server.run(router, std::future::pending()));
        let dataset = dataset.to_string();
        Self { folder, stage, queue, store, host, job, grants, dataset }
    }

    /// Runs the job to its end.
    async fn run(&self) -> JobRecord {
        let root = self.folder.path().to_owned();
        let program = root.join("program");
        let text = format!("#!/bin/sh\necho x >> {}/starts\nexec sleep 300\n", root.display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let wrapper = env!("CARGO_BIN_EXE_cloister-host").into();
        let vendor = Path::new("vendor");
        let process = ProcessLauncher::simulated(wrapper, program, vendor, None, &root).unwrap();
        let deadlines = Deadlines {
            frame: FRAME,
            vacate: Duration::from_secs(1),
            late: Duration::from_secs(1),
            ..Deadlines::default()
        };
        let playing = tokio::spawn(play(self.stage.clone(), root));
        let (enclave, _) = Enclave::supervise(Launcher::Process(process), deadlines);
        let stop = CancellationToken::new();
        let runner = Runner {
            home: Arc::new(self.host.clone()),
            queue: self.queue.clone(),
            store: self.store.clone(),
            enclave: enclave.clone(),
            deadlines,
        };
        let running = tokio::spawn(runner.run(stop.clone()));
        let end = Instant::now() + Duration::from_secs(40);
        let job = loop {
            let job = self.queue.job(&self.job).unwrap();
            if job.state.is_final() {
                break job;
            }
            assert!(Instant::now() < end, "it does not end: {job:?}");
            sleep(Duration::from_millis(20)).await;
        };
        stop.cancel();
        running.await.unwrap();
        enclave.stop().await;
        playing.abort();
        job
    }

    fn starts(&self) -> usize {
        starts(self.folder.path())
    }
}

/// A broker that grants everything.
fn brokering(key: SigningKey, transcript: TranscriptId, grants: Arc<AtomicU32>) -> Router {
    #[derive(Serialize)]
    struct Noise {
        encapsulated: ByteBuf,
        ciphertext: ByteBuf,
    }
    let nothing = Digest::of("test", &[]);
    let challenge =
        Challenge { nonce: Nonce(ByteArray::new([1; 32])), broker: *key.public(), policy: nothing };
    let noise = Noise { encapsulated: vec![0; 1120].into(), ciphertext: vec![0; 64].into() };
    let grant = Grant {
        grant: ByteArray::new([1; 16]),
        transcript,
        dataset: Id::new(nothing),
        policy: nothing,
        cost: 1,
        order: None,
        ledger_head: nothing,
    };
    let grant = SealedGrant {
        grant: Signed::sign(&grant, &key).unwrap(),
        sealed: cbor::decode(&cbor::encode(&noise), 4096).unwrap(),
    };
    let granted = GrantResponse { grants: vec![grant] };
    Router::new().route("/v1/challenge", post(move || async move { Cbor(challenge) })).route(
        "/v1/grant",
        post(move || async move {
            grants.fetch_add(1, Ordering::SeqCst);
            Cbor(granted)
        }),
    )
}

fn failure(job: &JobRecord) -> &Failure {
    assert_eq!(job.state, JobState::Failed, "{job:?}");
    job.failure.as_ref().unwrap()
}

fn says_that_budget_is_gone(failure: &Failure) -> bool {
    failure.message.contains("counts as spent")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_enclave_ends_the_job() {
    let world = World::new(Fault::None).await;
    let job = world.run().await;
    assert_eq!((job.state, job.releases), (JobState::Done, RELEASES), "{job:?}");
    assert_eq!(world.starts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_hangs_is_started_anew_before_anything_is_charged() {
    for fault in [Fault::HangsOnStatus, Fault::HangsOnOffer] {
        let world = World::new(fault).await;
        let job = world.run().await;
        assert_eq!(job.state, JobState::Done, "{fault:?}: {job:?}");
        assert_eq!((world.starts(), world.grants.load(Ordering::SeqCst)), (2, 1), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_job_is_waited_for_and_then_ended_with_its_enclave() {
    for (fault, starts) in [(Fault::Busy(4), 1), (Fault::Busy(u32::MAX), 2)] {
        let world = World::new(fault).await;
        let job = world.run().await;
        assert_eq!(job.state, JobState::Done, "{fault:?}: {job:?}");
        assert_eq!(world.starts(), starts, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_comes_drop_by_drop_is_given_up() {
    let world = World::new(Fault::Drips).await;
    let job = world.run().await;
    assert_eq!(failure(&job).code, "release-late", "{job:?}");
    assert!(says_that_budget_is_gone(failure(&job)), "{job:?}");
    let left = fs::read_dir(world.folder.path().join("store/incoming")).unwrap().count();
    assert_eq!(left, 0, "half a receipt was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_after_the_last_release() {
    let world = World::new(Fault::NeverEnds).await;
    let job = world.run().await;
    assert_eq!((job.state, job.releases), (JobState::Done, RELEASES), "{job:?}");
    // Receipts, and the tensors that are the same each time.
    let kept = fs::read_dir(world.folder.path().join("store/releases")).unwrap().count();
    assert_eq!(kept, RELEASES as usize + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_lost_the_job_is_said_with_what_it_cost() {
    let world = World::new(Fault::Forgets).await;
    let job = world.run().await;
    assert_eq!(failure(&job).code, "enclave-lost", "{job:?}");
    assert!(says_that_budget_is_gone(failure(&job)), "{job:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_after_a_grant_says_that_budget_is_gone() {
    let world = World::new(Fault::RefusesLoad).await;
    let job = world.run().await;
    assert_eq!(failure(&job).code, "body-memory", "{job:?}");
    assert!(says_that_budget_is_gone(failure(&job)), "{job:?}");
}

/// Without looking before, the enclave would find out after the budget was spent.
#[tokio::test(flavor = "multi_thread")]
async fn data_that_the_disk_lost_costs_nothing() {
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 3] = [
        (|path| fs::remove_file(path).unwrap(), "No such file"),
        (|path| fs::write(path, &fs::read(path).unwrap()[..100_000]).unwrap(), "ends before"),
        (
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[150_000] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            "its hash",
        ),
    ];
    for (damage, says) in damages {
        let world = World::new(Fault::None).await;
        damage(&world.folder.path().join("store/datasets").join(&world.dataset));
        let job = world.run().await;
        let failure = failure(&job);
        assert_eq!(failure.code, "dataset-damaged", "{job:?}");
        assert!(failure.message.contains(says), "{}", failure.message);
        assert!(failure.message.contains("upload it again"), "{}", failure.message);
        assert!(!says_that_budget_is_gone(failure), "{}", failure.message);
        assert_eq!(world.grants.load(Ordering::SeqCst), 0);
    }
}
