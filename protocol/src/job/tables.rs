//! Which datasets of a job are tables of one population.
//!
//! The budget belongs to (owner, population), so that is whom a job counts and charges
//! once, however many tables it uses. The tables stand next to each other; the first is the
//! base, whose units are the population's.

use std::{collections::BTreeSet, ops::Range};

use super::{Job, JobDataset, JobError};

impl Job {
    /// The places of each population's tables, in order; the first of each is its base.
    pub fn populations(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut start = 0;
        self.datasets.chunk_by(JobDataset::same_people).map(move |tables| {
            let places = start..start + tables.len();
            start = places.end;
            places
        })
    }

    /// All declared units, each population's once.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.populations().map(|tables| self.datasets[tables.start].units).sum()
    }
}

impl JobDataset {
    fn same_people(&self, other: &Self) -> bool {
        self.owner == other.owner && self.population == other.population
    }
}

/// No dataset is there twice, and no population in two places: its people would count, and
/// be charged, as if they were others.
pub(super) fn check(datasets: &[JobDataset]) -> Result<(), JobError> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = datasets.iter().find(|dataset| !seen.insert(dataset.manifest)) {
        return Err(JobError::DatasetTwice(twice.manifest));
    }
    for (index, dataset) in datasets.iter().enumerate().skip(1) {
        let (before, previous) = datasets[..index].split_at(index - 1);
        let apart = before.iter().any(|other| other.same_people(dataset));
        if apart && !previous.iter().any(|other| other.same_people(dataset)) {
            return Err(JobError::PopulationApart(dataset.population.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Digest, Id};

    /// Each with its owner, its population and its units; manifests all differ.
    fn job(datasets: &[(&str, &str, u64)]) -> Job {
        let mut job = super::super::tests::job();
        let declared = |(place, (owner, people, units)): (usize, &(&str, &str, u64))| JobDataset {
            manifest: Id::new(Digest::of("manifest", &[&place.to_be_bytes()])),
            owner: Id::new(Digest::of("owner", &[owner.as_bytes()])),
            population: (*people).into(),
            units: *units,
        };
        job.datasets = datasets.iter().enumerate().map(declared).collect();
        job
    }

    #[test]
    fn a_population_counts_once_by_its_base_table() {
        let job = job(&[
            ("a", "patients", 5),
            ("a", "patients", 900),
            ("a", "patients", 3),
            ("b", "patients", 7),
            ("a", "staff", 11),
        ]);
        assert_eq!(job.validate(), Ok(()));
        assert_eq!(job.populations().collect::<Vec<_>>(), [0..3, 3..4, 4..5]);
        assert_eq!(job.units(), 5 + 7 + 11);
        assert_eq!(job.divisor(super::super::GateMode::Unit), job.units());
    }

    #[test]
    fn a_population_in_two_places_is_refused() {
        let apart = Err(JobError::PopulationApart("patients".into()));
        let (ours, theirs) = (("a", "patients", 5), ("b", "patients", 5));
        assert_eq!(job(&[ours, theirs, ours]).validate(), apart);
        assert_eq!(job(&[ours, ours, theirs, theirs, ours]).validate(), apart);
        assert_eq!(job(&[ours, ours, theirs]).validate(), Ok(()));
    }

    #[test]
    fn a_dataset_twice_is_refused_wherever_it_stands() {
        let ours = ("a", "patients", 5);
        for (owner, places) in [("a", [0, 1]), ("b", [0, 2])] {
            let mut twice = job(&[ours, ours, (owner, "patients", 5)]);
            let [one, other] = places;
            twice.datasets[other].manifest = twice.datasets[one].manifest;
            let manifest = twice.datasets[one].manifest;
            assert_eq!(twice.validate(), Err(JobError::DatasetTwice(manifest)));
        }
    }
}
