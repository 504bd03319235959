//! The worker process: runs compute code, and can do nothing else.
//!
//! 1. Closes every descriptor but its end of the channel.
//! 2. Reads the compiled component and the settings; links them.
//! 3. Confines itself ([`confine`]) before any of the component's code runs.
//! 4. Answers: the first model, one unit after the other, scores of public rows.
//!
//! A worker that meets something it does not expect ends; the pool starts another.

mod confine;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::engine;
use crate::instance::{Model, Runner};
use crate::limits::Limits;
use crate::protocol::{
    Kind, NOTHING, READY, Setup, VALUES, malformed, number, parse_unit, push_values, read_frame,
    values,
};
use crate::random::StreamId;

pub use confine::confine;

/// Runs a worker whose channel to its pool is the standard input. Call this first in
/// `main` of the program that a pool's command starts, and return what it returns.
#[must_use]
pub fn main() -> ExitCode {
    // A panic's message could carry data, and there is nobody to read it.
    std::panic::set_hook(Box::new(|_| {}));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> io::Result<()> {
    confine::close_inherited()?;
    confine::die_with_parent()?;
    let mut answers = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut requests = BufReader::with_capacity(128 << 10, answers.try_clone()?);
    let mut body = Vec::new();
    let Some(Kind::Setup) = read_frame(&mut requests, &mut body)? else {
        return Err(malformed());
    };
    let setup: Setup = ciborium::from_reader(&body[..]).map_err(io::Error::other)?;
    let mut worker = Worker::new(setup).map_err(io::Error::other)?;
    confine(&worker.limits)?;
    answers.write_all(&READY.to_le_bytes())?;
    let mut answer = Vec::new();
    while let Some(kind) = read_frame(&mut requests, &mut body)? {
        answer.clear();
        worker.answer(kind, &body, &mut answer).ok_or_else(malformed)?;
        // One write for each unit: what was written before a worker died is complete,
        // and the unit that it died of is the first one that is not.
        answers.write_all(&answer)?;
    }
    Ok(())
}

struct Worker {
    runner: Runner,
    limits: Limits,
    features: u32,
    targets: u32,
    round: u32,
    model: Model,
}

impl Worker {
    fn new(setup: Setup) -> wasmtime::Result<Self> {
        let engine = engine(&setup.limits)?;
        let component = load(&engine, &setup.component)?;
        // Needs descriptors, so not when the first instance is made.
        component.initialize_copy_on_write_image()?;
        Ok(Self {
            runner: Runner::new(&component, setup.limits.clone(), setup.seed, setup.params)?,
            limits: setup.limits,
            features: setup.features,
            targets: setup.targets,
            round: 0,
            model: Model { rows: 0, columns: 0, values: [].into() },
        })
    }

    /// Computes an answer; `None` if the request makes no sense.
    fn answer(&mut self, kind: Kind, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match kind {
            Kind::Setup => return None,
            Kind::Init => match self.runner.init(self.features, self.targets) {
                Some(model) => {
                    push_numbers(out, &[VALUES, model.rows, model.columns]);
                    push_values(out, &model.values);
                }
                None => push_numbers(out, &[NOTHING, 0, 0]),
            },
            Kind::Model => {
                self.round = number(body, 0)?;
                self.model = Model {
                    rows: number(body, 1)?,
                    columns: number(body, 2)?,
                    values: values(&body[12..]).collect(),
                };
            }
            Kind::Unit => {
                let (unit, rows) = parse_unit(body, self.features, self.targets)?;
                let id = StreamId::Unit { round: self.round, stream: rows.stream };
                let columns = [self.features, self.targets];
                let update = self.runner.update(&self.model, id, columns, rows);
                push_answer(out, &[unit], update.as_deref());
            }
            Kind::Score => {
                let rows = number(body, 0)?;
                let features: Vec<f32> = values(&body[4..]).collect();
                let shape = [rows, self.features, self.targets];
                let scores = self.runner.score(&self.model, shape, features);
                push_answer(out, &[], scores.as_deref());
            }
        }
        Some(())
    }
}

fn push_answer(out: &mut Vec<u8>, head: &[u32], values: Option<&[f32]>) {
    push_numbers(out, head);
    match values {
        Some(values) => {
            push_numbers(out, &[VALUES]);
            push_values(out, values);
        }
        None => push_numbers(out, &[NOTHING]),
    }
}

fn push_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

#[allow(unsafe_code)]
fn load(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are native code. They come over the channel from the pool, whose
    // only source of them is `Compiled`, which only `compile` makes, by serializing what
    // this same program's compiler wrote. No component code has run in this process, and
    // nobody else holds an end of the channel.
    unsafe { Component::deserialize(engine, bytes) }
}
