//! Workers that die, or are not what they seem.

use std::process::Command;
use std::time::{Duration, Instant};

use cloister_sandbox::{Pool, PoolError, compile};

use crate::guests::{FEATURES, component, honest};
use crate::support::{command, pool, round, settings, units};

fn kill(id: u32) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

pub fn a_killed_worker_costs_exactly_the_unit_it_ran() {
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
        let lost: Vec<usize> = (0..all.len()).filter(|unit| updates[*unit].is_none()).collect();
        assert_eq!(lost.len(), 1, "lost {lost:?}");
        for (unit, update) in updates.iter().enumerate() {
            assert!(unit == lost[0] || *update == undisturbed[unit], "unit {unit}");
        }
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
    // Dead before the round: each costs at most the unit that it was given first.
    let updates = round(&mut pool, &all, |_| ());
    let lost = updates.iter().filter(|update| update.is_none()).count();
    assert!(lost <= 2, "lost {lost}");
    for (update, expected) in updates.iter().zip(&undisturbed) {
        assert!(update.is_none() || update == expected);
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
