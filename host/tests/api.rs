//! Who may ask what, over real TLS between real parties on loopback.

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use cloister_host::{
    Api,
    config::HostConfig,
    launch::Enclave,
    queue::{JobState, Queue, ReleaseRecord},
    relay::Deadlines,
    store::Store,
};
use cloister_party::{Client, ClientError, Home, Role, Server};
use cloister_protocol::{Id, Signed, job::Job, release::DatasetProof};
use serde_json::Value;
use std::io::{Read, Write};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A host that listens, everybody who is enrolled with it, and one who is not. There is
/// no enclave: the program that host.toml names does not exist.
struct World {
    /// Serves until it is dropped.
    _runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
    folder: TempDir,
    store: Arc<Store>,
    queue: Queue,
    host: Home,
    owner: Home,
    other_owner: Home,
    orchestrator: Home,
    other_orchestrator: Home,
    author: Home,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let port = common::free_port();
        let host = common::party(root, Role::Host, "node", Some(port));
        let owner = common::party(root, Role::Owner, "hospital-a", Some(1));
        let other_owner = common::party(root, Role::Owner, "hospital-b", Some(2));
        let orchestrator = common::party(root, Role::Orchestrator, "trial", None);
        let other_orchestrator = common::party(root, Role::Orchestrator, "rival", None);
        let author = common::party(root, Role::Author, "author", None);
        for peer in [&owner, &other_owner, &orchestrator, &other_orchestrator, &author] {
            common::introduce(&host, peer);
        }

        let stop = CancellationToken::new();
        let store = Arc::new(Store::open(&root.join("store")).unwrap());
        let queue = Queue::open(&root.join("queue.sqlite")).unwrap();
        let (api_store, api_queue) = (store.clone(), queue.clone());
        let (serving, stopped) = (host.clone(), stop.clone());
        runtime.block_on(async move {
            let server =
                Server::bind(format!("127.0.0.1:{port}").parse().unwrap(), &serving).await.unwrap();
            let enclave = no_enclave(serving.path());
            let platform = "simulated".to_owned();
            let api = Api::new(Arc::new(serving), api_store, api_queue, enclave, platform);
            tokio::spawn(server.run(api.router(), stopped.cancelled_owned()));
        });
        Self {
            _runtime: runtime,
            stop,
            folder,
            store,
            queue,
            host,
            owner,
            other_owner,
            orchestrator,
            other_orchestrator,
            author,
        }
    }

    fn as_(&self, home: &Home) -> Client {
        common::client(home, &self.host)
    }

    /// A dataset of the first owner that is on the host.
    fn stored_dataset(&self) -> (Vec<u8>, String) {
        let key = self.owner.signing_key().unwrap();
        let (file, _) = common::sealed(&key, key.id(), 100_000);
        let answer: Value = put(&self.as_(&self.owner), "/v1/datasets", &file).unwrap();
        (file, answer["id"].as_str().unwrap().to_owned())
    }

    /// A job of the first orchestrator over what is on the host.
    fn job(&self) -> (Signed<Job>, Id<Job>) {
        let (_, dataset) = self.stored_dataset();
        let dataset = Id::new(cloister_protocol::Digest::from_hex(&dataset).unwrap());
        let (file, code) = common::code(&self.author.signing_key().unwrap());
        put(&self.as_(&self.author), "/v1/code", &file).unwrap();
        let job = common::job(code, dataset, *self.owner.id());
        let signed = Signed::sign(&job, &self.orchestrator.signing_key().unwrap()).unwrap();
        let id = signed.open_by_anyone().unwrap().id;
        (signed, id)
    }

    fn submit(&self, home: &Home, job: &[u8]) -> Result<Value, ClientError> {
        self.as_(home).post_bytes("/v1/jobs", job)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn no_enclave(home: &Path) -> Enclave {
    let config = HostConfig::from_toml(
        "listen = \"127.0.0.1:0\"\n\
         [enclave]\nplatform = \"simulated\"\ncommand = \"no-such-enclave\"\nvendor = \"v\"\n",
    )
    .unwrap();
    let wrapper = env!("CARGO_BIN_EXE_cloister-host").into();
    let launcher = config.launcher(home, home, wrapper).unwrap();
    Enclave::supervise(launcher, Deadlines::default()).0
}

fn put(client: &Client, path: &str, bytes: &[u8]) -> Result<Value, ClientError> {
    client.put_stream(path, bytes, bytes.len() as u64, |_| {})
}

/// Status and code of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer.unwrap_err() {
        ClientError::Refused { status, refusal, .. } => (status, refusal.code),
        other => panic!("not a refusal: {other}"),
    }
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn an_owner_uploads_its_own_dataset_and_nobody_else_does() {
    let world = World::new();
    let (file, id) = world.stored_dataset();
    // Again: no error, no second dataset.
    assert_eq!(put(&world.as_(&world.owner), "/v1/datasets", &file).unwrap()["id"], id.as_str());
    assert_eq!(world.store.datasets().len(), 1);

    let upload = |home: &Home| refusal(put(&world.as_(home), "/v1/datasets", &file));
    assert_eq!(upload(&world.other_owner), refused(403, "dataset-owner"));
    assert_eq!(upload(&world.orchestrator), refused(403, "role"));
    assert_eq!(upload(&world.author), refused(403, "role"));

    let mut altered = file.clone();
    altered[50_000] ^= 1;
    let answer = put(&world.as_(&world.owner), "/v1/datasets", &altered);
    assert_eq!(refusal(answer), refused(422, "dataset-body"));
    let answer = put(&world.as_(&world.owner), "/v1/datasets", b"not a dataset");
    assert_eq!(refusal(answer), refused(422, "dataset-layout"));
    assert_eq!(world.store.datasets().len(), 1);
}

#[test]
fn orchestrators_see_all_datasets_and_an_owner_only_its_own() {
    let world = World::new();
    let (_, id) = world.stored_dataset();
    let list = |home: &Home| world.as_(home).get_json::<Value>("/v1/datasets");
    let seen = list(&world.orchestrator).unwrap();
    assert_eq!(seen[0]["id"], id.as_str());
    assert_eq!(seen[0]["owner"], world.owner.id().to_string());
    assert_eq!(seen[0]["owner_name"], "hospital-a");
    assert_eq!(seen[0]["population"], "patients");
    assert_eq!((seen[0]["units"].as_u64(), seen[0]["rows"].as_u64()), (Some(20), Some(30)));
    assert_eq!(list(&world.owner).unwrap(), seen);
    assert_eq!(list(&world.other_owner).unwrap(), Value::Array(Vec::new()));
    assert_eq!(refusal(list(&world.author)), refused(403, "role"));

    let path = format!("/v1/datasets/{id}/proof");
    let proof = |home: &Home| world.as_(home).get_cbor::<DatasetProof>(&path, 1 << 20);
    assert_eq!(proof(&world.orchestrator).unwrap().check().unwrap().id.to_string(), id);
    assert!(proof(&world.owner).is_ok());
    assert_eq!(refusal(proof(&world.other_owner)), refused(404, "dataset-unknown"));
    let nothing = world.as_(&world.orchestrator).get_bytes("/v1/datasets/xy/proof", 1000);
    assert_eq!(refusal(nothing), refused(400, "identifier"));
}

#[test]
fn code_and_public_sets_come_from_those_who_need_them() {
    let world = World::new();
    let (file, id) = common::code(&world.author.signing_key().unwrap());
    for home in [&world.author, &world.owner, &world.orchestrator] {
        assert_eq!(put(&world.as_(home), "/v1/code", &file).unwrap()["id"], id.to_string());
    }
    let mut altered = file.clone();
    *altered.last_mut().unwrap() ^= 1;
    let answer = put(&world.as_(&world.author), "/v1/code", &altered);
    assert_eq!(refusal(answer).0, 422);

    let stored = put(&world.as_(&world.orchestrator), "/v1/public-sets", b"rows").unwrap();
    assert_eq!(stored["length"], 4);
    let digest = cloister_protocol::Digest::of("public-set", &[b"rows"]);
    assert_eq!(stored["digest"], digest.to_hex());
    assert_eq!(
        refusal(put(&world.as_(&world.owner), "/v1/public-sets", b"rows")),
        refused(403, "role")
    );
    assert_eq!(
        refusal(put(&world.as_(&world.orchestrator), "/v1/public-sets", b"")),
        refused(422, "empty")
    );
    let too_large = vec![0; 49 * 1024];
    assert_eq!(refusal(world.submit(&world.orchestrator, &too_large)), refused(413, "too-large"));
}

#[test]
fn an_orchestrator_submits_what_it_signed_itself() {
    let world = World::new();
    let (signed, id) = world.job();
    let submitted = world.submit(&world.orchestrator, signed.as_bytes()).unwrap();
    assert_eq!(submitted["job"], id.to_string());
    assert_eq!(submitted["state"], "queued");
    // A retry after a lost answer is the same job.
    assert_eq!(world.submit(&world.orchestrator, signed.as_bytes()).unwrap(), submitted);

    let answer = |home: &Home, bytes: &[u8]| refusal(world.submit(home, bytes));
    let signature = refused(422, "job-signature");
    assert_eq!(answer(&world.other_orchestrator, signed.as_bytes()), signature);
    assert_eq!(answer(&world.owner, signed.as_bytes()), refused(403, "role"));
    let mut altered = signed.as_bytes().to_vec();
    altered[200] ^= 1;
    assert_eq!(answer(&world.orchestrator, &altered), signature);

    let job = signed.open_by_anyone().unwrap().value;
    let key = world.orchestrator.signing_key().unwrap();
    let changed = |change: fn(&mut Job)| {
        let mut job = job.clone();
        change(&mut job);
        answer(&world.orchestrator, Signed::sign(&job, &key).unwrap().as_bytes())
    };
    assert_eq!(changed(|job| job.rounds = 0), refused(422, "job-invalid"));
    assert_eq!(
        changed(|job| job.code = Id::new(*job.datasets[0].manifest.digest())),
        refused(422, "code-missing")
    );
    assert_eq!(
        changed(|job| job.datasets[0].manifest = Id::new(*job.code.digest())),
        refused(422, "dataset-missing")
    );
    assert_eq!(
        changed(|job| {
            let digest = *job.code.digest();
            job.public_set = Some(cloister_protocol::job::PublicSet { digest, length: 1 });
        }),
        refused(422, "public-set-missing")
    );
    assert_eq!(world.queue.counts().unwrap(), (1, 0));
}

#[test]
fn a_job_is_seen_and_cancelled_by_its_orchestrator_alone() {
    let world = World::new();
    let (signed, id) = world.job();
    world.submit(&world.orchestrator, signed.as_bytes()).unwrap();
    let path = format!("/v1/jobs/{id}");
    let get = |home: &Home, path: &str| world.as_(home).get_json::<Value>(path);

    assert_eq!(get(&world.orchestrator, &path).unwrap()["state"], "queued");
    assert_eq!(get(&world.orchestrator, "/v1/jobs").unwrap()[0]["job"], id.to_string());
    assert_eq!(get(&world.other_orchestrator, "/v1/jobs").unwrap(), Value::Array(Vec::new()));
    let unknown = refused(404, "job-unknown");
    assert_eq!(refusal(get(&world.other_orchestrator, &path)), unknown);
    assert_eq!(refusal(get(&world.other_orchestrator, &format!("{path}/wait"))), unknown);
    let cancel = |home: &Home| world.as_(home).delete::<Value>(&path);
    assert_eq!(refusal(cancel(&world.other_orchestrator)), unknown);
    assert_eq!(refusal(cancel(&world.owner)), refused(403, "role"));

    let cancelled = cancel(&world.orchestrator).unwrap();
    assert_eq!(cancelled["state"], "failed");
    assert_eq!(cancelled["refusal"]["code"], "cancelled");
    assert_eq!(refusal(cancel(&world.orchestrator)), refused(409, "job-state"));
    // A job that has ended is not waited for.
    let ended = get(&world.orchestrator, &format!("{path}/wait?have=7")).unwrap();
    assert_eq!(ended["state"], "failed");
    assert_eq!(
        refusal(get(&world.orchestrator, &format!("{path}/wait?have=x"))),
        refused(400, "query")
    );
}

#[test]
fn releases_are_waited_for_and_fetched_by_the_orchestrator_alone() {
    let world = World::new();
    let (signed, id) = world.job();
    world.submit(&world.orchestrator, signed.as_bytes()).unwrap();
    let path = format!("/v1/jobs/{id}");

    // The release comes while somebody waits for it.
    let (queue, store) = (world.queue.clone(), world.store.clone());
    let tensors = vec![9; 200_000];
    let released = tensors.clone();
    let runner = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let [receipt, tensors] = [b"the receipt".as_slice(), &released].map(|bytes| {
            let mut blob = store.receive_blob().unwrap();
            blob.write_all(bytes).unwrap();
            blob.publish().unwrap()
        });
        for (from, to) in [
            (JobState::Queued, JobState::Preparing),
            (JobState::Preparing, JobState::Granting),
            (JobState::Granting, JobState::Loading),
            (JobState::Loading, JobState::Running),
        ] {
            queue.advance(&id, from, to).unwrap();
        }
        queue.add_release(&id, &ReleaseRecord { number: 0, receipt, tensors }).unwrap();
    });
    let job: Value =
        world.as_(&world.orchestrator).get_json(&format!("{path}/wait?have=0")).unwrap();
    runner.join().unwrap();
    assert_eq!((job["state"].as_str(), job["releases"].as_u64()), (Some("running"), Some(1)));
    assert_eq!(job["of"], 3);

    let fetch = |home: &Home, what: &str| {
        world.as_(home).get_bytes(&format!("{path}/releases/{what}"), 1 << 20)
    };
    assert_eq!(fetch(&world.orchestrator, "0/receipt").unwrap(), b"the receipt");
    assert_eq!(fetch(&world.orchestrator, "0/tensors").unwrap(), tensors);
    let mut streamed = Vec::new();
    let mut stream =
        world.as_(&world.orchestrator).get_stream(&format!("{path}/releases/0/tensors")).unwrap();
    stream.read_to_end(&mut streamed).unwrap();
    assert_eq!(streamed, tensors);
    assert_eq!(refusal(fetch(&world.orchestrator, "1/receipt")), refused(404, "release-unknown"));
    assert_eq!(refusal(fetch(&world.orchestrator, "x/receipt")), refused(400, "number"));
    assert_eq!(refusal(fetch(&world.other_orchestrator, "0/receipt")), refused(404, "job-unknown"));
    assert_eq!(refusal(fetch(&world.owner, "0/tensors")), refused(403, "role"));
}

#[test]
fn everyone_enrolled_sees_the_status_and_strangers_see_nothing() {
    let world = World::new();
    let status: Value = world.as_(&world.author).get_json("/v1/status").unwrap();
    assert_eq!(status["platform"], "simulated");
    assert_eq!(status["queued"], 0);
    let path = world.as_(&world.author).get_json::<Value>("/v1/nothing");
    assert_eq!(refusal(path), refused(404, "path-unknown"));
    let method = world.as_(&world.author).delete::<Value>("/v1/status");
    assert_eq!(refusal(method), refused(405, "method"));

    let stranger = common::party(world.folder.path(), Role::Orchestrator, "stranger", None);
    stranger.add_peer(world.host.enrolment().as_bytes()).unwrap();
    let answer = world.as_(&stranger).get_json::<Value>("/v1/status");
    assert!(!matches!(answer, Ok(_) | Err(ClientError::Refused { .. })), "{answer:?}");
    // Removing an enrolment counts at once.
    world.host.remove_peer("author").unwrap();
    assert!(world.as_(&world.author).get_json::<Value>("/v1/status").is_err());
    assert!(world.as_(&world.owner).get_json::<Value>("/v1/status").is_ok());
}

/// A caller that goes away in the middle of a dataset leaves nothing.
#[test]
fn half_an_upload_leaves_nothing() {
    let world = World::new();
    let key = world.owner.signing_key().unwrap();
    let (file, _) = common::sealed(&key, key.id(), 2_000_000);
    let client = world.as_(&world.owner);
    // The source ends before the length that was announced.
    let half = &file[..1_000_000];
    let answer: Result<Value, _> =
        client.put_stream("/v1/datasets", half, file.len() as u64, |_| {});
    assert!(matches!(answer, Err(ClientError::Source(_))), "{answer:?}");
    drop(client);
    let incoming = world.folder.path().join("store/incoming");
    let end = std::time::Instant::now() + Duration::from_secs(5);
    while std::fs::read_dir(&incoming).unwrap().count() > 0 {
        assert!(std::time::Instant::now() < end, "what was received is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(world.store.datasets().is_empty());
}
