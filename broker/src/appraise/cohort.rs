//! The rules on datasets and on the company they are in.

use std::collections::BTreeSet;

use cloister_protocol::{
    dataset::{Joined, Unit},
    job::{Job, JobDataset},
    release::DatasetProof,
    transcript::Transcript,
};

use super::{CheckedDataset, Denial, Ground, Rule};
use crate::policy::Policy;

/// Every header and manifest, against its owner's signature, the job and the transcript.
pub(super) fn check_datasets<'a>(
    proofs: &'a [DatasetProof],
    transcript: &Transcript,
    job: &Job,
) -> Result<Vec<CheckedDataset<'a>>, Denial> {
    let refuse =
        |expected: String, found: String| Err(Denial::new(Rule::DatasetManifest, expected, found));
    let counts = [proofs.len(), transcript.datasets.len()];
    if counts.iter().any(|count| *count != job.datasets.len()) {
        let expected = format!("{} datasets, as in the job", job.datasets.len());
        return refuse(expected, format!("{} sent, {} in the transcript", counts[0], counts[1]));
    }
    let mut checked = Vec::new();
    for (index, proof) in proofs.iter().enumerate() {
        let DatasetProof { header, manifest: _ } = proof;
        let manifest = proof.check().map_err(|error| {
            let expected = format!("dataset {index} as its owner sealed it");
            Denial::new(Rule::DatasetManifest, expected, error)
        })?;
        let found = JobDataset {
            manifest: manifest.id,
            owner: header.owner,
            population: header.population.clone(),
            units: manifest.value.units,
        };
        let declared = &job.datasets[index];
        if found != *declared {
            return refuse(format!("dataset {index}: {declared:?}"), format!("{found:?}"));
        }
        let bound = transcript.datasets[index];
        if manifest.id != bound {
            let expected = format!("dataset {index}: {bound:?}, as in the transcript");
            return refuse(expected, format!("{:?}", manifest.id));
        }
        checked.push(CheckedDataset { header, manifest });
    }
    Ok(checked)
}

/// The tables of each population can be joined. The enclave checks the same; a population
/// that it could not join is not worth a charge.
pub(super) fn check_joins(datasets: &[CheckedDataset<'_>], job: &Job) -> Result<(), Denial> {
    for places in job.populations() {
        let tables = &datasets[places];
        Joined::of(tables.iter().map(|table| (table.header, &table.manifest.value))).map_err(
            |error| {
                let expected = format!("{} tables that can be joined by unit", tables.len());
                Denial::new(Rule::DatasetJoin, expected, error)
            },
        )?;
    }
    Ok(())
}

/// This broker's datasets, of which there is at least one, each under the newest policy.
pub(super) fn find_own<'a, 'b>(
    datasets: &'b [CheckedDataset<'a>],
    transcript: &Transcript,
    ground: &Ground<'_>,
) -> Result<Vec<&'b CheckedDataset<'a>>, Denial> {
    let policy = ground.policy;
    let mut own = Vec::new();
    for (index, dataset) in datasets.iter().enumerate() {
        let CheckedDataset { header, manifest } = dataset;
        let (of_owner, of_broker) = (header.owner == ground.owner, header.broker == ground.broker);
        if !of_owner && !of_broker {
            continue;
        }
        if !of_owner || !of_broker || !ground.datasets.contains(&manifest.id) {
            let expected = "a dataset that this owner sealed for this broker, with its key here";
            let found = format!(
                "dataset {:?} of owner {:?} for broker {:?}",
                manifest.id, header.owner, header.broker
            );
            return Err(Denial::new(Rule::DatasetUnknown, expected, found));
        }
        if header.population != policy.value.population {
            let expected = format!("{:?}", policy.value.population);
            let found = format!("{:?}", header.population);
            return Err(Denial::new(Rule::DatasetPopulation, expected, found));
        }
        let named = transcript.policies[index];
        if named != *policy.id.digest() {
            let expected = format!("version {}, {:?}", policy.value.version, policy.id);
            return Err(Denial::new(Rule::PolicyOutdated, expected, format!("{named:?}")));
        }
        own.push(dataset);
    }
    if own.is_empty() {
        let expected = "a dataset of this broker's owner in the job";
        return Err(Denial::new(Rule::DatasetUnknown, expected, "none"));
    }
    Ok(own)
}

/// Who else is in the job, and how many people.
pub(super) fn check_company(
    datasets: &[CheckedDataset<'_>],
    job: &Job,
    policy: &Policy,
) -> Result<(), Denial> {
    let cohort = &policy.cohort;
    let owners: BTreeSet<_> = datasets.iter().map(|dataset| dataset.header.owner).collect();
    if let Some(stranger) = owners.iter().find(|owner| !cohort.owners.contains(owner)) {
        let expected = format!("one of {} owners in [cohort]", cohort.owners.len());
        return Err(Denial::new(Rule::CohortOwner, expected, format!("owner {stranger}")));
    }
    let least = cohort.minimum_owners;
    if u32::try_from(owners.len()).is_ok_and(|count| count < least) {
        let (expected, found) = (format!("{least} at least"), owners.len());
        return Err(Denial::new(Rule::CohortOwners, expected, found));
    }
    // By base tables, and as many as the manifests say, which were compared with the job.
    let units = job.units();
    if units < cohort.minimum_units {
        let expected = format!("{} at least", cohort.minimum_units);
        return Err(Denial::new(Rule::CohortUnits, expected, units));
    }
    Ok(())
}

/// What a unit is, in this owner's datasets.
pub(super) fn check_units(own: &[&CheckedDataset<'_>], policy: &Policy) -> Result<(), Denial> {
    for dataset in own {
        if dataset.header.unit == Unit::Row && !policy.per_row {
            let expected = "a column that says which rows belong together";
            return Err(Denial::new(Rule::UnitRow, expected, "each row for itself"));
        }
    }
    Ok(())
}
