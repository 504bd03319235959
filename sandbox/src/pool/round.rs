//! One round: every unit's update, once, from whichever worker.
//!
//! Updates are deterministic, so a unit may be run as often as it takes; what a unit
//! gets must follow from that unit alone.
//!
//! 1. Units are sent ahead, so that workers do not wait; no worker gets more than its
//!    share, which is what [`crate::fuel::worst_case_round`] counts on.
//! 2. A worker answers in order, so the first unit without an answer is the one it runs.
//! 3. When a worker dies or breaks the protocol, that unit is a suspect: it is run again
//!    in a fresh worker with nothing else. If that one dies too, the unit gets nothing.
//!    The others that were sent go back to the front of the queue.
//! 4. A worker that is silent for too long is replaced and all its units are run again.
//!    Nobody gets nothing because of a clock, which belongs to the host.
//! 5. A worker that cannot be started is tried again for as long as it takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::event::PollFd;

use super::process::{Process, wait};
use super::{Pool, PoolError};
use crate::protocol::{Kind, NOTHING, VALUES, number, push_frame, push_unit, values};
use crate::random::MAX_ROUNDS;
use crate::units::UnitRows;

/// Units sent ahead to one worker.
const WINDOW: usize = 256;

/// Bytes that may wait to be sent to one worker before more units are added.
const BACKLOG_BYTES: usize = 128 << 10;

/// Between attempts to start a worker when none runs.
const RESTART_PAUSE: Duration = Duration::from_millis(50);

/// Answers that are received at once, beyond one whole answer.
const RECEIVE_BYTES: usize = 64 << 10;

/// What is told for each unit: its position, and its update if there is one.
pub type Sink<'a> = dyn FnMut(usize, Option<&[f32]>) + 'a;

impl Pool {
    /// Runs `update` for every unit and tells `sink` once for each, in any order.
    ///
    /// An update has the model's shape and finite elements. `None` stands for a trap, for
    /// exhausted fuel or memory, for a wrong shape or value, and for a unit that twice
    /// ended its worker; it must count as the zero update. Which it was cannot be known.
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
        let workers = self.workers.len();
        Round {
            frame,
            units,
            queue: (0..units.len()).collect(),
            suspects: VecDeque::new(),
            share: units.len().div_ceil(workers),
            taken: vec![0; workers],
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
    /// Units that a worker may have died of, to be run alone.
    suspects: VecDeque<usize>,
    /// The most units of the queue that one worker gets.
    share: usize,
    /// How many each has got and not given back.
    taken: Vec<usize>,
    unanswered: usize,
    /// Elements of an update.
    elements: usize,
    update: Vec<f32>,
    sink: &'a mut Sink<'b>,
}

/// What became of a worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Alive,
    /// It ended, or said what no worker says.
    Dead,
    /// It has said nothing for longer than any unit can take.
    Silent,
}

impl Round<'_, '_> {
    fn run(mut self, pool: &mut Pool) {
        self.hand_out(pool);
        pool.shares = self.taken;
    }

    fn hand_out(&mut self, pool: &mut Pool) {
        self.skip_misfits(pool);
        for slot in &mut pool.workers {
            self.greet(slot, &mut pool.launcher);
        }
        while self.unanswered > 0 {
            // Who takes over from a worker that does not start takes more than its share.
            let all_run = pool.workers.iter().all(Option::is_some);
            let share = if all_run { self.share } else { usize::MAX };
            for (index, slot) in pool.workers.iter_mut().enumerate() {
                self.feed(index, slot, &mut pool.launcher, share);
            }
            if pool.workers.iter().all(Option::is_none) {
                std::thread::sleep(RESTART_PAUSE);
                continue;
            }
            wait_for_any(&pool.workers, pool.patience);
            for (index, slot) in pool.workers.iter_mut().enumerate() {
                let Some(worker) = slot else { continue };
                let fate = self.serve(worker, pool.patience);
                if fate != Fate::Alive {
                    self.bury(index, slot, fate);
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
        if slot.is_none() {
            *slot = launcher.launch().ok();
        }
        if let Some(worker) = slot {
            worker.outgoing().extend_from_slice(&self.frame);
        }
    }

    fn feed(
        &mut self,
        index: usize,
        slot: &mut Option<Process>,
        launcher: &mut super::Launcher,
        share: usize,
    ) {
        let idle = slot.as_ref().is_none_or(|worker| worker.in_flight.is_empty());
        if idle && !self.suspects.is_empty() {
            // A fresh one: what ran there before must not matter.
            *slot = None;
        }
        if slot.is_none() {
            self.greet(slot, launcher);
        }
        let Some(worker) = slot else { return };
        if idle {
            worker.last_progress = Instant::now();
            worker.alone = false;
            if let Some(unit) = self.suspects.pop_front() {
                worker.alone = true;
                self.send(worker, unit);
            }
        }
        while !worker.alone
            && self.taken[index] < share
            && worker.in_flight.len() < WINDOW
            && worker.unsent() < BACKLOG_BYTES + self.frame.len()
        {
            let Some(unit) = self.queue.pop_front() else {
                return;
            };
            self.taken[index] += 1;
            self.send(worker, unit);
        }
    }

    fn send(&self, worker: &mut Process, unit: usize) {
        let number = u32::try_from(unit).unwrap_or(u32::MAX);
        push_unit(worker.outgoing(), number, &self.units[unit]);
        worker.in_flight.push_back(unit);
    }

    /// Moves bytes both ways and takes answers.
    fn serve(&mut self, worker: &mut Process, patience: Duration) -> Fate {
        let limit = RECEIVE_BYTES + 8 + 4 * self.elements;
        let received = worker.receive_now(limit);
        // Answers that arrived before a worker died are good.
        if self.take_answers(worker) == Fate::Dead {
            return Fate::Dead;
        }
        if !matches!(received, Ok(true)) || worker.send().is_err() {
            return Fate::Dead;
        }
        let waits = !worker.in_flight.is_empty() && worker.last_progress.elapsed() > patience;
        if waits { Fate::Silent } else { Fate::Alive }
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

    /// Ends a worker, and decides what becomes of its units.
    fn bury(&mut self, index: usize, slot: &mut Option<Process>, fate: Fate) {
        let Some(mut worker) = slot.take() else {
            return;
        };
        if worker.alone {
            if let Some(unit) = worker.in_flight.pop_front() {
                if fate == Fate::Dead {
                    self.unanswered -= 1;
                    (self.sink)(unit, None);
                } else {
                    self.suspects.push_back(unit);
                }
            }
            return;
        }
        self.taken[index] = self.taken[index].saturating_sub(worker.in_flight.len());
        if fate == Fate::Dead {
            self.suspects.extend(worker.in_flight.pop_front());
        }
        while let Some(unit) = worker.in_flight.pop_back() {
            self.queue.push_front(unit);
        }
    }
}

fn wait_for_any(workers: &[Option<Process>], patience: Duration) {
    let mut channels: Vec<PollFd<'_>> = workers
        .iter()
        .flatten()
        .map(|worker| PollFd::new(worker.channel(), worker.interest()))
        .collect();
    // Wakes now and then to notice a worker that is silent.
    let _ = wait(&mut channels, patience / 8);
}
