//! What receipts say of a grant, and whether a reservation says the same. Everything that
//! this command takes from jobs and reservations is taken here.

use std::{collections::BTreeSet, path::Path};

use cloister_attestation::Claims;
use cloister_broker::ledger::Reservation;
use cloister_protocol::{
    Digest, Id, KeyId, dataset::DatasetManifest, dataset::Population, grant::Grant, job,
    transcript::TranscriptId,
};

use super::super::{Outcome, cost};

/// A job of which there are receipts: those of one transcript.
pub(super) struct Job<'a> {
    /// Its id.
    pub(super) id: Id<job::Job>,
    /// Whether its receipts were accepted.
    pub(super) accepted: bool,
    /// What it costs, computed from what its gates do; or why that is not known.
    pub(super) cost: Result<u64, String>,
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

/// A grant, as a receipt carries it.
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
    pub(super) population: &'a Population,
    pub(super) policy: Digest,
}

impl<'a> Job<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        let first = &outcome.releases[0].checked;
        let cost = cost::total(&first.job.value).map(cloister_privacy::Zcdp::as_pico);
        // Reports have no time of their own.
        let dated = matches!(outcome.verdict.claims(), Some(Claims::Nitro(_)));
        Self {
            id: first.job.id,
            accepted: outcome.accepted(),
            cost: cost.map_err(|error| error.to_string()),
            made: dated.then_some(outcome.evidence_ms / 1000),
            releases: outcome.releases.iter().map(|r| r.checked.release.value.number).collect(),
            of: first.release.value.of,
            claims: outcome.releases.iter().flat_map(|one| Claim::of(&one.path, one)).collect(),
        }
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
        checked.datasets.iter().zip(&checked.grants).map(move |((header, manifest), grant)| Self {
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
                population: &header.population,
                policy: grant.value.policy,
            },
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
            population,
            policy,
            cost: _,
        } = one;
        [
            ("grant", self.grant == **grant),
            ("transcript", self.transcript == *transcript),
            ("job", self.job == *job),
            ("purpose", self.purpose == purpose),
            ("orchestrator", self.orchestrator == *orchestrator),
            ("code", self.code == *code),
            ("dataset", self.dataset == *dataset),
            ("population", self.population == population),
            ("policy", self.policy == *policy),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect()
    }
}
