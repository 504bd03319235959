//! Peak memory of processes, as the kernel counts it.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Watches the peak resident memory of all descendants of this process.
///
/// The kernel keeps the peak itself (`VmHWM`), so a process that lives longer than the
/// sampling interval is never underestimated by more than its last moments.
pub struct PeakMemory {
    peaks: Arc<Mutex<BTreeMap<String, u64>>>,
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl PeakMemory {
    /// Begins to watch.
    #[must_use]
    pub fn watch() -> Self {
        let peaks = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&peaks), Arc::clone(&stop));
        let watcher = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                sample(&shared);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { peaks, stop, watcher: Some(watcher) }
    }

    /// Peak bytes by process: `cloister-enclave worker`, `cloister-broker hospital-a` ...
    #[must_use]
    pub fn peaks(&self) -> BTreeMap<String, u64> {
        sample(&self.peaks);
        self.peaks.lock().map(|peaks| peaks.clone()).unwrap_or_default()
    }
}

impl Drop for PeakMemory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

fn sample(peaks: &Mutex<BTreeMap<String, u64>>) {
    for process in descendants(std::process::id()) {
        let (Some(name), Some(peak)) = (name(process), peak(process)) else { continue };
        if let Ok(mut peaks) = peaks.lock() {
            let entry = peaks.entry(name).or_default();
            *entry = peak.max(*entry);
        }
    }
}

/// All processes below `root`, children of children included.
#[must_use]
pub fn descendants(root: u32) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may hold spaces; state and parent follow it.
        let parent =
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2)?.parse().ok());
        parents.insert(id, parent.unwrap_or(0));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(id, _)| *id));
        next += 1;
    }
    found.split_off(1)
}

/// The program's name, and what it was told to do if it is an enclave's.
#[must_use]
pub fn kind(process: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next().filter(|program| !program.is_empty())?;
    let name = program.rsplit('/').next()?.to_owned();
    let role = words.next().filter(|word| word == "worker" || word == "launch");
    Some(role.map_or(name.clone(), |role| format!("{name} {role}")))
}

/// The kind of a process; for a broker, of which there are several, with its home.
fn name(process: u32) -> Option<String> {
    let kind = kind(process)?;
    if kind != "cloister-broker" {
        return Some(kind);
    }
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let home = words.by_ref().skip_while(|word| word != "--home").nth(1)?;
    Some(format!("{kind} {}", home.rsplit('/').next()?))
}

fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
