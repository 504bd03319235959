//! Workers that die, or are not what they seem.

use std::process::Command;
use std::time::{Duration, Instant};

use cloister_sandbox::{Pool, PoolError, UnitRows, compile};

use crate::guests::{FEATURES, component, honest, module};
use crate::support::{
    FATAL_UNIT, command, expected, meanwhile, pool, settings, sum, sum_again, units,
};

pub fn signal(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    // It may have ended by itself.
    let _ = rustix::process::kill_process(id, signal);
}

/// A guest whose units take long enough that a round can be disturbed.
fn slow() -> String {
    module(
        "",
        "(local.set $i (i32.const 0))
         (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))",
    )
}

fn undisturbed(all: &[UnitRows]) -> Vec<i64> {
    let mut pool = pool(&slow(), 1);
    let total = sum(&mut pool, all);
    let updates: Vec<_> = all
        .iter()
        .map(|unit| unit.features.iter().map(|x| 3.0 * x).collect::<Vec<f32>>())
        .collect();
    assert_eq!(total, expected(&pool, &updates));
    total
}

pub fn a_killed_worker_costs_nothing() {
    let all = units(1000);
    let undisturbed = undisturbed(&all);
    for workers in [1, 2] {
        let mut pool = pool(&slow(), workers);
        pool.load(all.clone()).unwrap();
        let victim = pool.worker_ids()[0];
        meanwhile(Duration::from_millis(60), move || {
            signal(victim, rustix::process::Signal::KILL);
        });
        assert_eq!(sum_again(&mut pool), undisturbed);
        assert!(!pool.worker_ids().contains(&victim));
        // The next round is whole.
        assert_eq!(sum_again(&mut pool), undisturbed);
    }
}

/// Kills whatever worker there is, before a round and again and again in it.
pub fn all_workers_killed_and_the_round_still_ends() {
    let all = units(1000);
    let undisturbed = undisturbed(&all);
    let mut pool = pool(&slow(), 2);
    pool.load(all).unwrap();
    for id in pool.worker_ids() {
        signal(id, rustix::process::Signal::KILL);
    }
    let me = std::process::id();
    for after in [40, 90, 140, 190] {
        meanwhile(Duration::from_millis(after), move || {
            for id in children_of(me) {
                signal(id, rustix::process::Signal::KILL);
            }
        });
    }
    assert_eq!(sum_again(&mut pool), undisturbed);
}

fn children_of(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let children = tasks.map(|task| task.unwrap().path().join("children"));
    let children = children.filter_map(|path| std::fs::read_to_string(path).ok());
    children
        .flat_map(|text| text.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

/// A worker that is stopped is silent, as one whose processor the host has taken away.
/// No unit gets nothing for that: all of them are run again elsewhere.
pub fn a_silent_worker_costs_nothing() {
    let all = units(600);
    let undisturbed = undisturbed(&all);
    for workers in [1, 2] {
        let mut pool = pool(&slow(), workers);
        pool.load(all.clone()).unwrap();
        pool.set_patience(Duration::from_millis(300), Duration::ZERO);
        let victim = pool.worker_ids()[0];
        meanwhile(Duration::from_millis(30), move || {
            signal(victim, rustix::process::Signal::STOP);
        });
        assert_eq!(sum_again(&mut pool), undisturbed);
        assert!(!pool.worker_ids().contains(&victim));
    }
}

/// A unit that ends whatever worker runs it gets nothing; those sent with it are whole.
pub fn a_unit_that_kills_workers_costs_itself_alone() {
    let all = units(700);
    let mut without = all.clone();
    // Rows that do not fit count as the zero update.
    without[FATAL_UNIT as usize].targets.clear();
    let expected = sum(&mut pool(&honest(), 1), &without);
    assert_ne!(expected, sum(&mut pool(&honest(), 1), &all));
    let compiled = compile(&component(&honest())).unwrap();
    for workers in [1, 2] {
        let settings = settings(FEATURES);
        let mut pool = Pool::start(command("fragile"), workers, &compiled, settings).unwrap();
        assert_eq!(sum(&mut pool, &all), expected);
    }
}

/// No worker gets more than its share, which admission counts on.
pub fn units_are_shared_evenly() {
    let all = units(256);
    for workers in [2, 4] {
        let mut pool = pool(&honest(), workers);
        sum(&mut pool, &all);
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
    assert_eq!(sum(&mut pool, &units(4)), [0, 0]);
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// A worker that was taken over may say of its units what their code could have said, and
/// no more: a sum that is larger is nobody's.
pub fn a_worker_cannot_say_more_than_its_units_could() {
    let compiled = compile(&component(&honest())).unwrap();
    let mut pool = Pool::start(command("boaster"), 1, &compiled, settings(FEATURES)).unwrap();
    assert_eq!(sum(&mut pool, &units(3)), [0, 0]);
}
