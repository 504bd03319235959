//! Last states: rounds run, releases are kept.

use std::{
    ops::ControlFlow,
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use cloister_protocol::{job::Schedule, transcript::TranscriptId};
use cloister_sandbox::{Compiled, Settings};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::{
    events::{Event, emit},
    release::{Kept, Notary},
    rounds::{self, Outlet, Output, Plan, Pools, Timetable, Workshop},
    rows::{Table, Units, join},
};

/// A session with all its data.
pub struct Loaded {
    pub(super) notary: Notary,
    pub(super) schedule: Schedule,
    pub(super) plan: Plan,
    pub(super) compiled: Compiled,
    pub(super) settings: Settings,
    /// The tables of each population.
    pub(super) tables: Vec<Vec<Table>>,
}

/// What has been released so far.
#[derive(Default)]
pub struct Progress {
    /// The releases, by number.
    pub releases: Vec<Arc<Kept>>,
    /// Whether there will be more, and if not, why.
    pub ending: Option<Ending>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last release.
    Complete,
    /// The host abandoned it.
    Abandoned,
    /// By a fault of the enclave: no random numbers, say.
    Fault,
}

/// A session whose rounds are over. Its rows and keys are gone; its releases are not.
pub struct Released {
    /// How it ended.
    pub ending: Ending,
}

impl Loaded {
    /// The transcript.
    #[must_use]
    pub fn id(&self) -> TranscriptId {
        self.notary.transcript()
    }

    /// How many releases there will be.
    #[must_use]
    pub fn releases(&self) -> u32 {
        self.notary.releases()
    }

    /// Runs all rounds on this thread, each release at its time, until the last one or
    /// until `stop` hears something or its sender is gone.
    ///
    /// The times count from when the workers are ready, which is before any row is used:
    /// tables are joined after it.
    #[expect(clippy::must_use_candidate, reason = "followers learn of the ending as well")]
    pub fn run(
        self,
        workshop: &Workshop,
        progress: &watch::Sender<Progress>,
        stop: &mpsc::Receiver<()>,
    ) -> Released {
        let Self { notary, schedule, plan, compiled, settings, tables } = self;
        let transcript = notary.transcript();
        let mut pools = Pools::new(workshop, &compiled, &settings);
        pools.warm(plan.public().is_some());
        let timetable = Timetable::new(Instant::now(), schedule);
        // From here on nobody sees how long anything takes, and joining depends on rows.
        let mut units = Units::none();
        for tables in tables {
            units.append(join(tables));
        }
        let mut desk = Desk { notary, timetable, progress, stop, ending: Ending::Complete };
        match noise_generator() {
            Some(mut rng) => {
                // What it returns, the desk knows: it is the desk that breaks off.
                let _ = rounds::run(&plan, units, &mut pools, &mut rng, &mut desk);
            }
            None => desk.ending = Ending::Fault,
        }
        let ending = desk.ending;
        progress.send_modify(|progress| progress.ending = Some(ending));
        emit(Event::Ended { transcript });
        Released { ending }
    }
}

/// The generator of all noise of one session, seeded by the system inside the enclave.
fn noise_generator() -> Option<ChaCha20Rng> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).ok()?;
    Some(ChaCha20Rng::from_seed(*seed))
}

/// Signs releases, waits until they are due, and puts them where followers find them.
struct Desk<'a> {
    notary: Notary,
    timetable: Timetable,
    progress: &'a watch::Sender<Progress>,
    stop: &'a mpsc::Receiver<()>,
    ending: Ending,
}

impl Desk<'_> {
    /// Waits for the time; says whether the session goes on, or was abandoned.
    ///
    /// An abandoned session waits as well: an end as soon as the work is done would tell
    /// how long it took, without noise.
    fn wait_until(&self, due: Instant) -> bool {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return matches!(self.stop.try_recv(), Err(mpsc::TryRecvError::Empty));
            }
            thread::sleep(left);
        }
    }
}

impl Outlet for Desk<'_> {
    fn release(&mut self, output: Output) -> ControlFlow<()> {
        let number = output.number;
        let Ok(kept) = self.notary.sign(&output) else {
            self.ending = Ending::Fault;
            return ControlFlow::Break(());
        };
        let due = self.timetable.due(Instant::now());
        if !self.wait_until(due) {
            self.ending = Ending::Abandoned;
            return ControlFlow::Break(());
        }
        self.progress.send_modify(|progress| progress.releases.push(Arc::new(kept)));
        emit(Event::Released { transcript: self.notary.transcript(), number });
        ControlFlow::Continue(())
    }
}
