//! The decision: may this enclave have the keys of these datasets for this job?
//!
//! Pure: no I/O, no clock, no randomness. [`Request::read`] is step one, and tells the
//! caller which nonce to look up; [`Request::appraise`] applies every rule of
//! [`Rule::ALL`] but the last two, [`Rule::JobRepeated`] and [`Rule::BudgetExhausted`],
//! which the ledger applies where it reserves.

mod code;
mod cohort;
mod denial;
mod job;

use std::{collections::BTreeSet, time::Duration};

use cloister_attestation::{Binding, Clock, Freshness, Platform, UnixTime, snp::Collateral};
use cloister_privacy::Accounting;
use cloister_protocol::{
    Digest, Id, KeyId, Signed, Verified,
    brokering::GrantRequest,
    code::{CodeApproval, CodeManifest},
    dataset::{DatasetManifest, HeaderCore, Population},
    job::Job,
    transcript::{Nonce, Transcript, TranscriptId},
};

use crate::policy::Policy;

pub use denial::{Denial, Rule};

/// What the broker knows by itself, at one moment.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The owner that the broker works for.
    pub owner: KeyId,
    /// The key that the broker signs grants with.
    pub broker: KeyId,
    /// The newest policy.
    pub policy: &'a Verified<Policy>,
    /// The owner's datasets whose keys the broker holds. Those not in the request do
    /// not matter.
    pub datasets: &'a BTreeSet<Id<DatasetManifest>>,
    /// Approvals found in the owner's home; their signatures are checked here.
    pub approvals: &'a [Signed<CodeApproval>],
    /// Certificates and revocation lists that the owner keeps, for reports of SEV-SNP.
    pub collateral: &'a Collateral,
    /// What became of the nonce that [`Request::nonce`] returns.
    pub nonce: NonceState,
    /// Seconds since 1970.
    pub now: u64,
}

/// What became of a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// Never issued, or forgotten.
    Unknown,
    /// Issued, and good until then (seconds since 1970).
    Open {
        /// The last second at which it is good.
        until: u64,
    },
    /// Consumed by a grant.
    Used,
}

/// A request whose transcript was read.
pub struct Request<'a> {
    message: &'a GrantRequest,
    transcript: Transcript,
    id: TranscriptId,
}

/// What is to be reserved, logged and granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Appraised {
    /// The transcript.
    pub transcript: TranscriptId,
    /// This broker's nonce in it, to be consumed.
    pub nonce: Nonce,
    /// The enclave's key, to which grants are sealed.
    pub hpke_key: Vec<u8>,
    /// The job.
    pub job: Id<Job>,
    /// Its purpose.
    pub purpose: String,
    /// Its orchestrator.
    pub orchestrator: KeyId,
    /// The code.
    pub code: Id<CodeManifest>,
    /// The policy that allows it.
    pub policy: Digest,
    /// How the population's account counts.
    pub accounting: Accounting,
    /// The population's total under that policy, in pico-rho.
    pub total: u64,
    /// What is charged for each population, in the job's order.
    pub charges: Vec<Charge>,
    /// Whose hardware vouches.
    pub platform: Platform,
}

/// A population of this owner, its tables in the job, and what the job costs it: once,
/// however many tables there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its tables, in the job's order, each to be granted.
    pub datasets: Vec<Id<DatasetManifest>>,
    /// Whom they are about.
    pub population: Population,
    /// In pico-rho.
    pub cost: u64,
}

/// A dataset whose header and manifest were checked.
struct CheckedDataset<'a> {
    header: &'a HeaderCore,
    manifest: Verified<DatasetManifest>,
}

impl<'a> Request<'a> {
    /// Step one: reads the transcript.
    ///
    /// # Errors
    ///
    /// A [`Denial`] by [`Rule::Transcript`].
    pub fn read(message: &'a GrantRequest) -> Result<Self, Denial> {
        let (transcript, id) = Transcript::from_bytes(&message.transcript)
            .map_err(|error| Denial::new(Rule::Transcript, "a transcript of version 1", error))?;
        Ok(Self { message, transcript, id })
    }

    /// The transcript: what evidence has to bind and grants are for.
    #[must_use]
    pub fn transcript(&self) -> TranscriptId {
        self.id
    }

    /// The nonce that the transcript holds for `broker`.
    #[must_use]
    pub fn nonce(&self, broker: &KeyId) -> Option<Nonce> {
        self.transcript.nonces.get(broker).copied()
    }

    /// The datasets of the transcript, in the job's order.
    #[must_use]
    pub fn datasets(&self) -> &[Id<DatasetManifest>] {
        &self.transcript.datasets
    }

    /// All other steps. The first rule that is broken decides.
    ///
    /// # Errors
    ///
    /// A [`Denial`] by any rule but [`Rule::Transcript`] and those of the ledger.
    pub fn appraise(&self, ground: &Ground<'_>) -> Result<Appraised, Denial> {
        let policy = &ground.policy.value;
        // 1. It answers a challenge of ours.
        let nonce = self.check_nonce(&ground.broker, ground.nonce, ground.now)?;
        // 2. An enclave that the policy approves vouches for the transcript.
        let platform = self.check_evidence(ground)?;
        // 3. The job is welcome.
        let job = job::check(&self.message.job, &self.transcript, policy, ground.now)?;
        // 4. The code is.
        let code = code::check(&self.message.code, &self.transcript, &job.value, ground)?;
        // 5. Datasets, owners and units.
        let datasets =
            cohort::check_datasets(&self.message.datasets, &self.transcript, &job.value)?;
        cohort::check_joins(&datasets, &job.value)?;
        let own = cohort::find_own(&datasets, &self.transcript, ground)?;
        cohort::check_company(&datasets, &job.value, policy)?;
        cohort::check_units(&own, policy)?;
        // 6. The cost.
        let cost = job::check_cost(&job.value, policy)?;
        // The job's own rules have put the tables of a population next to each other.
        let same = |one: &&CheckedDataset<'_>, other: &&CheckedDataset<'_>| {
            one.header.population == other.header.population
        };
        let charge = |tables: &[&CheckedDataset<'_>]| Charge {
            datasets: tables.iter().map(|table| table.manifest.id).collect(),
            population: tables[0].header.population.clone(),
            cost,
        };
        Ok(Appraised {
            transcript: self.id,
            nonce,
            hpke_key: self.transcript.hpke_key.to_vec(),
            job: job.id,
            purpose: job.value.purpose,
            orchestrator: job.signer.id(),
            code: code.id,
            policy: *ground.policy.id.digest(),
            accounting: policy.budget.accounting(),
            total: policy.budget.total.rho.as_pico(),
            charges: own.chunk_by(same).map(charge).collect(),
            platform,
        })
    }

    /// The first of those steps by itself: it costs next to nothing, and who has no nonce
    /// of this broker is not worth more.
    ///
    /// # Errors
    ///
    /// A [`Denial`] by one of the rules on the nonce.
    pub fn check_nonce(
        &self,
        broker: &KeyId,
        state: NonceState,
        now: u64,
    ) -> Result<Nonce, Denial> {
        let key = broker.digest().short();
        let Some(nonce) = self.nonce(broker) else {
            let expected = format!("a nonce under this broker's key {key}");
            return Err(Denial::new(Rule::NonceUnknown, expected, "none"));
        };
        match state {
            NonceState::Open { until } if now <= until => Ok(nonce),
            NonceState::Open { until } => {
                let expected = format!("a request by second {until}");
                let found = format!("one at second {now}");
                Err(Denial::new(Rule::NonceExpired, expected, found))
            }
            NonceState::Used => {
                let expected = "a nonce that nothing was granted for";
                Err(Denial::new(Rule::NonceUsed, expected, "one that another transcript used"))
            }
            NonceState::Unknown => {
                let expected = format!("a nonce issued under key {key}");
                Err(Denial::new(Rule::NonceUnknown, expected, "one that was not, or long ago"))
            }
        }
    }

    fn check_evidence(&self, ground: &Ground<'_>) -> Result<Platform, Denial> {
        let policy = &ground.policy.value;
        let max_age = Duration::from_secs(policy.evidence_max_age.into());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(ground.now));
        let verdict = policy.enclaves.appraise_with(
            &self.message.evidence,
            ground.collateral,
            Clock::at(now).max_age(max_age),
            // The transcript's digest covers the nonce that was checked above.
            Freshness::WithinBinding,
            Binding::Exactly(*self.id.digest().as_bytes()),
        );
        let platform = verdict.platform();
        match verdict.accept() {
            Ok(_) => Ok(platform),
            Err(denied) => {
                let failed = |part: fn(&cloister_attestation::Check) -> String| {
                    let checks = denied.verdict().failed().map(part);
                    checks.collect::<Vec<_>>().join(", ")
                };
                let expected = failed(|check| format!("{}: {}", check.name, check.expected));
                let found = failed(|check| format!("{}: {}", check.name, check.found));
                Err(Denial::new(Rule::Evidence, expected, found))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
