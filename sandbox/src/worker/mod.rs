//! The worker process: runs compute code, and can do nothing else.
//!
//! 1. Closes every descriptor but its end of the channel and the memory with the units,
//!    which it maps.
//! 2. Reads the compiled component and the settings; links them.
//! 3. Confines itself ([`confine`]) before any of the component's code runs.
//! 4. Answers: the first model, sums of units' updates or metrics, scores of public rows.
//!
//! A worker that meets something it does not expect ends; the pool starts another.

mod confine;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use cloister_privacy::{Gate, Metrics, PartialSum};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::engine;
use crate::instance::{Model, Runner};
use crate::limits::Limits;
#[cfg(feature = "examine")]
use crate::protocol::halves;
use crate::protocol::{
    Kind, ModelFrame, NOTHING, READY, Setup, VALUES, malformed, number, numbers, parse_metrics,
    parse_model, push_values, read_frame, values,
};
use crate::shared::MappedUnits;

pub use confine::confine;

/// Runs a worker whose channel to its pool is the standard input. Call this first in
/// `main` of the program that a pool's command starts, and return what it returns.
#[must_use]
pub fn main() -> ExitCode {
    // A panic's message could carry data, and there is nobody to read it.
    std::panic::set_hook(Box::new(|_| {}));
    match run(None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A worker that may make one system call less. **For tests** of what workers need.
#[cfg(feature = "examine")]
#[must_use]
pub fn main_without(call: i64) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    match run(Some(call)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(without: Option<libc::c_long>) -> io::Result<()> {
    confine::close_inherited()?;
    confine::die_with_parent()?;
    let units = MappedUnits::map(io::stdout())?.unwrap_or_else(MappedUnits::none);
    let mut answers = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut requests = BufReader::with_capacity(128 << 10, answers.try_clone()?);
    let mut body = Vec::new();
    let Some(Kind::Setup) = read_frame(&mut requests, &mut body)? else {
        return Err(malformed());
    };
    let setup: Setup = ciborium::from_reader(&body[..]).map_err(io::Error::other)?;
    let mut worker = Worker::new(setup, units).map_err(io::Error::other)?;
    confine::confine_without(&worker.limits, without)?;
    answers.write_all(&READY.to_le_bytes())?;
    let mut answer = Vec::new();
    while let Some(kind) = read_frame(&mut requests, &mut body)? {
        answer.clear();
        worker.answer(kind, &body, &mut answer).ok_or_else(malformed)?;
        // Answers come in order: units that a worker died of are the first without one.
        answers.write_all(&answer)?;
    }
    Ok(())
}

struct Worker {
    runner: Runner,
    limits: Limits,
    columns: [u32; 2],
    units: MappedUnits,
    round: u32,
    model: Model,
    /// Where updates are added up, if any are asked for; or metrics.
    sum: Option<PartialSum>,
    /// What is asked for instead of updates, and the gate that they would go through.
    metrics: Option<(Metrics, Gate)>,
}

impl Worker {
    fn new(setup: Setup, units: MappedUnits) -> wasmtime::Result<Self> {
        let engine = engine(&setup.limits)?;
        let component = load(&engine, &setup.component)?;
        // Needs descriptors, so not when the first instance is made.
        component.initialize_copy_on_write_image()?;
        let columns = [setup.features, setup.targets];
        let (limits, seed, params) = (setup.limits.clone(), setup.seed, setup.params);
        Ok(Self {
            runner: Runner::new(&component, limits, seed, params, columns, units.count())?,
            limits: setup.limits,
            columns,
            units,
            round: 0,
            model: Model { rows: 0, columns: 0, values: [].into() },
            sum: None,
            metrics: None,
        })
    }

    /// Computes an answer; `None` if the request makes no sense.
    fn answer(&mut self, kind: Kind, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match kind {
            Kind::Setup => return None,
            Kind::Init => match self.runner.init() {
                Some(model) => {
                    push_numbers(out, &[VALUES, model.rows, model.columns]);
                    push_values(out, &model.values);
                }
                None => push_numbers(out, &[NOTHING, 0, 0]),
            },
            Kind::Model => {
                let ModelFrame { round, model, gate } = parse_model(body)?;
                (self.round, self.model) = (round, model);
                // What a round before left there would be added to this one's.
                self.sum = gate.map(|gate| gate.partial());
                self.metrics = None;
            }
            Kind::Metrics => {
                let metrics = parse_metrics(body)?;
                let gate = *self.sum.take()?.gate();
                self.sum = Some(metrics.gate().partial());
                self.metrics = Some((metrics, gate));
            }
            Kind::Units => {
                let (first, count) = (number(body, 0)?, number(body, 1)?);
                push_numbers(out, &[first, count]);
                self.add_up(first..first.checked_add(count)?, out)?;
            }
            Kind::Some => {
                let count = u32::try_from(body.len() / 4).ok()?.checked_sub(1)?;
                push_numbers(out, &[number(body, 0)?, count]);
                self.add_up(numbers(&body[4..]), out)?;
            }
            Kind::Score => {
                let rows = number(body, 0)?;
                let features: Vec<f32> = values(&body[4..]).collect();
                let scores = self.runner.score(&self.model, rows, features);
                push_answer(out, &[], scores.as_deref());
            }
            #[cfg(feature = "examine")]
            Kind::Examine => self.examine(number(body, 0)?, out),
            #[cfg(not(feature = "examine"))]
            Kind::Examine => return None,
        }
        Some(())
    }

    /// The sum of the updates of units, or of their metrics.
    fn add_up(&mut self, units: impl Iterator<Item = u32>, out: &mut Vec<u8>) -> Option<()> {
        let [features, targets] = self.columns;
        let sum = self.sum.as_mut()?;
        sum.clear();
        let units = units.map(|unit| self.units.get(unit, features, targets));
        let (model, round) = (&self.model, self.round);
        match &self.metrics {
            None => self.runner.add_up(model, round, units, sum).ok()?,
            Some((metrics, gate)) => {
                self.runner.add_metrics(metrics, gate, model, round, units, sum).ok()?;
            }
        }
        sum.drain_into(out);
        Some(())
    }

    #[cfg(feature = "examine")]
    fn examine(&self, unit: u32, out: &mut Vec<u8>) {
        let [features, targets] = self.columns;
        let rows = self.units.get(unit, features, targets);
        let found = self.runner.examine(&self.model, self.round, rows);
        let ([fuel_low, fuel_high], [low, high]) = (halves(found.fuel), halves(found.memory));
        push_numbers(out, &[found.outcome.number(), fuel_low, fuel_high, low, high]);
        push_answer(out, &[], (!found.update.is_empty()).then_some(&found.update[..]));
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

/// Native code that this program's compiler wrote: the bytes of a
/// [`Compiled`](crate::Compiled), and no others.
#[allow(unsafe_code)]
pub(crate) fn load(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are native code. Those of a worker come over the channel from the
    // pool; here as there their only source is `Compiled`, which only `compile` makes, by
    // serializing what this same program's compiler wrote. No component code has run in a
    // worker before, and nobody else holds an end of its channel.
    unsafe { Component::deserialize(engine, bytes) }
}
