//! Ctrl-C: while a job is followed, and while a file is made.

use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::error::{Context, Error, Result};

/// The exit code of what was interrupted.
const INTERRUPTED: i32 = 130;

/// From now on an interrupt prints `resume` and ends the program with 130.
pub fn say(resume: String) {
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            anstream::eprintln!("\nThe job goes on without you. To come back: {resume}");
            exit(INTERRUPTED);
        }
    });
}

/// Whether somebody wants the program to end.
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// From now on SIGINT and SIGTERM are left to [`Flag::check`], so that what is half
    /// done is cleaned up. The second one ends the program at once.
    pub fn listen() -> Result<Self> {
        let (runtime, interrupt, terminate) = signals().doing("cannot listen to signals")?;
        let raised = Arc::new(AtomicBool::new(false));
        let flag = Self(Arc::clone(&raised));
        std::thread::spawn(move || runtime.block_on(raise(&raised, interrupt, terminate)));
        Ok(flag)
    }

    /// Fails once somebody wants the program to end.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Signals count from here on, not from when a thread gets to them.
fn signals() -> std::io::Result<(Runtime, Signal, Signal)> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let inside = runtime.enter();
    let interrupt = signal(SignalKind::interrupt())?;
    let terminate = signal(SignalKind::terminate())?;
    drop(inside);
    Ok((runtime, interrupt, terminate))
}

async fn raise(raised: &AtomicBool, mut interrupt: Signal, mut terminate: Signal) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if raised.swap(true, Ordering::Relaxed) {
            exit(INTERRUPTED);
        }
    }
}
