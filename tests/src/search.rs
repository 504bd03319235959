//! Searching for bytes, wherever they could have been left: in files, and in the memory
//! of processes.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, Result};
use memchr::memmem::Finder;

use crate::holdings::files;

/// Memory is read in pieces of this size.
const PIECE: usize = 1 << 20;

/// Something to search for.
#[derive(Clone, Debug)]
pub struct Needle {
    /// What it is, for messages.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Needle {
    /// Bytes with a name.
    #[must_use]
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.to_owned() }
    }
}

/// What a search has seen.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    /// `WHERE: NEEDLE` for everything found, in order and each once.
    pub hits: Vec<String>,
    /// Bytes that were looked at.
    pub bytes: u64,
}

impl Searched {
    /// Whether something with this name was found anywhere.
    #[must_use]
    pub fn found(&self, needle: &Needle) -> bool {
        let end = format!(": {}", needle.name);
        self.hits.iter().any(|hit| hit.ends_with(&end))
    }

    /// Adds what another search has seen.
    pub fn join(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.hits.sort();
        self.hits.dedup();
        self.bytes += other.bytes;
    }

    fn look(&mut self, place: &str, needles: &[Needle], bytes: &[u8]) {
        for needle in needles {
            if Finder::new(&needle.bytes).find(bytes).is_some() {
                self.hits.push(format!("{place}: {}", needle.name));
            }
        }
        self.bytes += bytes.len() as u64;
    }
}

/// Searches every file below `folder`, but those whose path from there begins with one
/// of `except`. Names of files are searched, too.
pub fn in_files(folder: &Path, except: &[&str], needles: &[Needle]) -> Result<Searched> {
    let mut searched = Searched::default();
    for path in files(folder)? {
        let relative = path.strip_prefix(folder)?;
        if except.iter().any(|prefix| relative.starts_with(prefix)) {
            continue;
        }
        let place = relative.display().to_string();
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        searched.look(&place, needles, &bytes);
        searched.look(&place, needles, place.as_bytes());
    }
    Ok(searched)
}

/// Searches all memory of a process that can be read. An error says that the system does
/// not let us.
pub fn in_memory(process: u32, needles: &[Needle]) -> Result<Searched> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let overlap = needles.iter().map(|needle| needle.bytes.len()).max().unwrap_or(1) - 1;
    let mut searched = Searched::default();
    let mut piece = vec![0; PIECE + overlap];
    for line in maps.lines() {
        let Some((start, end)) = readable(line) else { continue };
        let place = line.split_whitespace().nth(5).unwrap_or("anonymous");
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(piece.len());
            // Device pages and the like cannot be read; they hold nothing of ours.
            if memory.read_exact_at(&mut piece[..length], at).is_ok() {
                searched.look(place, needles, &piece[..length]);
            }
            at += PIECE as u64;
        }
    }
    searched.hits.sort();
    searched.hits.dedup();
    anyhow::ensure!(searched.bytes > 0, "nothing of its memory can be read");
    Ok(searched)
}

/// The range of a line of `/proc/PID/maps`, if it can be read.
fn readable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    rest.starts_with('r').then_some((address(start)?, address(end)?))
}
