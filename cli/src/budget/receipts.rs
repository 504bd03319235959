//! The log held against receipts: each grant that a release carries has to be in it.
//!
//! A ledger that was put back from an old copy is complete in itself; what gives it away is
//! a release whose grant it does not know.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use cloister_broker::ledger::{Entry, Event};
use cloister_protocol::{Digest, KeyId};
use serde_json::{Value, json};

use crate::{error::Result, ui::Page, verify};

/// What receipts say about a log.
pub(super) struct Against {
    /// Receipts that were read.
    receipts: usize,
    /// Reservations, by their number in the log, with the releases that carry their grant.
    seen: Vec<(u64, usize)>,
    /// Reservations of which no receipt was given.
    unseen: Vec<u64>,
    /// Entries that grants in receipts name, and the log does not have.
    forgotten: Vec<Digest>,
    /// What does not fit, in sentences.
    gaps: Vec<String>,
}

impl Against {
    /// Reads receipts, each checked by itself but for the evidence, and looks for the owner's
    /// grants in the log.
    pub(super) fn check(
        entries: &[(Entry, Digest)],
        owner: &KeyId,
        results: &[PathBuf],
    ) -> Result<Self> {
        let (releases, damaged) = verify::releases(results)?;
        let mut gaps: Vec<_> =
            damaged.iter().map(|one| format!("{}: {}", one.path.display(), one.why)).collect();
        let mut seen = BTreeMap::<u64, usize>::new();
        let mut forgotten = Vec::new();
        for one in &releases {
            // Grants of one population's tables are of one reservation, which counts once.
            let mut carried = BTreeSet::new();
            let grants = one.checked.datasets.iter().zip(&one.checked.grants);
            for (_, grant) in grants.filter(|((header, _), _)| header.owner == *owner) {
                let grant = &grant.value;
                let named = entries.iter().find(|(_, digest)| *digest == grant.ledger_head);
                let Some((entry, _)) = named else {
                    gaps.push(missing(&one.path, &grant.ledger_head));
                    forgotten.push(grant.ledger_head);
                    continue;
                };
                let fits = matches!(&entry.event, Event::Reserved(reserved)
                    if reserved.transcript == grant.transcript
                        && reserved.datasets().any(|dataset| *dataset == grant.dataset)
                        && reserved.job == one.checked.job.id
                        && reserved.policy == grant.policy
                        && reserved.cost == grant.cost);
                if fits {
                    carried.insert(entry.seq);
                } else {
                    gaps.push(format!(
                        "{}: entry {} of the log is not the reservation of its grant",
                        one.path.display(),
                        entry.seq
                    ));
                }
            }
            for seq in carried {
                *seen.entry(seq).or_default() += 1;
            }
        }
        let reserved =
            entries.iter().filter(|(entry, _)| matches!(entry.event, Event::Reserved(_)));
        let unseen = reserved.map(|(entry, _)| entry.seq).filter(|seq| !seen.contains_key(seq));
        let unseen = unseen.collect();
        let (receipts, seen) = (releases.len(), seen.into_iter().collect());
        Ok(Self { receipts, seen, unseen, forgotten, gaps })
    }

    /// Entries that the log has had, by what this owner's own broker signed, and has no more.
    pub(super) fn forgotten(&self) -> &[Digest] {
        &self.forgotten
    }

    /// Whether nothing is missing from the log.
    pub(super) fn holds(&self) -> bool {
        self.gaps.is_empty()
    }

    pub(super) fn page(&self) -> Page {
        let Self { receipts, seen, unseen, forgotten, gaps } = self;
        let numbers = |seqs: &[u64]| {
            let words: Vec<_> = seqs.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        let with: Vec<u64> = seen.iter().map(|(seq, _)| *seq).collect();
        let mut page = Page::new().blank();
        if gaps.is_empty() {
            page = page.good(format!("{receipts} receipts, and each grant in them is in the log"));
        }
        for gap in gaps {
            page = page.bad(gap);
        }
        if !forgotten.is_empty() {
            page = page.loud(
                "The broker grants nothing until a copy of the ledger is back that has these \
                 entries: see ledger.witness.",
            );
        }
        if !with.is_empty() {
            page = page.row("with a release", format!("entries {}", numbers(&with)));
        }
        if !unseen.is_empty() {
            let why = "nothing left, or its receipts were not given";
            page = page.row("without one", format!("entries {}: {why}", numbers(unseen)));
        }
        page
    }

    pub(super) fn json(&self) -> Value {
        let seen =
            self.seen.iter().map(|(seq, releases)| json!({ "seq": seq, "releases": releases }));
        json!({
            "receipts": self.receipts,
            "reservations": seen.collect::<Vec<_>>(),
            "without_release": self.unseen,
            "gaps": self.gaps,
        })
    }
}

fn missing(receipt: &Path, head: &Digest) -> String {
    format!(
        "{}: its grant is entry {head:?}, which is not in the log: the ledger is older than this \
         release. Grant nothing; put back a copy that has it",
        receipt.display()
    )
}
