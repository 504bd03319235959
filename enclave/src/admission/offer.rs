//! The offer itself: signatures, rules, and that its parts belong together.

use std::collections::BTreeSet;

use cloister_protocol::{
    Digest, KeyId, Verified,
    code::CodeManifest,
    dataset::{DatasetManifest, Joined},
    frames::Offer,
    job::{GateMode, Job, JobDataset, JobRole, Recipients},
    limits,
    release::DatasetProof,
};
use cloister_sandbox::{MAX_COMPONENT_BYTES, MAX_UNIT_ELEMENTS};

use super::{Extent, tables};
use crate::refusal::{Code, Refused};

/// An offer whose parts are signed, sound, and belong together.
pub struct Vetted {
    pub(crate) offer: Offer,
    pub(crate) job: Verified<Job>,
    pub(crate) code: Verified<CodeManifest>,
    pub(crate) manifests: Vec<Verified<DatasetManifest>>,
    /// The tables of each population as one, in the job's order.
    pub(crate) joined: Vec<Joined>,
}

impl Vetted {
    /// Checks an offer, before anything that follows it is received.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the code of the first check that fails.
    pub fn new(offer: Offer) -> Result<Self, Refused> {
        // 1. The job, by whoever signed it. Brokers decide who may.
        let job = offer.job.open_by_anyone().map_err(Refused::with(Code::JobSignature))?;
        job.value.validate().map_err(Refused::with(Code::JobInvalid))?;
        // There is one role and one kind of recipients yet; a new one must be looked at here.
        let (JobRole::Both, Recipients::Anyone) = (job.value.role, &job.value.recipients);
        // 2. The code's manifest.
        let code = offer.code.open_by_anyone().map_err(Refused::with(Code::CodeSignature))?;
        code.value.validate().map_err(Refused::with(Code::CodeInvalid))?;
        if code.id != job.value.code {
            let (found, expected) = (code.id, job.value.code);
            let why = format!("the offer has code {found:?}, the job names {expected:?}");
            return Err(Refused::new(Code::CodeOther, why));
        }
        let parameters = code.value.resolve(&job.value.parameters);
        parameters.map_err(Refused::with(Code::CodeParameters))?;
        // 3. The datasets, in the job's order.
        let manifests = datasets(&offer, &job.value)?;
        let joined = tables::join(&job.value, &offer.datasets, &manifests)?;
        check_groups(&job.value, &joined)?;
        check_nonces(&offer)?;
        // 4. What follows has the lengths that were signed.
        check_lengths(&offer, &job.value, &code.value)?;
        Ok(Self { offer, job, code, manifests, joined })
    }

    /// The offer.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// How much data the owners have signed.
    pub(super) fn extent(&self) -> Extent {
        let job = &self.job.value;
        let several = || self.joined.iter().filter(|joined| joined.tables > 1);
        Extent {
            rows: rows(&self.joined),
            units: job.units(),
            contributions: match job.gate.mode {
                GateMode::Unit | GateMode::Groups(_) => job.divisor(job.gate.mode),
                GateMode::Sampled(rate) => rate.most_of(job.units()),
            },
            joined: several().fold(0, |sum, one| one.rows.saturating_add(sum)),
            matched: several().fold(0, |sum, one| one.matched.saturating_add(sum)),
        }
    }

    /// Whether the dataset in a place is the only table of its population.
    pub(crate) fn is_alone(&self, place: usize) -> bool {
        let mut populations = self.job.value.populations();
        populations.any(|places| places == (place..place + 1))
    }

    /// Compares the public set with the job's.
    pub(super) fn check_public_set(&self, bytes: &[u8]) -> Result<(), Refused> {
        match &self.job.value.public_set {
            Some(expected) if Digest::of("public-set", &[bytes]) != expected.digest => {
                let why = "the public set is not the one whose digest the job has: send that one";
                Err(Refused::new(Code::PublicSetOther, why))
            }
            _ => Ok(()),
        }
    }
}

fn datasets(offer: &Offer, job: &Job) -> Result<Vec<Verified<DatasetManifest>>, Refused> {
    let expected = job.datasets.len();
    let (found, policies) = (offer.datasets.len(), offer.policies.len());
    if found != expected || policies != expected {
        let why = format!(
            "the job has {expected} datasets; the offer has {found}, with {policies} policies"
        );
        return Err(Refused::new(Code::OfferDatasets, why));
    }
    let mut manifests = Vec::with_capacity(expected);
    for (index, (proof, declared)) in offer.datasets.iter().zip(&job.datasets).enumerate() {
        let manifest = proof.check().map_err(Refused::with(Code::DatasetProof))?;
        if !is_declared(proof, &manifest, declared) {
            let why = format!("dataset {index} is not the one in the job's place {index}");
            return Err(Refused::new(Code::DatasetOther, why));
        }
        let alone = Joined::of([(&proof.header, &manifest.value)]);
        tables::check_counts(&alone.map_err(Refused::with(Code::DatasetJoin))?)?;
        manifests.push(manifest);
    }
    // The sandbox numbers the units of a round in 32 bits.
    if job.units() > u64::from(u32::MAX) {
        let why = format!("the datasets have {} units; 2^32 - 1 are allowed", job.units());
        return Err(Refused::new(Code::DatasetCounts, why));
    }
    Ok(manifests)
}

/// A group that does not fit has no update, so one of usual size has to.
fn check_groups(job: &Job, joined: &[Joined]) -> Result<(), Refused> {
    let GateMode::Groups(groups) = job.gate.mode else { return Ok(()) };
    let rows = rows(joined);
    let columns = joined.first().map_or(0, Joined::columns);
    let most = MAX_UNIT_ELEMENTS as u64;
    if (rows / u64::from(groups) + 1).saturating_mul(columns).saturating_mul(2) <= most {
        return Ok(());
    }
    let why = format!(
        "{rows} rows of {columns} columns in {groups} groups: one of twice the usual size has more than {most} numbers and would not fit; make more groups"
    );
    Err(Refused::new(Code::DatasetCounts, why))
}

/// The most rows of all populations.
fn rows(joined: &[Joined]) -> u64 {
    joined.iter().fold(0, |sum, one| one.rows.saturating_add(sum))
}

fn is_declared(
    proof: &DatasetProof,
    manifest: &Verified<DatasetManifest>,
    declared: &JobDataset,
) -> bool {
    let JobDataset { manifest: id, owner, population, units } = declared;
    manifest.id == *id
        && proof.header.owner == *owner
        && proof.header.population == *population
        && manifest.value.units == *units
}

/// Exactly one nonce for each broker: one more could be a broker's of another job.
fn check_nonces(offer: &Offer) -> Result<(), Refused> {
    let brokers: BTreeSet<&KeyId> =
        offer.datasets.iter().map(|proof| &proof.header.broker).collect();
    if offer.nonces.keys().collect::<BTreeSet<_>>() == brokers {
        return Ok(());
    }
    let why = format!(
        "the datasets have {} brokers, the offer has {} nonces: exactly one of each is needed",
        brokers.len(),
        offer.nonces.len()
    );
    Err(Refused::new(Code::OfferNonces, why))
}

fn check_lengths(offer: &Offer, job: &Job, code: &CodeManifest) -> Result<(), Refused> {
    let public = job.public_set.as_ref().map_or(0, |set| set.length);
    for (what, found, expected, limit) in [
        ("component", offer.component_length, code.length, MAX_COMPONENT_BYTES as u64),
        ("public set", offer.public_set_length, public, limits::PUBLIC_SET),
    ] {
        if found != expected || found > limit {
            let why = format!(
                "{found} bytes are announced for the {what}; {expected} were signed, {limit} are allowed"
            );
            return Err(Refused::new(Code::OfferSize, why));
        }
    }
    Ok(())
}
