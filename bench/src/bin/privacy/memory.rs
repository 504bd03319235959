//! How much memory a sum takes, in a process that has nothing else.

use std::env;
use std::hint::black_box;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use cloister_bench::process;
use cloister_privacy::{DiscreteGaussian, Gate, Piece};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// The argument that makes this program measure its memory.
pub const ROLE: &str = "memory";

/// What is measured.
pub const SIDES: [&str; 2] = [ENCLAVE, WORKER];

/// A sum, one update on the grid, and a release.
const ENCLAVE: &str = "IntegerSum";

/// A partial sum without the channel that it leaves by.
const WORKER: &str = "PartialSum";

const PARAMETERS: usize = 4_000_000;

/// Grid steps: of so many parameters, at least 32,000.
const STEPS: u64 = 1 << 16;

/// What was found.
#[derive(Serialize, Deserialize)]
pub struct Memory {
    pub side: String,
    pub parameters: usize,
    /// Bytes for each parameter, at most at any time, beside the update itself.
    pub bytes_each: f64,
}

impl Memory {
    /// Has another process measure itself.
    pub fn measure(side: &str) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let output = command.args([ROLE, side]).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the process that measures memory failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The process that measures itself.
pub fn main(side: &str) -> Result<Memory> {
    let gate = Gate::new(1.0, STEPS, PARAMETERS)?;
    let update = black_box(vec![1e-4_f32; PARAMETERS]);
    let before = process::largest("self")?;
    match side {
        ENCLAVE => {
            let mut sum = gate.sum();
            sum.add(&gate.quantise(&update))?;
            let noise = DiscreteGaussian::new(STEPS)?;
            black_box(sum.noise(&noise, &mut ChaCha20Rng::from_seed([9; 32])));
        }
        WORKER => {
            let mut sum = gate.partial();
            sum.add(&[Piece::Values(&update)])?;
            black_box(&sum);
        }
        _ => bail!("{side}: nothing to measure"),
    }
    let bytes = process::largest("self")? - before;
    let bytes_each = bytes as f64 / PARAMETERS as f64;
    Ok(Memory { side: side.into(), parameters: PARAMETERS, bytes_each })
}
