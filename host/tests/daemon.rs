//! The program itself: it starts, says where it listens, survives being killed, and
//! leaves nothing without an end.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cloister_host::queue::{JobState, Queue};
use cloister_party::{Home, Role};
use cloister_protocol::Signed;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A host's home whose enclave cannot start, with an owner and an orchestrator.
struct World {
    _folder: TempDir,
    host: Home,
    owner: Home,
    orchestrator: Home,
}

impl World {
    /// A job waits `patience` seconds for the enclave that never comes.
    fn new(patience: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = common::free_port();
        let host = common::party(folder.path(), Role::Host, "node", Some(port));
        let owner = common::party(folder.path(), Role::Owner, "hospital", Some(1));
        let orchestrator = common::party(folder.path(), Role::Orchestrator, "trial", None);
        common::introduce(&host, &owner);
        common::introduce(&host, &orchestrator);
        let config = format!(
            "listen = \"127.0.0.1:{port}\"\n\
             [enclave]\nplatform = \"simulated\"\ncommand = \"./no-such-enclave\"\nvendor = \"v\"\n\
             [deadlines]\nstart-seconds = 1\nenclave-seconds = {patience}\n"
        );
        fs::write(host.file("host.toml"), config).unwrap();
        Self { _folder: folder, host, owner, orchestrator }
    }

    /// Starts the program and waits until it says that it listens.
    fn start(&self) -> Running {
        let mut child =
            self.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("cloister-host listens on https://127.0.0.1:"), "{line:?}");
        Running(child)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloister-host"));
        command.arg("--home").arg(self.host.path()).stderr(Stdio::piped());
        command
    }

    fn get(&self, path: &str) -> Value {
        common::client(&self.orchestrator, &self.host).get_json(path).unwrap()
    }
}

/// The program, killed when the test ends.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_host_loses_nothing_and_ends_what_was_granted() {
    let world = World::new(60);
    let mut running = world.start();
    let key = world.owner.signing_key().unwrap();
    let (file, _) = common::sealed(&key, key.id(), 300_000);
    let client = common::client(&world.owner, &world.host);
    let length = file.len() as u64;
    let stored: Value = client.put_stream("/v1/datasets", &file[..], length, |_| {}).unwrap();
    running.signal(Signal::KILL);
    running.0.wait().unwrap();

    // What a host leaves that is killed at different moments of a job's life.
    let queue = Queue::open(&world.host.file("queue.sqlite")).unwrap();
    let (code, _) = common::code(&key);
    let code = cloister_protocol::code::CodeFile::from_bytes(&code).unwrap();
    let code = code.manifest.open_by_anyone().unwrap().id;
    let path = [
        JobState::Queued,
        JobState::Preparing,
        JobState::Granting,
        JobState::Loading,
        JobState::Running,
    ];
    let ids: Vec<_> = (0..path.len())
        .map(|steps| {
            let dataset = cloister_protocol::Digest::from_hex(stored["id"].as_str().unwrap());
            let mut job = common::job(code, cloister_protocol::Id::new(dataset.unwrap()), key.id());
            job.seed = steps as u64;
            let signed = Signed::sign(&job, &world.orchestrator.signing_key().unwrap()).unwrap();
            let id = signed.open_by_anyone().unwrap().id;
            queue.submit(&id, world.orchestrator.id(), &signed, 3).unwrap();
            for step in path.windows(2).take(steps) {
                queue.advance(&id, step[0], step[1]).unwrap();
            }
            id
        })
        .collect();
    drop(queue);
    fs::write(world.host.file("store/incoming/half"), b"half").unwrap();

    let _running = world.start();
    assert_eq!(world.get("/v1/datasets")[0]["id"], stored["id"]);
    assert!(!world.host.file("store/incoming/half").exists());
    for id in &ids[2..] {
        // An answer comes as soon as the job has ended.
        let job = world.get(&format!("/v1/jobs/{id}/wait?have=9"));
        assert_eq!(job["state"], "failed", "{job}");
        assert_eq!(job["refusal"]["code"], "enclave-lost", "{job}");
        assert!(job["refusal"]["message"].as_str().unwrap().contains("stays reserved"), "{job}");
    }
    let waiting = world.get(&format!("/v1/jobs/{}", ids[1]));
    assert_eq!(waiting["state"], "queued", "{waiting}");
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let enclave = &world.get("/v1/status")["enclave"];
        assert_ne!(enclave["state"], "up", "{enclave}");
        if enclave["why"].as_str().is_some_and(|why| why.contains("no-such-enclave")) {
            break;
        }
        assert!(Instant::now() < end, "{enclave}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// There is no enclave, and the job says so in the end.
#[test]
fn a_job_without_an_enclave_ends_with_a_reason() {
    let world = World::new(2);
    let queue = Queue::open(&world.host.file("queue.sqlite")).unwrap();
    let (signed, id, _) = common::imaginary_job(1);
    queue.submit(&id, world.orchestrator.id(), &signed, 3).unwrap();
    drop(queue);
    let _running = world.start();
    let end = Instant::now() + Duration::from_secs(25);
    let path = format!("/v1/jobs/{id}");
    let waiting = world.get(&path);
    assert_eq!(waiting["state"], "queued", "{waiting}");
    loop {
        let job = world.get(&format!("{path}/wait?have=9"));
        if job["state"] == "failed" {
            assert_eq!(job["refusal"]["code"], "enclave-down", "{job}");
            let message = job["refusal"]["message"].as_str().unwrap();
            assert!(message.contains("no-such-enclave"), "{message}");
            break;
        }
        assert!(Instant::now() < end, "{job}");
    }
}

#[test]
fn two_hosts_do_not_share_a_home() {
    let world = World::new(60);
    let _running = world.start();
    let second = world.command().stdout(Stdio::piped()).output().unwrap();
    assert!(!second.status.success());
    let complaint = String::from_utf8_lossy(&second.stderr);
    assert!(complaint.contains("another cloister-host is running"), "{complaint}");
}

#[test]
fn sigterm_ends_it_in_order() {
    let world = World::new(60);
    let mut running = world.start();
    // A connection that says nothing does not hold it up.
    let address = world.host.identity().address.clone().unwrap();
    let _silent = TcpStream::connect((address.host(), address.port())).unwrap();
    running.signal(Signal::TERM);
    let end = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn a_home_without_configuration_is_explained() {
    let world = World::new(60);
    fs::remove_file(world.host.file("host.toml")).unwrap();
    let output = world.command().stdout(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("host.toml"));
}
