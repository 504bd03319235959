//! Starting pools, and the other things this program can be started as.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::time::Duration;

use cloister_privacy::Gate;
use cloister_sandbox::{Examined, Limits, Pool, Settings, UnitRows, compile, worker};

use crate::guests::{self, FEATURES};

/// This program in another role: `worker`, a probe, or a worker that lies.
pub fn command(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(role);
    command
}

pub fn other_roles(arguments: &[String]) -> Option<ExitCode> {
    match arguments.first()?.as_str() {
        "worker" => Some(worker::main()),
        "liar" => Some(lie()),
        "boaster" => Some(boast()),
        "fragile" => Some(worker_that_dies_of(FATAL_UNIT)),
        "worker-without" => Some(worker::main_without(arguments.get(1)?.parse().unwrap())),
        "probe-call" => Some(call(&arguments[1..])),
        "probe-exit" => Some(probe(|| ())),
        "probe-open" => Some(probe(|| drop(File::open("/dev/null")))),
        "probe-socket" => Some(probe(|| drop(UnixStream::pair()))),
        "probe-process" => Some(probe(|| drop(Command::new("/bin/true").status()))),
        _ => None,
    }
}

/// Confines itself and then tries something. Ends with 0 if it lived.
fn probe(attempt: fn()) -> ExitCode {
    worker::confine(&Limits::default()).unwrap();
    attempt();
    ExitCode::SUCCESS
}

/// Confines itself and then makes a system call with these arguments.
#[allow(unsafe_code)]
fn call(numbers: &[String]) -> ExitCode {
    let numbers: Vec<i64> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    let [number, a, b, c] = numbers[..] else { return ExitCode::FAILURE };
    worker::confine(&Limits::default()).unwrap();
    // SAFETY: no address is ours: a call that is allowed fails, or does nothing to memory
    // that this process uses; it ends next.
    unsafe { libc::syscall(number, a, b, c, 0, 0, 0) };
    ExitCode::SUCCESS
}

/// The unit that [`worker_that_dies_of`] is tested with.
pub const FATAL_UNIT: u32 = 321;

/// A real worker behind a relay that ends as soon as it is asked to hand on this unit.
fn worker_that_dies_of(fatal: u32) -> ExitCode {
    let pool = File::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut real = command("worker");
    real.stdout(io::stdout().as_fd().try_clone_to_owned().unwrap());
    real.stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut child = real.spawn().unwrap();
    drop(real);
    let (mut answers, mut back) = (ours.try_clone().unwrap(), pool.try_clone().unwrap());
    std::thread::spawn(move || io::copy(&mut answers, &mut back));
    let (mut requests, mut on) = (io::BufReader::new(pool), ours);
    let mut head = [0; 8];
    while requests.read_exact(&mut head).is_ok() {
        let [kind, length] =
            [0, 4].map(|at| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()));
        let mut body = vec![0; length as usize];
        requests.read_exact(&mut body).unwrap();
        // Setup, Init, Model, Units, Some, Score, Examine, Metrics.
        if kind == 3 {
            let [first, count] =
                [0, 4].map(|at| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()));
            if (first..first + count).contains(&fatal) {
                break;
            }
        }
        on.write_all(&head).unwrap();
        on.write_all(&body).unwrap();
    }
    let _ = child.kill();
    let _ = child.wait();
    ExitCode::SUCCESS
}

/// Says that it is ready, and then answers every request with noise.
fn lie() -> ExitCode {
    let channel = io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut channel = File::from(channel);
    let mut head = [0; 8];
    channel.read_exact(&mut head).unwrap();
    let length = u32::from_le_bytes(head[4..].try_into().unwrap());
    io::copy(&mut (&channel).take(u64::from(length)), &mut io::sink()).unwrap();
    channel.write_all(b"1YDR").unwrap();
    // A first model of 2 x 1, so that the pool starts.
    channel.read_exact(&mut head).unwrap();
    for number in [1u32, 2, 1, 0, 0] {
        channel.write_all(&number.to_le_bytes()).unwrap();
    }
    channel.read_exact(&mut head).unwrap();
    let noise = vec![0xa5; 1 << 20];
    while channel.write_all(&noise).is_ok() {}
    ExitCode::SUCCESS
}

/// Answers as a worker does, with sums one step larger than its units' updates can be.
fn boast() -> ExitCode {
    let mut channel = File::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut head = [0; 8];
    let mut beside = vec![1];
    while channel.read_exact(&mut head).is_ok() {
        let [kind, length] =
            [0, 4].map(|at| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()));
        let mut body = vec![0; length as usize];
        channel.read_exact(&mut body).unwrap();
        // Metrics are four numbers.
        if kind == 7 {
            beside = vec![1, 0, 0];
        }
        let numbers: Vec<u32> = match kind {
            0 => vec![u32::from_le_bytes(*b"1YDR")],
            1 => vec![1, 2, 1, 0, 0],
            3 => {
                let [first, count] =
                    [0, 4].map(|at| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()));
                [vec![first, count, count << 20], beside.clone()].concat()
            }
            _ => Vec::new(),
        };
        for number in numbers {
            if channel.write_all(&number.to_le_bytes()).is_err() {
                return ExitCode::SUCCESS;
            }
        }
    }
    ExitCode::SUCCESS
}

pub fn settings(features: u32) -> Settings {
    Settings { limits: Limits::default(), params: Vec::new(), seed: [9; 32], features, targets: 1 }
}

/// A pool that runs a guest in text form.
pub fn pool(module: &str, workers: usize) -> Pool {
    let compiled = compile(&guests::component(module)).unwrap();
    Pool::start(command("worker"), workers, &compiled, settings(FEATURES)).unwrap()
}

/// Units of one row that differ in their features.
pub fn units(count: u16) -> Vec<UnitRows> {
    (0..count)
        .map(|i| UnitRows {
            features: vec![f32::from(i) + 0.25, 1.0 / (f32::from(i) + 3.0)],
            targets: vec![f32::from(i % 2)],
            rows: 1,
            stream: u64::from(i),
        })
        .collect()
}

/// A gate for updates of the text guests, fine enough that no two units are alike.
pub fn gate(pool: &Pool) -> Gate {
    Gate::new(1e4, 1 << 20, pool.init_model().len()).unwrap()
}

/// The sum of all units' updates, on the grid of [`gate`].
pub fn sum(pool: &mut Pool, units: &[UnitRows]) -> Vec<i64> {
    pool.load(units.to_vec()).unwrap();
    sum_again(pool)
}

/// The same, of the units that are loaded.
pub fn sum_again(pool: &mut Pool) -> Vec<i64> {
    let model = pool.init_model().to_vec();
    let gate = gate(pool);
    pool.round(3, &model, &gate).unwrap().values().to_vec()
}

/// What [`sum`] has to be for these updates.
pub fn expected(pool: &Pool, updates: &[Vec<f32>]) -> Vec<i64> {
    let gate = gate(pool);
    let mut sum = gate.sum();
    for update in updates {
        sum.add(&gate.quantise(update)).unwrap();
    }
    sum.values().to_vec()
}

/// What becomes of each unit.
pub fn examine(pool: &mut Pool, units: &[UnitRows]) -> Vec<Examined> {
    pool.load(units.to_vec()).unwrap();
    let model = pool.init_model().to_vec();
    let count = u32::try_from(units.len()).unwrap();
    (0..count).map(|unit| pool.examine(3, &model, unit).unwrap()).collect()
}

/// Does something while a round runs: after so long.
pub fn meanwhile(after: Duration, act: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        std::thread::sleep(after);
        act();
    });
}
