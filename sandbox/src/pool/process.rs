//! One worker process, as the pool sees it: a child and a channel that never blocks.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroize;

use super::PoolError;
use super::round::Span;
use crate::instance::Model;
use crate::limits::MAX_MODEL_ELEMENTS;
use crate::protocol::{NOTHING, READY, VALUES, number, values};
use crate::shared::SharedUnits;

/// How long a process may take to start: the machine may be busy.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Read at once from a worker.
const READ_BYTES: usize = 64 << 10;

/// Most bytes that are sent to a worker before its answers are looked at.
const SEND_BYTES: usize = 256 << 10;

/// Starts workers.
pub(super) struct Launcher {
    command: Command,
    setup: Vec<u8>,
    units: Option<SharedUnits>,
}

impl Launcher {
    pub(super) fn new(mut command: Command, setup: Vec<u8>) -> Self {
        command.env_clear();
        Self { command, setup, units: None }
    }

    /// Gives workers that are started from now on these units.
    pub(super) fn share(&mut self, units: SharedUnits) {
        self.units = Some(units);
    }

    /// How many units workers are given.
    pub(super) fn units(&self) -> u32 {
        self.units.as_ref().map_or(0, SharedUnits::count)
    }

    /// Starts a worker and waits until it is confined and has loaded the component.
    pub(super) fn launch(&mut self) -> io::Result<Process> {
        self.spawn()?.ready()
    }

    /// Starts so many workers at once. One that does not start leaves its place empty.
    pub(super) fn launch_all(&mut self, count: usize) -> Vec<Option<Process>> {
        let started: Vec<_> = (0..count).map(|_| self.spawn()).collect();
        started.into_iter().map(|process| process.and_then(Starting::ready).ok()).collect()
    }

    fn spawn(&mut self) -> io::Result<Starting> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let units = self.units.as_ref().map(SharedUnits::descriptor).transpose()?;
        let child = self
            .command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(units.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::null())
            .spawn();
        // The command keeps our copy of the child's end until it gets something else.
        self.command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Process::new(child?, ours);
        process.outgoing.extend_from_slice(&self.setup);
        // What the channel takes now, so that all of them read at once.
        process.send()?;
        Ok(Starting(process))
    }
}

/// A worker that was not heard of yet.
struct Starting(Process);

impl Starting {
    fn ready(self) -> io::Result<Process> {
        let Self(mut process) = self;
        let deadline = Instant::now() + START_PATIENCE;
        match process.receive(4, deadline).and_then(|b| number(b, 0)) {
            Some(READY) => {
                process.consume(4);
                Ok(process)
            }
            _ => Err(io::Error::other("it ended before it was ready")),
        }
    }
}

/// A worker process. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    channel: UnixStream,
    outgoing: Vec<u8>,
    sent: usize,
    buffer: Box<[u8]>,
    incoming: Vec<u8>,
    consumed: usize,
    /// Units sent and not yet answered, in order; the first ones are running.
    pub(super) in_flight: VecDeque<Span>,
    /// It has the model of this round.
    pub(super) told: bool,
    /// The units in flight are suspects, and nothing else may be sent.
    pub(super) alone: bool,
    /// When the worker last said something, or was given work while idle.
    pub(super) last_progress: Instant,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.outgoing.zeroize();
        self.incoming.zeroize();
        self.buffer.zeroize();
    }
}

impl Process {
    fn new(child: Child, channel: UnixStream) -> Self {
        Self {
            child,
            channel,
            outgoing: Vec::new(),
            sent: 0,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            incoming: Vec::new(),
            consumed: 0,
            in_flight: VecDeque::new(),
            told: false,
            alone: false,
            last_progress: Instant::now(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn channel(&self) -> &UnixStream {
        &self.channel
    }

    /// Where frames are appended that [`Process::send`] will send.
    pub(super) fn outgoing(&mut self) -> &mut Vec<u8> {
        if self.sent == self.outgoing.len() {
            // Rows that were sent need not stay here.
            self.outgoing.zeroize();
            self.sent = 0;
        }
        &mut self.outgoing
    }

    /// Bytes not yet sent.
    pub(super) fn unsent(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// What to wait for.
    pub(super) fn interest(&self) -> PollFlags {
        if self.unsent() > 0 { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    /// Sends what the channel takes now.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let end = self.outgoing.len().min(self.sent + SEND_BYTES);
        while self.sent < end {
            match (&self.channel).write(&self.outgoing[self.sent..end]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives what is there, at most so much that `limit` bytes wait to be consumed.
    /// `false` when the worker has closed its end.
    pub(super) fn receive_now(&mut self, limit: usize) -> io::Result<bool> {
        self.incoming.drain(..self.consumed);
        self.consumed = 0;
        while self.incoming.len() < limit {
            let room = READ_BYTES.min(limit - self.incoming.len());
            match (&self.channel).read(&mut self.buffer[..room]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.incoming.extend_from_slice(&self.buffer[..count]);
                    self.last_progress = Instant::now();
                    if count < room {
                        break;
                    }
                }
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// What has been received and not consumed.
    pub(super) fn received(&self) -> &[u8] {
        &self.incoming[self.consumed..]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.consumed += count;
    }

    /// Waits for exactly `count` bytes, sending what is to be sent. `None` if the worker
    /// dies or the deadline passes.
    fn receive(&mut self, count: usize, deadline: Instant) -> Option<&[u8]> {
        while self.received().len() < count {
            let left = deadline.checked_duration_since(Instant::now())?;
            wait(&mut [PollFd::new(&self.channel, self.interest())], left).ok()?;
            let broken = self.send().is_err();
            let open = self.receive_now(count).ok()?;
            if self.received().len() < count && (broken || !open) {
                return None;
            }
        }
        Some(&self.received()[..count])
    }

    /// Waits for an answer with this many values, or for the answer that there are none.
    pub(super) fn answer(
        &mut self,
        expected: usize,
        patience: Duration,
    ) -> Result<Option<Vec<f32>>, PoolError> {
        let deadline = Instant::now() + patience;
        let tag = self.numbers::<1>(deadline)?;
        match tag {
            [NOTHING] => Ok(None),
            [VALUES] => self.finite_values(expected, deadline).map(Some),
            _ => Err(PoolError::Died),
        }
    }

    /// Waits for the first model, or for the answer that there is none.
    pub(super) fn first_model(&mut self, patience: Duration) -> Result<Option<Model>, PoolError> {
        let deadline = Instant::now() + patience;
        let [tag, rows, columns] = self.numbers(deadline)?;
        let elements = (rows as usize).saturating_mul(columns as usize);
        match tag {
            NOTHING => Ok(None),
            VALUES if elements <= MAX_MODEL_ELEMENTS => Ok(Some(Model {
                rows,
                columns,
                values: self.finite_values(elements, deadline)?.into(),
            })),
            _ => Err(PoolError::Died),
        }
    }

    /// Waits for so many numbers.
    pub(super) fn numbers<const N: usize>(
        &mut self,
        deadline: Instant,
    ) -> Result<[u32; N], PoolError> {
        let bytes = self.receive(4 * N, deadline).ok_or(PoolError::Died)?;
        let mut numbers = [0; N];
        for (index, found) in numbers.iter_mut().enumerate() {
            *found = number(bytes, index).ok_or(PoolError::Died)?;
        }
        self.consume(4 * N);
        Ok(numbers)
    }

    fn finite_values(&mut self, count: usize, deadline: Instant) -> Result<Vec<f32>, PoolError> {
        let bytes = self.receive(4 * count, deadline).ok_or(PoolError::Died)?;
        let values: Vec<f32> = values(bytes).collect();
        self.consume(4 * count);
        if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(PoolError::Died) }
    }
}

/// Waits until a channel is ready or the time is over.
pub(super) fn wait(channels: &mut [PollFd<'_>], left: Duration) -> io::Result<()> {
    let left = Timespec::try_from(left).ok();
    match poll(channels, left.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
