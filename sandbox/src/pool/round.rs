//! One round: every unit's update, once, from whichever worker, into one sum.
//!
//! Updates are deterministic and sums are of integers, so units may be run as often as it
//! takes and added in any order; what a unit gets must follow from that unit alone.
//!
//! 1. Units are handed out in spans, ahead, so that workers do not wait; no worker gets more
//!    than its share, which is what [`crate::fuel::worst_case_round`] counts on.
//! 2. A worker answers in order, with the sum of a span. It is taken if so many units can
//!    add up to it; else the worker is not ours any more.
//! 3. When a worker dies or breaks the protocol, the span that it was at is suspect: it is
//!    run again in a fresh worker with nothing else. If that one dies too, each half is, and
//!    so on; a single unit that two workers died of gets the zero update. The other spans
//!    that were sent go back to the front of the queue.
//! 4. A worker that is silent for too long is replaced and all its units are run again.
//!    Nobody gets nothing because of a clock, which belongs to the host.
//! 5. A worker that cannot be started is tried again for as long as it takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cloister_privacy::{Gate, IntegerSum};
use rustix::event::PollFd;

use super::process::{Process, wait};
use super::{Pool, PoolError};
use crate::protocol::{Kind, number, push_frame, push_model};
use crate::random::MAX_ROUNDS;

/// Spans sent ahead to one worker.
const WINDOW: usize = 2;

/// Spans that each worker gets in a round, unless they are longer than [`LONGEST`]. More of
/// them even out what workers take; fewer cost less for a large model.
const SPANS: u32 = 8;

/// The longest span: what is lost when a worker is killed.
const LONGEST: u32 = 1024;

/// Between attempts to start a worker when none runs.
const RESTART_PAUSE: Duration = Duration::from_millis(50);

/// Units one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    first: u32,
    count: u32,
}

impl Pool {
    /// The sum of every loaded unit's update, as `gate` clips and rounds each.
    ///
    /// A trap, exhausted fuel or memory, a wrong shape or value, and a unit that ended two
    /// workers count as the zero update. Which it was cannot be known, nor of whom.
    ///
    /// # Errors
    ///
    /// Before any unit is run, and only if `round`, the model's size or the gate's dimension
    /// are out of range.
    pub fn round(
        &mut self,
        round: u32,
        model: &[f32],
        gate: &Gate,
    ) -> Result<IntegerSum, PoolError> {
        let asked = self.asked(round, model, gate)?;
        Ok(self.sum_of(asked, self.launcher.units(), None))
    }

    /// The same of some units alone, by their places among those loaded.
    ///
    /// # Errors
    ///
    /// As for [`round`](Self::round), and for a place where there is no unit.
    pub fn round_of(
        &mut self,
        chosen: &[u32],
        round: u32,
        model: &[f32],
        gate: &Gate,
    ) -> Result<IntegerSum, PoolError> {
        let units = self.launcher.units() as usize;
        if let Some(place) = chosen.iter().find(|place| **place as usize >= units) {
            let (found, limit) = (*place as usize + 1, units);
            return Err(PoolError::TooMuch { what: "a chosen unit", found, limit });
        }
        let count = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let asked = self.asked(round, model, gate)?;
        Ok(self.sum_of(asked, count, Some(chosen)))
    }

    /// What is asked of units in a round, if it makes sense.
    pub(super) fn asked(&self, round: u32, model: &[f32], gate: &Gate) -> Result<Asked, PoolError> {
        self.check_model(model)?;
        if round > MAX_ROUNDS {
            let (found, limit) = (round as usize, MAX_ROUNDS as usize);
            return Err(PoolError::TooMuch { what: "the round", found, limit });
        }
        if gate.dimension() != model.len() {
            let (found, expected) = (gate.dimension(), model.len());
            return Err(PoolError::Shape { what: "the gate", found, expected });
        }
        let mut frame = Vec::new();
        push_model(&mut frame, round, self.model_shape, Some(gate), model);
        Ok(Asked { frame, gate: *gate, missing: Vec::new(), calls: 1 })
    }

    /// The sum over so many units, all that are loaded or those chosen, of what is asked.
    pub(super) fn sum_of(
        &mut self,
        asked: Asked,
        units: u32,
        chosen: Option<&[u32]>,
    ) -> IntegerSum {
        let gate = asked.gate;
        let workers = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        let share = units.div_ceil(workers);
        let longest = share.div_ceil(SPANS).clamp(1, LONGEST.min(gate.partial_units()));
        let mut round = Round {
            asked,
            chosen,
            next: 0,
            units,
            longest,
            returned: VecDeque::new(),
            suspects: VecDeque::new(),
            share,
            taken: vec![0; self.workers.len()],
            unanswered: units,
            sum: gate.sum(),
        };
        round.run(self);
        self.shares = round.taken.iter().map(|taken| *taken as usize).collect();
        round.sum
    }
}

/// What workers are asked of each unit.
pub(super) struct Asked {
    /// The model and the gate, as workers receive them.
    pub(super) frame: Vec<u8>,
    /// What goes through this gate is added up.
    pub(super) gate: Gate,
    /// What counts for a unit that workers died of; zero, if it is none of the gate's.
    pub(super) missing: Vec<f32>,
    /// Calls of code for each unit.
    pub(super) calls: u32,
}

struct Round<'a> {
    asked: Asked,
    /// Which units take part, if not all do. Spans are of places in this list then.
    chosen: Option<&'a [u32]>,
    /// The first unit that was not handed out yet.
    next: u32,
    units: u32,
    longest: u32,
    /// Spans that a worker did not get to.
    returned: VecDeque<Span>,
    /// Spans that a worker may have died of, to be run alone.
    suspects: VecDeque<Span>,
    /// The most units of the queue that one worker gets.
    share: u32,
    /// How many each has got and not given back.
    taken: Vec<u32>,
    unanswered: u32,
    sum: IntegerSum,
}

/// What became of a worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Alive,
    /// It ended, or said what no worker says.
    Dead,
    /// It has said nothing for longer than its units can take.
    Silent,
}

impl Round<'_> {
    fn run(&mut self, pool: &mut Pool) {
        for worker in pool.workers.iter_mut().flatten() {
            worker.told = false;
        }
        let calls = self.longest.saturating_mul(self.asked.calls);
        let patience = pool.patience + pool.patience_per_unit.saturating_mul(calls);
        while self.unanswered > 0 {
            // Who takes over from a worker that does not start takes more than its share.
            let all_run = pool.workers.iter().all(Option::is_some);
            let share = if all_run { self.share } else { u32::MAX };
            for (index, slot) in pool.workers.iter_mut().enumerate() {
                self.feed(index, slot, &mut pool.launcher, share);
            }
            if pool.workers.iter().all(Option::is_none) {
                std::thread::sleep(RESTART_PAUSE);
                continue;
            }
            wait_for_any(&pool.workers, patience);
            for (index, slot) in pool.workers.iter_mut().enumerate() {
                let Some(worker) = slot else { continue };
                let fate = self.serve(worker, patience);
                if fate != Fate::Alive {
                    self.bury(index, slot, fate);
                }
            }
        }
    }

    fn feed(
        &mut self,
        index: usize,
        slot: &mut Option<Process>,
        launcher: &mut super::Launcher,
        share: u32,
    ) {
        let idle = slot.as_ref().is_none_or(|worker| worker.in_flight.is_empty());
        if idle && !self.suspects.is_empty() {
            // A fresh one: what ran there before must not matter.
            *slot = None;
        }
        if slot.is_none() {
            *slot = launcher.launch().ok();
        }
        let Some(worker) = slot else { return };
        if idle {
            worker.last_progress = Instant::now();
            worker.alone = false;
            if let Some(span) = self.suspects.pop_front() {
                worker.alone = true;
                self.send(worker, span);
            }
        }
        while !worker.alone && worker.in_flight.len() < WINDOW {
            let Some(span) = self.take(share.saturating_sub(self.taken[index])) else { return };
            self.taken[index] += span.count;
            self.send(worker, span);
        }
    }

    /// Sends units; before the first ones the model. Who gets none of a round is not sent its
    /// model either: it would wait there, with those of other such rounds, for the next units.
    fn send(&self, worker: &mut Process, span: Span) {
        if !worker.told {
            worker.outgoing().extend_from_slice(&self.asked.frame);
            worker.told = true;
        }
        let Span { first, count } = span;
        match self.chosen {
            None => push_frame(worker.outgoing(), Kind::Units, &[first, count], &[]),
            Some(chosen) => {
                let units = &chosen[first as usize..(first + count) as usize];
                push_frame(worker.outgoing(), Kind::Some, &[&[first], units].concat(), &[]);
            }
        }
        worker.in_flight.push_back(span);
    }

    /// The next span of at most `most` units.
    fn take(&mut self, most: u32) -> Option<Span> {
        if most == 0 {
            return None;
        }
        if let Some(span) = self.returned.pop_front() {
            let (span, rest) = span.split(most);
            if let Some(rest) = rest {
                self.returned.push_front(rest);
            }
            return Some(span);
        }
        let count = (self.units - self.next).min(self.longest).min(most);
        let span = Span { first: self.next, count };
        self.next += count;
        (count > 0).then_some(span)
    }

    /// Moves bytes both ways and takes answers.
    fn serve(&mut self, worker: &mut Process, patience: Duration) -> Fate {
        let received = worker.receive_now(self.answer_bytes());
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

    /// Bytes of an answer: first unit, number of units, sum.
    fn answer_bytes(&self) -> usize {
        8 + 4 * self.sum.dimension()
    }

    fn take_answers(&mut self, worker: &mut Process) -> Fate {
        let length = self.answer_bytes();
        loop {
            let Some(answer) = worker.received().get(..length) else {
                return Fate::Alive;
            };
            let found = (number(answer, 0), number(answer, 1));
            let Some(span) = worker.in_flight.front().copied() else {
                return Fate::Dead;
            };
            if found != (Some(span.first), Some(span.count)) {
                return Fate::Dead;
            }
            if self.sum.merge_partial(span.count, &answer[8..]).is_err() {
                return Fate::Dead;
            }
            worker.consume(length);
            worker.in_flight.pop_front();
            self.unanswered -= span.count;
        }
    }

    /// Ends a worker, and decides what becomes of its units.
    fn bury(&mut self, index: usize, slot: &mut Option<Process>, fate: Fate) {
        let Some(mut worker) = slot.take() else {
            return;
        };
        if worker.alone {
            let Some(span) = worker.in_flight.pop_front() else { return };
            match (fate, span.split(span.count / 2)) {
                (Fate::Dead, (_, None)) => {
                    self.unanswered -= 1;
                    let added = self.sum.add(&self.asked.gate.quantise(&self.asked.missing));
                    debug_assert!(added.is_ok());
                }
                (Fate::Dead, (one, Some(other))) => self.suspects.extend([one, other]),
                (Fate::Silent | Fate::Alive, _) => self.suspects.push_back(span),
            }
            return;
        }
        let returned: u32 = worker.in_flight.iter().map(|span| span.count).sum();
        self.taken[index] = self.taken[index].saturating_sub(returned);
        if fate == Fate::Dead {
            self.suspects.extend(worker.in_flight.pop_front());
        }
        while let Some(span) = worker.in_flight.pop_back() {
            self.returned.push_front(span);
        }
    }
}

impl Span {
    /// The first units, at least one and at most `count`, and what is left.
    fn split(self, count: u32) -> (Self, Option<Self>) {
        let count = count.max(1);
        if count >= self.count {
            return (self, None);
        }
        let rest = Self { first: self.first + count, count: self.count - count };
        (Self { count, ..self }, Some(rest))
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
