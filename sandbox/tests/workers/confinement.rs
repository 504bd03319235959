//! Workers can do nothing but read, write and compute.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::{fs, io};

use cloister_sandbox::{Pool, compile};

use crate::guests::{FEATURES, TRIGGER, component, honest, module, triggered};
use crate::support::{command, gate, pool, settings, units};

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

/// What a worker may call, each with the reason that it has to.
const ALLOWED: &[(i64, &str)] = &[
    (libc::SYS_read, "requests"),
    (libc::SYS_write, "answers"),
    (libc::SYS_mmap, "memory"),
    (libc::SYS_munmap, "memory"),
    (libc::SYS_mprotect, "linear memory that grows"),
    (libc::SYS_mremap, "memory that grows"),
    (libc::SYS_madvise, "cleaning what an instance leaves"),
    (libc::SYS_brk, "memory"),
    (libc::SYS_rt_sigreturn, "traps"),
    (libc::SYS_sigaltstack, "traps when the stack is full"),
    (libc::SYS_exit_group, "the end"),
];

/// Beyond the last system call that there is.
const LAST: i64 = 500;

/// Linux never filters these two. It puts them into programs that it traces; called from
/// anywhere else they fail, or end the process.
const TRAMPOLINES: [i64; 2] = [335, 336];

fn call(number: i64, arguments: [i64; 3]) -> ExitStatus {
    let numbers = [&[number], &arguments[..]].concat();
    let numbers = numbers.iter().map(i64::to_string);
    command("probe-call").args(numbers).status().unwrap()
}

/// Every number that is not on the list, one process each.
pub fn every_other_system_call_kills() {
    let allowed = |number: i64| ALLOWED.iter().any(|(call, _)| *call == number);
    for number in (0..LAST).filter(|number| !allowed(*number)) {
        let signal = call(number, [0; 3]).signal();
        let killed = signal == Some(libc::SIGSYS) || TRAMPOLINES.contains(&number);
        assert!(killed, "system call {number}: {signal:?}");
    }
    // The numbers of another ABI of the same processor.
    assert_eq!(call(0x4000_0000 | libc::SYS_read, [0; 3]).signal(), Some(libc::SIGSYS));
}

pub fn executable_memory_kills() {
    let executable = i64::from(libc::PROT_READ | libc::PROT_EXEC);
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        assert_eq!(call(number, [0, 4096, executable]).signal(), Some(libc::SIGSYS));
        let readable = i64::from(libc::PROT_READ);
        assert_eq!(call(number, [0, 4096, readable]).signal(), None);
    }
}

/// Jobs that together do what any job makes a worker do.
fn work(command: impl Fn() -> Command) -> bool {
    let guests = [
        honest(),
        triggered("unreachable"),
        triggered("(drop (call $deep (i64.const 0)))"),
        triggered(
            "(loop $l (call $set (call $new (i32.const 1) (i32.const 8192)) (i32.const 0)
               (i32.const 0) (f32.const 1)) (br $l))",
        ),
        module(
            "",
            "(drop (memory.grow (i32.const 40))) (memory.fill (i32.const 65536) (i32.const 1) (i32.const 2000000))",
        ),
    ];
    let mut all = units(40);
    all[4].features[0] = TRIGGER;
    guests.iter().all(|guest| {
        let compiled = compile(&component(guest)).unwrap();
        let Ok(mut pool) = Pool::start(command(), 1, &compiled, settings(FEATURES)) else {
            return false;
        };
        pool.load(all.clone()).unwrap();
        let before = pool.worker_ids();
        let model = pool.init_model().to_vec();
        // Whether there are scores or not is the guest's business.
        for rows in [100_000, 400_000] {
            let _ = pool.score(&model, &vec![0.5; 2 * rows]);
        }
        // Two rounds, so that memory is used again.
        for round in 0..2 {
            pool.round(round, &model, &gate(&pool)).unwrap();
        }
        !before.is_empty() && before == pool.worker_ids()
    })
}

/// Each call on the list is missed by work that workers do, or it would not be there. How
/// the end is missed is shown by `a_confined_process_may_exit`.
pub fn nothing_is_allowed_that_workers_do_not_need() {
    assert!(work(|| command("worker")), "with all of them it works");
    let needless: Vec<_> = ALLOWED
        .iter()
        .filter(|(call, _)| *call != libc::SYS_exit_group)
        .filter(|(call, _)| {
            work(|| {
                let mut command = command("worker-without");
                command.arg(call.to_string());
                command
            })
        })
        .collect();
    assert!(needless.is_empty(), "not needed: {needless:?}");
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
