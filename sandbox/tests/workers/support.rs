//! Starting pools, and the other things this program can be started as.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use cloister_sandbox::{Limits, Pool, Settings, UnitRows, compile, worker};

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
        "fragile" => Some(worker_that_dies_of(FATAL_UNIT)),
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

/// The unit that [`worker_that_dies_of`] is tested with.
pub const FATAL_UNIT: u32 = 321;

/// A real worker behind a relay that ends as soon as it is asked to hand on this unit.
fn worker_that_dies_of(fatal: u32) -> ExitCode {
    let pool = File::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut real = command("worker");
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
        // Setup, Init, Model, Unit, Score.
        if kind == 3 && u32::from_le_bytes(body[..4].try_into().unwrap()) == fatal {
            break;
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

/// One outcome for each unit, as bits.
pub type Updates = Vec<Option<Vec<u32>>>;

/// Runs a round and checks that each unit has exactly one outcome.
pub fn round(pool: &mut Pool, units: &[UnitRows], mut each: impl FnMut(usize)) -> Updates {
    let model = pool.init_model().to_vec();
    let mut outcomes: Vec<Option<Option<Vec<u32>>>> = vec![None; units.len()];
    pool.round(3, &model, units, &mut |unit, update| {
        let bits = update.map(|update| update.iter().map(|value| value.to_bits()).collect());
        assert!(outcomes[unit].is_none(), "unit {unit} twice");
        outcomes[unit] = Some(bits);
        each(unit);
    })
    .unwrap();
    outcomes
        .into_iter()
        .enumerate()
        .map(|(unit, outcome)| outcome.unwrap_or_else(|| panic!("unit {unit} never")))
        .collect()
}
