//! The one session of the enclave, whichever state it is in.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use cloister_protocol::{
    frames::{SessionState, Status},
    grant::SealedGrant,
    transcript::TranscriptId,
};
use tokio::{sync::watch, time::Instant};

use crate::{
    events::{Event, emit},
    refusal::{Code, Refused},
    rounds::Workshop,
    session::{Attested, Ending, Granted, Loaded, LoadedDataset, Loading, Progress},
};

/// Where the session lies. Nothing waits while it is held.
pub(super) struct Desk {
    state: Mutex<State>,
    workshop: Arc<Workshop>,
}

enum State {
    Idle,
    Attested(Box<Attested>),
    Granted(Box<Granted>),
    Running(Running),
}

/// A session on its own thread.
struct Running {
    id: TranscriptId,
    began: Instant,
    of: u32,
    progress: watch::Receiver<Progress>,
    /// Dropped, it stops the rounds.
    stop: Option<mpsc::Sender<()>>,
}

/// What an exchange needs to follow a session.
pub(super) struct Followed {
    /// The clock of heartbeats began here.
    pub(super) began: Instant,
    pub(super) progress: watch::Receiver<Progress>,
}

impl Desk {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        Self { state: Mutex::new(State::Idle), workshop }
    }

    pub(super) fn status(&self, platform: &str) -> Status {
        let (transcript, state) = match &*self.lock() {
            State::Idle => (None, SessionState::Idle),
            State::Attested(session) => (Some(session.id()), SessionState::Attested),
            State::Granted(session) => (Some(session.id()), SessionState::Granted),
            State::Running(running) => match running.ending() {
                None => (Some(running.id), SessionState::Running),
                Some(Ending::Complete) => (Some(running.id), SessionState::Released),
                Some(_) => (None, SessionState::Idle),
            },
        };
        let version = env!("CARGO_PKG_VERSION").into();
        Status { version, platform: platform.into(), transcript, state }
    }

    /// Whether a new job may be offered.
    pub(super) fn vacant(&self) -> Result<(), Refused> {
        self.lock().vacant()
    }

    /// Puts a new session in the place of the old one, if that may be replaced.
    pub(super) fn attested(&self, session: Attested) -> Result<(), Refused> {
        let mut state = self.lock();
        state.vacant()?;
        emit(Event::Attested { transcript: session.id() });
        *state = State::Attested(Box::new(session));
        Ok(())
    }

    pub(super) fn grant(&self, id: TranscriptId, grants: &[SealedGrant]) -> Result<(), Refused> {
        let mut state = self.lock();
        state.check(id)?;
        match mem::replace(&mut *state, State::Idle) {
            State::Attested(session) => match session.grant(grants) {
                Ok(session) => {
                    *state = State::Granted(Box::new(session));
                    emit(Event::Granted { transcript: id });
                    Ok(())
                }
                Err((session, refused)) => {
                    *state = State::Attested(session);
                    Err(refused)
                }
            },
            other => {
                *state = other;
                Err(Refused::new(Code::State, "the grants of this transcript were given before"))
            }
        }
    }

    pub(super) fn begin_load(
        &self,
        id: TranscriptId,
        index: u32,
        length: u64,
    ) -> Result<Loading, Refused> {
        let state = self.lock();
        state.check(id)?;
        match &*state {
            State::Granted(session) => session.begin(index, length),
            State::Attested(_) => Err(Refused::new(Code::State, "the grants come before the data")),
            _ => Err(Refused::new(Code::State, "all data is loaded: follow the releases")),
        }
    }

    /// Takes a complete dataset. When it was the last one, the rounds begin.
    pub(super) fn complete_load(
        &self,
        id: TranscriptId,
        index: u32,
        dataset: LoadedDataset,
    ) -> Result<u32, Refused> {
        let mut state = self.lock();
        state.check(id)?;
        let State::Granted(session) = &mut *state else {
            return Err(Refused::new(Code::State, "no data is awaited"));
        };
        session.complete(dataset);
        let missing = session.missing();
        emit(Event::Loaded { transcript: id, index, missing });
        if missing == 0
            && let State::Granted(session) = mem::replace(&mut *state, State::Idle)
        {
            *state = match session.loaded() {
                Ok(session) => State::Running(self.run(session)?),
                Err(session) => State::Granted(session),
            };
        }
        Ok(missing)
    }

    fn run(&self, session: Loaded) -> Result<Running, Refused> {
        let (progress, followed) = watch::channel(Progress::default());
        let (stop, stopped) = mpsc::channel();
        let (id, of) = (session.id(), session.releases());
        let workshop = Arc::clone(&self.workshop);
        // If it panics, the sender of progress is gone, and followers are told of a fault.
        let rounds = move || session.run(&workshop, &progress, &stopped);
        let thread = thread::Builder::new().name("rounds".into()).spawn(rounds);
        thread.map_err(|_| Refused::new(Code::Internal, "no thread for the rounds"))?;
        Ok(Running { id, of, began: Instant::now(), progress: followed, stop: Some(stop) })
    }

    pub(super) fn follow(&self, id: TranscriptId, from: u32) -> Result<Followed, Refused> {
        let state = self.lock();
        state.check(id)?;
        let State::Running(running) = &*state else {
            return Err(Refused::new(Code::State, "nothing is released before all data is loaded"));
        };
        if from > running.of {
            let why = format!("release {from} of a job with {}", running.of);
            return Err(Refused::new(Code::ReleaseNumber, why));
        }
        Ok(Followed { began: running.began, progress: running.progress.clone() })
    }

    pub(super) fn abandon(&self, id: TranscriptId) -> Result<(), Refused> {
        let mut state = self.lock();
        state.check(id)?;
        match &mut *state {
            // The thread ends at its next release, and is busy until then.
            State::Running(running) if running.ending().is_none() => running.stop = None,
            other => *other = State::Idle,
        }
        Ok(())
    }

    /// A panic while the desk was held has left a whole state: each is put in place at once.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn id(&self) -> Option<TranscriptId> {
        match self {
            Self::Idle => None,
            Self::Attested(session) => Some(session.id()),
            Self::Granted(session) => Some(session.id()),
            Self::Running(running) => Some(running.id),
        }
    }

    fn check(&self, id: TranscriptId) -> Result<(), Refused> {
        if self.id() == Some(id) {
            return Ok(());
        }
        let why = match self.id() {
            Some(found) => format!("the transcript in hand is {found:?}, not {id:?}"),
            None => format!(
                "there is no session, so transcript {id:?} is not in hand: offer the job again"
            ),
        };
        Err(Refused::new(Code::TranscriptOther, why))
    }

    fn vacant(&self) -> Result<(), Refused> {
        let why = match self {
            Self::Idle | Self::Attested(_) => return Ok(()),
            Self::Granted(_) => "grants of another job are open: load its data, or abandon it",
            Self::Running(running) => match (running.ending(), &running.stop) {
                (Some(_), _) => return Ok(()),
                (None, Some(_)) => "another job runs: wait for its last release",
                (None, None) => "an abandoned job runs until its next release: wait for that",
            },
        };
        Err(Refused::new(Code::Busy, why))
    }
}

impl Running {
    fn ending(&self) -> Option<Ending> {
        let ended = self.progress.borrow().ending;
        // A sender that is gone without a word has panicked.
        ended.or_else(|| self.progress.has_changed().is_err().then_some(Ending::Fault))
    }
}
