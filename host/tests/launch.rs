//! An enclave that does not start, and one that has to die with its host.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cloister_host::{
    launch::{Enclave, EnclaveState, LaunchError, Launcher, ProcessLauncher},
    relay::Deadlines,
};

const HOST: &str = env!("CARGO_BIN_EXE_cloister-host");

/// A program that is certainly no enclave.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn supervise(command: &Path, folder: &Path, start: Duration) -> Enclave {
    let process = ProcessLauncher::simulated(
        HOST.into(),
        command.to_owned(),
        Path::new("vendor"),
        Some(2),
        folder,
    );
    let deadlines = Deadlines { start, ..Deadlines::default() };
    Enclave::supervise(Launcher::Process(process.unwrap()), deadlines).0
}

/// Why the enclave is down, once it is.
async fn why_down(enclave: &Enclave) -> String {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if let EnclaveState::Down { why, .. } = enclave.state() {
            return why;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not down: {:?}", enclave.state());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-enclave");
    let enclave = supervise(&missing, folder.path(), Duration::from_secs(5));
    let why = why_down(&enclave).await;
    assert!(why.contains("no-such-enclave") && why.contains("No such file"), "{why}");
    assert!(enclave.up(Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn one_that_ends_is_explained_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let text = format!("echo x >> {}; echo no vendor key >&2; exit 3", count.display());
    let enclave = supervise(&script(folder.path(), &text), folder.path(), Duration::from_secs(5));
    let why = why_down(&enclave).await;
    assert!(why.contains("code 3") && why.contains("no vendor key"), "{why}");
    let starts = || fs::read_to_string(&count).map_or(0, |text| text.lines().count());
    // Waits of 250, 500 and 1000 ms: the third start comes, the fifth not soon.
    let end = Instant::now() + Duration::from_secs(5);
    while starts() < 3 {
        assert!(Instant::now() < end, "{} starts", starts());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(starts() < 5);
    enclave.stop().await;
    assert!(enclave.up(Duration::from_secs(1)).await.unwrap_err().contains("stopping"));
}

#[tokio::test]
async fn one_that_never_answers_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let text = format!("echo $$ > {}; exec sleep 300", pid.display());
    let start = Duration::from_millis(500);
    let enclave = supervise(&script(folder.path(), &text), folder.path(), start);
    let why = why_down(&enclave).await;
    assert!(why.contains("did not answer within 500ms"), "{why}");
    assert_gone(fs::read_to_string(&pid).unwrap().trim());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_refused() {
    let folder = PathBuf::from("/tmp").join("x".repeat(120));
    let refused = ProcessLauncher::simulated(HOST.into(), "e".into(), &folder, None, &folder);
    assert!(matches!(refused, Err(LaunchError::SocketPath { .. })));
}

/// The kernel ends the enclave when its host is killed, however suddenly.
#[test]
fn it_does_not_outlive_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    // A stand-in for the host starts the wrapper as the host does, then waits.
    let text = format!("'{HOST}' launch $$ sleep 300 & echo $! > {}; wait", pid.display());
    let mut parent = Command::new("sh").args(["-c", &text]).stdin(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    let child = loop {
        let text = fs::read_to_string(&pid).unwrap_or_default();
        let child = text.trim().to_owned();
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if name.trim() == "sleep" {
            break child;
        }
        assert!(Instant::now() < end, "it never became the other program");
        std::thread::sleep(Duration::from_millis(10));
    };
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_gone(&child);
}

/// One whose host died in the instant before does not begin at all.
#[test]
fn it_does_not_begin_without_its_host() {
    let output = Command::new(HOST).args(["launch", "1", "true"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the host has gone"));
}

fn assert_gone(pid: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Without init, an orphan may stay behind as a zombie: it runs no more.
        if status.is_empty() || status.contains(") Z ") {
            return;
        }
        assert!(Instant::now() < end, "{pid} is still there: {status}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
