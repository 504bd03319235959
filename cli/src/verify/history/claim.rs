//! What receipts say of a grant, and whether a reservation says the same. Everything that
//! this command takes from jobs and reservations is taken here.

use std::{collections::BTreeSet, path::Path};

use cloister_attestation::Claims;
use cloister_broker::ledger::Reservation;
use cloister_privacy::{Accounting, JobCost, Order, Zcdp};
use cloister_protocol::{
    Digest, Id, KeyId, dataset::DatasetManifest, dataset::Population, grant::Grant, job,
    transcript::TranscriptId,
};

use super::super::Outcome;

/// A job of which there are receipts: those of one transcript.
pub(super) struct Job<'a> {
    /// Its id.
    pub(super) id: Id<job::Job>,
    /// Whether its receipts were accepted.
    pub(super) accepted: bool,
    /// What it releases, from what its gates do.
    charges: JobCost,
    /// When its evidence says it was made, in seconds since 1970. What was granted for it was
    /// granted after that.
    pub(super) made: Option<u64>,
    /// The releases that were given, by their numbers from 0.
    pub(super) releases: BTreeSet<u32>,
    /// How many it has.
    pub(super) of: u32,
    /// The grants in its receipts.
    pub(super) claims: Vec<Claim<'a>>,
}

/// The grant of a population, as a receipt carries it: of several tables, that of the base. The
/// others name the same reservation, or the receipt is refused.
pub(super) struct Claim<'a> {
    /// The receipt.
    pub(super) path: &'a Path,
    /// Whose dataset it is for.
    pub(super) owner: KeyId,
    /// The grant's id: of its contents and its signer.
    pub(super) id: Id<Grant>,
    /// The dataset.
    pub(super) dataset: Id<DatasetManifest>,
    /// The head of the log with it.
    pub(super) head: Digest,
    /// Its reservation, as it has to be; but for the cost.
    pub(super) reserved: Reserved<'a>,
}

/// What a reservation has to say.
pub(super) struct Reserved<'a> {
    pub(super) grant: [u8; 16],
    pub(super) transcript: TranscriptId,
    pub(super) job: Id<job::Job>,
    pub(super) purpose: &'a str,
    pub(super) orchestrator: KeyId,
    pub(super) code: Id<cloister_protocol::code::CodeManifest>,
    pub(super) dataset: Id<DatasetManifest>,
    pub(super) joined: Vec<Id<DatasetManifest>>,
    pub(super) population: &'a Population,
    pub(super) policy: Digest,
    pub(super) order: Option<Order>,
}

impl<'a> Job<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        let first = &outcome.releases[0].checked;
        // Reports have no time of their own.
        let dated = matches!(outcome.verdict.claims(), Some(Claims::Nitro(_)));
        Self {
            id: first.job.id,
            accepted: outcome.accepted(),
            charges: first.job.value.charges(),
            made: dated.then_some(outcome.evidence_ms / 1000),
            releases: outcome.releases.iter().map(|r| r.checked.release.value.number).collect(),
            of: first.release.value.of,
            claims: outcome.releases.iter().flat_map(|one| Claim::of(&one.path, one)).collect(),
        }
    }

    /// What it costs in the account of a reservation, computed again; or why that is not known.
    pub(super) fn cost(&self, one: &Reservation) -> Result<u64, String> {
        let cost = self.charges.charge(Accounting::of(one.order));
        cost.map(Zcdp::as_pico).map_err(|error| error.to_string())
    }

    /// The numbers of the releases that were not given, as people count them.
    pub(super) fn missing(&self) -> Vec<u32> {
        (0..self.of).filter(|number| !self.releases.contains(number)).map(|n| n + 1).collect()
    }
}

impl<'a> Claim<'a> {
    fn of(
        path: &'a Path,
        released: &'a super::super::Released,
    ) -> impl Iterator<Item = Self> + use<'a> {
        let checked = &released.checked;
        let dataset = |place: usize| checked.datasets[place].1.id;
        checked.job.value.populations().map(move |tables| {
            let base = tables.start;
            let ((header, manifest), grant) = (&checked.datasets[base], &checked.grants[base]);
            let joined = tables.skip(1).map(dataset).collect();
            Self {
                path,
                owner: header.owner,
                id: grant.id,
                dataset: manifest.id,
                head: grant.value.ledger_head,
                reserved: Reserved {
                    grant: *grant.value.grant,
                    transcript: checked.transcript_id,
                    job: checked.job.id,
                    purpose: &checked.job.value.purpose,
                    orchestrator: checked.job.signer.id(),
                    code: checked.code.id,
                    dataset: manifest.id,
                    joined,
                    population: &header.population,
                    policy: grant.value.policy,
                    order: grant.value.order,
                },
            }
        })
    }
}

impl Reserved<'_> {
    /// Whether this is the reservation of the same grant, whatever else it says.
    pub(super) fn is_of(&self, one: &Reservation) -> bool {
        self.grant == *one.grant && self.transcript == one.transcript
    }

    /// What a reservation says that is not so. Its cost is held against the job's.
    pub(super) fn differs(&self, one: &Reservation) -> Vec<&'static str> {
        let Reservation {
            grant,
            transcript,
            job,
            purpose,
            orchestrator,
            code,
            dataset,
            joined,
            population,
            policy,
            cost: _,
            order,
        } = one;
        [
            ("grant", self.grant == **grant),
            ("transcript", self.transcript == *transcript),
            ("job", self.job == *job),
            ("purpose", self.purpose == purpose),
            ("orchestrator", self.orchestrator == *orchestrator),
            ("code", self.code == *code),
            ("dataset", self.dataset == *dataset),
            ("joined", self.joined == *joined),
            ("population", self.population == population),
            ("policy", self.policy == *policy),
            ("order", self.order == *order),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect()
    }
}
