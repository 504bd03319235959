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
