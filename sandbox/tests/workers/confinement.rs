//! Workers can do nothing but read, write and compute.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::{fs, io};

use crate::guests::honest;
use crate::support::{command, pool};

fn outcome(probe: &str) -> ExitStatus {
    command(probe).status().unwrap()
}

pub fn a_confined_process_may_exit() {
    assert!(outcome("probe-exit").success());
}

pub fn opening_a_file_kills() {
    assert_eq!(outcome("probe-open").signal(), Some(libc::SIGSYS));
}

pub fn a_socket_kills() {
    assert_eq!(outcome("probe-socket").signal(), Some(libc::SIGSYS));
}

pub fn a_new_process_kills() {
    assert_eq!(outcome("probe-process").signal(), Some(libc::SIGSYS));
}

pub fn workers_are_confined_and_hold_one_descriptor() {
    let pool = pool(&honest(), 2);
    let ids = pool.worker_ids();
    assert_eq!(ids.len(), 2);
    for id in ids {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].trim().to_owned()
        };
        assert_eq!(field("Seccomp:"), "2");
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(field("Threads:"), "1");
        let links = match fs::read_dir(format!("/proc/{id}/fd")) {
            Ok(entries) => entries
                .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
                .collect::<Vec<_>>(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                println!("SKIPPED: only root may list the descriptors of a worker");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        for link in links.iter().map(|link| link.to_string_lossy()) {
            // The channel, and the initial memory of the component, which has no name.
            let known = link.starts_with("socket:") || link.starts_with("/memfd:");
            assert!(known, "a worker holds {link}");
        }
    }
}
