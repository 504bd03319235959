//! An owner's ledger, watched from outside while its broker comes and goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cloister_broker::{
    Ledger,
    ledger::{Event, Reservation},
};
use cloister_party::Home;
use cloister_protocol::{Digest, KeyId};

/// What was seen of a ledger so far. It may only grow.
pub struct Account {
    path: PathBuf,
    owner: KeyId,
    population: String,
    entries: Vec<Digest>,
    spent: u64,
}

impl Account {
    /// The account of the owner with this home.
    pub fn of(home: &Path, population: &str) -> Result<Self> {
        let owner = *Home::open(home)?.id();
        let path = home.join("ledger.sqlite");
        let population = population.to_owned();
        Ok(Self { path, owner, population, entries: Vec::new(), spent: 0 })
    }

    /// Reads the whole ledger: its chain holds, every entry seen before is there unchanged,
    /// and no less is spent. Returns the reservations, oldest first.
    ///
    /// The broker should run: the last one who closes a database tidies it up, and after a
    /// kill that is the broker's own test.
    pub fn look(&mut self) -> Result<Vec<Reservation>> {
        let ledger = Ledger::open(&self.path, self.owner)?;
        ledger.verify_chain().context("the ledger's chain")?;
        let history = ledger.history()?;
        let entries: Vec<Digest> = history.iter().map(|(_, digest)| *digest).collect();
        let path = self.path.display();
        ensure!(entries.starts_with(&self.entries), "{path}: entries that were there are not");
        let spent = ledger.spent(&self.population)?;
        ensure!(spent >= self.spent, "{path}: {} was spent, now {spent}", self.spent);
        let reservations: Vec<Reservation> = history
            .into_iter()
            .filter_map(|(entry, _)| match entry.event {
                Event::Reserved(reservation) => Some(*reservation),
                Event::Policy { .. } => None,
            })
            .collect();
        let sum: u64 = reservations.iter().map(|one| one.cost).sum();
        ensure!(sum >= spent, "{path}: {spent} is spent, {sum} is reserved in its log");
        (self.entries, self.spent) = (entries, spent);
        Ok(reservations)
    }

    /// What is spent, in pico-rho, as of the last look.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent
    }
}

/// Reservations by job; each transcript and each job is there once.
pub fn by_job(reservations: &[Reservation]) -> Result<BTreeMap<String, &Reservation>> {
    let transcripts: BTreeSet<_> = reservations.iter().map(|one| one.transcript).collect();
    ensure!(transcripts.len() == reservations.len(), "one transcript was charged twice");
    let jobs: BTreeMap<_, _> = reservations.iter().map(|one| (one.job.to_string(), one)).collect();
    ensure!(jobs.len() == reservations.len(), "one job was charged under two transcripts");
    Ok(jobs)
}
