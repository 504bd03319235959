//! Processes below another one: found by what they are, ended without warning.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::memory::{descendants, kind};

/// The processes below `root` that are of this kind (see [`kind`]).
#[must_use]
pub fn of_kind(root: u32, wanted: &str) -> Vec<u32> {
    let is_wanted = |process: &u32| kind(*process).is_some_and(|found| found == wanted);
    descendants(root).into_iter().filter(is_wanted).collect()
}

/// Ends a process as a power cut would.
pub fn kill(process: u32) -> Result<()> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    let id = id.with_context(|| format!("{process} is not the id of a process"))?;
    match kill_process(id, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until none of these processes runs any more; what waits to be reaped does not run.
pub fn wait_until_gone(processes: &[(u32, String)], patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    for (process, was) in processes {
        while runs(*process) && kind(*process).as_ref() == Some(was) {
            ensure!(Instant::now() < deadline, "{was} ({process}) outlives its parent");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// Everything below `root`, with its kind.
#[must_use]
pub fn below(root: u32) -> Vec<(u32, String)> {
    descendants(root).into_iter().filter_map(|id| Some((id, kind(id)?))).collect()
}

fn runs(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
