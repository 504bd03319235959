//! Workers that die, or are not what they seem.

use std::process::Command;
use std::time::{Duration, Instant};

use cloister_sandbox::{Pool, PoolError, compile};

use crate::guests::{FEATURES, component, honest};
use crate::support::{FATAL_UNIT, command, pool, round, settings, units};

fn kill(id: u32) {
    signal(id, rustix::process::Signal::KILL);
}

fn signal(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

pub fn a_killed_worker_costs_nothing() {
    let all = units(3000);
    let undisturbed = round(&mut pool(&honest(), 1), &all, |_| ());
    for workers in [1, 2] {
        let mut pool = pool(&honest(), workers);
        let victim = pool.worker_ids()[0];
        let mut told = 0;
        let updates = round(&mut pool, &all, |_| {
            told += 1;
            if told == 40 {
                kill(victim);
            }
        });
        assert_eq!(updates, undisturbed);
        assert!(!pool.worker_ids().contains(&victim));
        // The next round is whole.
        assert_eq!(round(&mut pool, &all, |_| ()), undisturbed);
    }
}

/// Kills whatever worker there is, again and again.
pub fn all_workers_killed_and_the_round_still_ends() {
    let all = units(2000);
    let undisturbed = round(&mut pool(&honest(), 1), &all, |_| ());
    let mut pool = pool(&honest(), 2);
    for id in pool.worker_ids() {
        kill(id);
    }
    assert_eq!(round(&mut pool, &all, |_| ()), undisturbed);
}

/// A worker that is stopped is silent, as one whose processor the host has taken away.
/// No unit gets nothing for that: all of them are run again elsewhere.
pub fn a_silent_worker_costs_nothing() {
    let all = units(600);
    let undisturbed = round(&mut pool(&honest(), 1), &all, |_| ());
    for workers in [1, 2] {
        let mut pool = pool(&honest(), workers);
        pool.set_patience(Duration::from_millis(300));
        let victim = pool.worker_ids()[0];
        let mut told = 0;
        let updates = round(&mut pool, &all, |_| {
            told += 1;
            if told == 40 {
                signal(victim, rustix::process::Signal::STOP);
            }
        });
        assert_eq!(updates, undisturbed);
        assert!(!pool.worker_ids().contains(&victim));
    }
}

/// A unit that ends whatever worker runs it gets nothing; those sent with it are whole.
pub fn a_unit_that_kills_workers_costs_itself_alone() {
    let all = units(700);
    let undisturbed = round(&mut pool(&honest(), 1), &all, |_| ());
    let compiled = compile(&component(&honest())).unwrap();
    for workers in [1, 2] {
        let settings = settings(FEATURES);
        let mut pool = Pool::start(command("fragile"), workers, &compiled, settings).unwrap();
        let updates = round(&mut pool, &all, |_| ());
        for (unit, update) in updates.iter().enumerate() {
            if unit == FATAL_UNIT as usize {
                assert!(update.is_none());
            } else {
                assert_eq!(*update, undisturbed[unit], "unit {unit}");
            }
        }
    }
}

/// No worker gets more than its share, which admission counts on.
pub fn units_are_shared_evenly() {
    let all = units(256);
    for workers in [2, 4] {
        let mut pool = pool(&honest(), workers);
        round(&mut pool, &all, |_| ());
        assert_eq!(pool.shares(), vec![256 / workers; workers]);
    }
}

pub fn a_worker_that_never_becomes_ready_is_an_error() {
    let compiled = compile(&component(&honest())).unwrap();
    for program in ["/bin/true", "/nonexistent/program"] {
        let start = Pool::start(Command::new(program), 1, &compiled, settings(FEATURES));
        assert!(matches!(start.err(), Some(PoolError::Start(_))), "{program}");
    }
}

pub fn a_worker_that_lies_gets_nothing_and_blocks_nobody() {
    let started = Instant::now();
    let compiled = compile(&component(&honest())).unwrap();
    let mut pool = Pool::start(command("liar"), 1, &compiled, settings(FEATURES)).unwrap();
    let updates = round(&mut pool, &units(4), |_| ());
    assert!(updates.iter().all(Option::is_none));
    assert!(started.elapsed() < Duration::from_secs(20));
}
