//! Logs held against the grants in receipts.

use std::collections::{BTreeMap, BTreeSet};

use cloister_broker::ledger::{CLOCK_SLACK, Entry, Event, NONCE_SECONDS, Reservation};
use cloister_protocol::KeyId;

use super::{
    Claim, Job, Logs,
    gap::{Code, Gap},
    logs::{Log, shown},
};
use crate::ui::{self, printable};

/// What receipts say about logs.
pub(super) struct Against(BTreeMap<(KeyId, u64), Seen>);

/// A reservation of which there are receipts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// How many receipts carry its grant.
    pub(super) receipts: usize,
    /// What its job costs, computed again, if its receipts were accepted.
    pub(super) cost: Option<u64>,
}

impl Against {
    /// Looks for each grant of each receipt, and for what was not given.
    pub(super) fn check(
        logs: &Logs,
        jobs: &[Job],
        gaps: &mut Vec<Gap>,
        notes: &mut Vec<Gap>,
    ) -> Self {
        let mut seen = BTreeMap::<(KeyId, u64), Seen>::new();
        let mut without_log = BTreeSet::new();
        diverging(jobs, gaps);
        for job in jobs {
            let missing = job.missing();
            if !missing.is_empty() {
                let what = format!(
                    "{} of its {} releases were not given: {}; it runs, it ended early, or they \
                     were not handed over",
                    missing.len(),
                    job.of,
                    ui::ranges(&missing)
                );
                let place = format!("job {}", job.id.digest().short());
                notes.push(Gap::new(Code::ReleasesMissing, place, what));
            }
            for (claim, receipts) in once(job) {
                let Some(log) = logs.of(&claim.owner) else {
                    without_log.insert(claim.owner);
                    continue;
                };
                match look(claim, job, log) {
                    Ok((seq, cost)) => {
                        let seen = seen.entry((claim.owner, seq)).or_default();
                        seen.receipts += receipts;
                        seen.cost = seen.cost.or(job.accepted.then_some(cost));
                    }
                    Err(gap) => gaps.push(gap),
                }
            }
        }
        for owner in without_log {
            let what = "its log was not given: nothing is known about its grants. Ask it for \
                        `cloister budget history --export`";
            notes.push(Gap::new(Code::NoLog, format!("owner {owner}"), what));
        }
        for log in logs.whole() {
            for (entry, one) in reservations(log) {
                if !seen.contains_key(&(log.log.owner, entry.seq)) {
                    notes.push(Gap::new(Code::NoReceipt, log.place(entry.seq), unseen(entry, one)));
                }
            }
        }
        Self(seen)
    }

    /// What receipts say of an entry.
    pub(super) fn seen(&self, owner: &KeyId, seq: u64) -> Option<Seen> {
        self.0.get(&(*owner, seq)).copied()
    }
}

/// The reservations of a log.
pub(super) fn reservations(log: &Log) -> impl Iterator<Item = (&Entry, &Reservation)> {
    log.entries().filter_map(|entry| match &entry.event {
        Event::Reserved(one) => Some((entry, &**one)),
        Event::Policy { .. } => None,
    })
}

/// Each grant of a job once, and how many receipts carry it.
fn once<'a>(job: &'a Job<'a>) -> impl Iterator<Item = (&'a Claim<'a>, usize)> {
    let mut by_id = BTreeMap::<_, (&Claim, usize)>::new();
    for claim in &job.claims {
        by_id.entry(claim.id).or_insert((claim, 0)).1 += 1;
    }
    by_id.into_values()
}

/// A broker grants once for a job and a dataset. Where two receipts carry different grants for
/// them, their heads are of two logs.
fn diverging(jobs: &[Job], gaps: &mut Vec<Gap>) {
    let mut first = BTreeMap::new();
    for (claim, _) in jobs.iter().flat_map(once) {
        let key = (claim.owner, claim.reserved.job, claim.dataset);
        let before: &mut &Claim = first.entry(key).or_insert(claim);
        if before.id != claim.id {
            let what = format!(
                "its grant has head {:?}, and that of {} for the same job has {:?}: a broker \
                 grants once for a job, so the owner has two logs that do not know of each other",
                claim.head,
                shown(before.path),
                before.head
            );
            gaps.push(Gap::new(Code::GrantsDiverge, shown(claim.path), what));
        }
    }
}

/// Finds the reservation of a grant, and holds it against the job; returns its number and what
/// the job costs, or says what is wrong.
fn look(claim: &Claim, job: &Job, log: &Log) -> Result<(u64, u64), Gap> {
    let Some(entry) = log.at(&claim.head) else { return Err(missing(claim, job, log)) };
    let place = log.place(entry.seq);
    let Event::Reserved(one) = &entry.event else {
        let what =
            format!("{} says that this is its reservation; it is a policy", shown(claim.path));
        return Err(Gap::new(Code::EntryDiffers, place, what));
    };
    let differs = claim.reserved.differs(one);
    if !differs.is_empty() {
        let what = format!(
            "it is not the reservation of the grant in {}, which has its head: {} differs",
            shown(claim.path),
            differs.join(", ")
        );
        return Err(Gap::new(Code::EntryDiffers, place, what));
    }
    match job.cost(one) {
        Ok(cost) if cost == one.cost => Ok((entry.seq, cost)),
        Ok(cost) => {
            let what = format!(
                "{} pico-rho were reserved for job {}, which costs {cost} by its gates",
                one.cost,
                one.job.digest().short()
            );
            Err(Gap::new(Code::CostDiffers, place, what))
        }
        Err(error) => Err(Gap::new(Code::CostDiffers, place, format!("its job's cost: {error}"))),
    }
}

/// Why a grant is not where its head says: each of these means something else.
fn missing(claim: &Claim, job: &Job, log: &Log) -> Gap {
    let head = &claim.head;
    let rewritten = reservations(log).find(|(_, one)| claim.reserved.is_of(one));
    // What was granted is in the ledger before its nonce ends, which is older than the evidence.
    let granted_by = job.made.map(|made| made.saturating_add(NONCE_SECONDS + CLOCK_SLACK));
    let later = log.entries().find(|entry| granted_by.is_some_and(|by| entry.time > by));
    let (code, what) = if let Some((entry, _)) = rewritten {
        let what = format!(
            "its grant is in {}, but the log had head {head:?} with it: that entry or one before \
             it was altered, or put into another log",
            log.place(entry.seq)
        );
        (Code::LogRewritten, what)
    } else if let Some(made) = job.made.filter(|made| log.log.made < *made) {
        let what = format!(
            "{} was exported at {}, and this job ran at {}: ask the owner to export it again",
            shown(&log.path),
            ui::time(log.log.made),
            ui::time(made)
        );
        (Code::LogOlder, what)
    } else if let Some(entry) = later {
        let what = format!(
            "its grant, head {head:?}, is not in {}, and the log went on without it: entry {} is \
             of {}. The ledger was put back from an old copy, and budget was granted twice",
            shown(&log.path),
            entry.seq,
            ui::time(entry.time)
        );
        (Code::LogForked, what)
    } else {
        let what = format!(
            "its grant, head {head:?}, is not in {}: the ledger is older than this release. It was \
             put back from an old copy; nothing may be granted until a copy is back that has it",
            shown(&log.path)
        );
        (Code::GrantMissing, what)
    };
    Gap::new(code, shown(claim.path), what)
}

/// What there is to say of a reservation without a receipt.
fn unseen(entry: &Entry, one: &Reservation) -> String {
    format!(
        "no receipt of job {} for {:?}, granted at {} for {} pico-rho: it runs, it failed, or its \
         results were not handed over",
        one.job.digest().short(),
        printable(&one.purpose),
        ui::time(entry.time),
        one.cost
    )
}
