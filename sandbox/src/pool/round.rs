//! One round: every unit's update, once, from whichever worker.
//!
//! 1. Units are sent ahead, so that workers do not wait.
//! 2. A worker answers in order, so the first unit without an answer is the one it runs.
//! 3. When a worker dies, breaks the protocol or is silent for too long, that unit gets
//!    nothing, the others sent to it go to the front of the queue, and it is replaced.
//! 4. A unit that is not run because no worker can be started gets nothing, too: a round
//!    always ends, and always with one outcome for each unit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::event::PollFd;

use super::process::{Process, wait};
use super::{Pool, PoolError};
use crate::protocol::{Kind, NOTHING, VALUES, number, push_frame, values};
use crate::random::MAX_ROUNDS;
use crate::units::UnitRows;

/// Units sent ahead to one worker.
const WINDOW: usize = 256;

/// Bytes that may wait to be sent to one worker before more units are added.
const BACKLOG_BYTES: usize = 128 << 10;

/// Answers that are received at once, beyond one whole answer.
const RECEIVE_BYTES: usize = 64 << 10;

/// What is told for each unit: its position, and its update if there is one.
pub type Sink<'a> = dyn FnMut(usize, Option<&[f32]>) + 'a;

impl Pool {
    /// Runs `update` for every unit and tells `sink` once for each, in any order.
    ///
    /// An update has the model's shape and finite elements. `None` stands for a trap, for
    /// exhausted fuel or memory, for a wrong shape or value, and for a worker that died;
    /// it must count as the zero update. Which it was cannot be known.
    ///
    /// Fails before any unit is run, and only if `round` or the model's size is out of range.
    pub fn round(
        &mut self,
        round: u32,
        model: &[f32],
        units: &[UnitRows],
        sink: &mut Sink<'_>,
    ) -> Result<(), PoolError> {
        self.check_model(model)?;
        for (what, found, limit) in [
            ("the round", round as usize, MAX_ROUNDS as usize),
            ("the number of units", units.len(), u32::MAX as usize),
        ] {
            if found > limit {
                return Err(PoolError::TooMuch { what, found, limit });
            }
        }
        let mut frame = Vec::new();
        let shape = self.model_shape;
        push_frame(&mut frame, Kind::Model, &[round, shape.0, shape.1], &[model]);
        Round {
            frame,
            units,
            queue: (0..units.len()).collect(),
            unanswered: units.len(),
            elements: model.len(),
            update: Vec::with_capacity(model.len()),
            sink,
        }
        .run(self);
        Ok(())
    }
}

struct Round<'a, 'b> {
    /// The model, as workers receive it.
    frame: Vec<u8>,
    units: &'a [UnitRows],
    queue: VecDeque<usize>,
    unanswered: usize,
    /// Elements of an update.
    elements: usize,
    update: Vec<f32>,
    sink: &'a mut Sink<'b>,
}

/// What became of a worker.
#[derive(PartialEq, Eq)]
enum Fate {
    Alive,
    Dead,
}

impl Round<'_, '_> {
    fn run(mut self, pool: &mut Pool) {
        self.skip_misfits(pool);
        for slot in &mut pool.workers {
            self.greet(slot, &mut pool.launcher);
        }
        while self.unanswered > 0 {
            if pool.workers.iter().all(Option::is_none) {
                self.give_up();
                break;
            }
            for worker in pool.workers.iter_mut().flatten() {
                self.feed(worker);
            }
            wait_for_any(&pool.workers, pool.patience);
            for slot in &mut pool.workers {
                let Some(worker) = slot else { continue };
                if self.serve(worker, pool.patience) == Fate::Dead {
                    self.bury(slot);
                    self.greet(slot, &mut pool.launcher);
                }
            }
        }
    }

    /// Units whose rows are too many or not as long as they say never reach a worker.
    fn skip_misfits(&mut self, pool: &Pool) {
        let (units, sink) = (self.units, &mut *self.sink);
        let unanswered = &mut self.unanswered;
        self.queue.retain(|unit| {
            let fits = units[*unit].fits(pool.features, pool.targets);
            if !fits {
                sink(*unit, None);
                *unanswered -= 1;
            }
            fits
        });
    }

    /// Makes sure that a slot has a worker, if one can be started, and sends it the model.
    fn greet(&self, slot: &mut Option<Process>, launcher: &mut super::Launcher) {
        if slot.is_none() && !self.queue.is_empty() {
            *slot = launcher.launch().ok();
        }
        if let Some(worker) = slot {
            worker.outgoing().extend_from_slice(&self.frame);
        }
    }

    fn feed(&mut self, worker: &mut Process) {
        if worker.in_flight.is_empty() {
            worker.last_progress = Instant::now();
        }
        while worker.in_flight.len() < WINDOW && worker.unsent() < BACKLOG_BYTES + self.frame.len()
        {
            let Some(unit) = self.queue.pop_front() else {
                return;
            };
            let rows = &self.units[unit];
            let index = u32::try_from(unit).unwrap_or(u32::MAX);
            let arrays = [&rows.features[..], &rows.targets[..]];
            push_frame(worker.outgoing(), Kind::Unit, &[index, rows.rows], &arrays);
            worker.in_flight.push_back(unit);
        }
    }

    /// Moves bytes both ways and takes answers.
    fn serve(&mut self, worker: &mut Process, patience: Duration) -> Fate {
        let limit = RECEIVE_BYTES + 8 + 4 * self.elements;
        let received = worker.receive_now(limit);
        // Answers that arrived before a worker died are good.
        if self.take_answers(worker) == Fate::Dead {
            return Fate::Dead;
        }
        let open = matches!(received, Ok(true)) && worker.send().is_ok();
        let stuck = !worker.in_flight.is_empty() && worker.last_progress.elapsed() > patience;
        if open && !stuck { Fate::Alive } else { Fate::Dead }
    }

    fn take_answers(&mut self, worker: &mut Process) -> Fate {
        loop {
            let bytes = worker.received();
            let (Some(found), Some(tag)) = (number(bytes, 0), number(bytes, 1)) else {
                return Fate::Alive;
            };
            let Some(unit) = worker.in_flight.front().copied() else {
                return Fate::Dead;
            };
            let length = match tag {
                NOTHING => 8,
                VALUES => 8 + 4 * self.elements,
                _ => return Fate::Dead,
            };
            if found as usize != unit {
                return Fate::Dead;
            }
            let Some(answer) = bytes.get(8..length) else {
                return Fate::Alive;
            };
            self.update.clear();
            self.update.extend(values(answer));
            worker.consume(length);
            worker.in_flight.pop_front();
            let good = tag == VALUES && self.update.iter().all(|value| value.is_finite());
            self.unanswered -= 1;
            (self.sink)(unit, good.then_some(&self.update));
        }
    }

    /// Ends a worker. The unit it ran gets nothing; the rest are run by others.
    fn bury(&mut self, slot: &mut Option<Process>) {
        let Some(mut worker) = slot.take() else {
            return;
        };
        if let Some(unit) = worker.in_flight.pop_front() {
            self.unanswered -= 1;
            (self.sink)(unit, None);
        }
        while let Some(unit) = worker.in_flight.pop_back() {
            self.queue.push_front(unit);
        }
    }

    /// No worker is left and none can be started.
    fn give_up(&mut self) {
        for unit in self.queue.drain(..) {
            (self.sink)(unit, None);
        }
        self.unanswered = 0;
    }
}

fn wait_for_any(workers: &[Option<Process>], patience: Duration) {
    let mut channels: Vec<PollFd<'_>> = workers
        .iter()
        .flatten()
        .map(|worker| PollFd::new(worker.channel(), worker.interest()))
        .collect();
    // Wakes now and then to notice a worker that is stuck.
    let _ = wait(&mut channels, patience / 8);
}
