//! The tables of each population, as one: what is public of them.

use cloister_protocol::{
    Verified,
    dataset::{DatasetManifest, HeaderCore, Joined},
    job::Job,
    release::DatasetProof,
};
use cloister_sandbox::{MAX_UNIT_ELEMENTS, UnitRows};

use crate::refusal::{Code, Refused};

/// Bytes for a unit of a table besides its numbers: what it is known by and what finds it,
/// and what holds its rows, with what an allocation takes, in the table and joined.
const UNIT_BYTES: u64 = 56 + 2 * (size_of::<UnitRows>() as u64 + 2 * 16);

/// Bytes for a unit of the base in each of its population's tables, while they are joined.
const PLACE_BYTES: u64 = size_of::<Option<u32>>() as u64;

/// Joins the tables of each population, and compares their columns: with each other's in
/// a population, with the first one's among populations.
pub(super) fn join(
    job: &Job,
    proofs: &[DatasetProof],
    manifests: &[Verified<DatasetManifest>],
) -> Result<Vec<Joined>, Refused> {
    let mut all: Vec<Joined> = Vec::new();
    for places in job.populations() {
        let first = places.start;
        let proofs = proofs[places.clone()].iter().map(|proof| &proof.header);
        let manifests = manifests[places].iter().map(|manifest| &manifest.value);
        for (header, manifest) in proofs.clone().zip(manifests.clone()) {
            check_length(header, manifest)?;
        }
        let joined = Joined::of(proofs.zip(manifests)).map_err(Refused::with(Code::DatasetJoin))?;
        if joined.tables > 1 {
            check_counts(&joined)?;
        }
        if all.first().is_some_and(|other| !joined.header.same_schema(&other.header)) {
            let why = format!(
                "dataset {first}, with those joined to it, has other features or targets than dataset 0: names, roles, bounds and order have to agree"
            );
            return Err(Refused::new(Code::DatasetSchema, why));
        }
        all.push(joined);
    }
    Ok(all)
}

/// That rows and units are possible, and a unit fits.
pub(super) fn check_counts(joined: &Joined) -> Result<(), Refused> {
    let Joined { rows, units, max_rows_per_unit: largest, .. } = *joined;
    let possible = 1 <= largest
        && units <= rows
        && units.checked_mul(largest).is_none_or(|most| rows <= most)
        && u32::try_from(rows).is_ok()
        && largest.saturating_mul(joined.columns()) <= MAX_UNIT_ELEMENTS as u64;
    if possible {
        return Ok(());
    }
    let why = format!(
        "{rows} rows of {units} units with at most {largest} each: impossible, or more than fits"
    );
    Err(Refused::new(Code::DatasetCounts, why))
}

/// That the sealed body can hold what its manifest says: eight bytes for each number. A file
/// whose columns lie on top of each other would take more memory as rows than its length
/// tells, and so than admission counts.
fn check_length(header: &HeaderCore, manifest: &DatasetManifest) -> Result<(), Refused> {
    let DatasetManifest { rows, length, .. } = *manifest;
    let columns = (header.features().count() + header.targets().count()) as u64;
    if rows.saturating_mul(columns).saturating_mul(8) <= length {
        return Ok(());
    }
    let why = format!(
        "{rows} rows of {columns} numbers are more than {length} bytes hold: its owner has to seal it again"
    );
    Err(Refused::new(Code::DatasetCounts, why))
}

/// The most bytes that all datasets take at any time, by their sealed lengths and what is
/// joined of them: see [`rows`](crate::rows).
pub(super) fn data_bytes(
    job: &Job,
    manifests: &[Verified<DatasetManifest>],
    joined: &[Joined],
) -> u64 {
    let sum = |lengths: &mut dyn Iterator<Item = u64>| lengths.fold(0, u64::saturating_add);
    let all = sum(&mut manifests.iter().map(|manifest| manifest.value.length));
    // 1. Of each dataset, its plaintext and its rows while it loads.
    let loading = all.saturating_mul(3) / 2;
    // 2. The rows of all, and those that are joined of them.
    let several = || job.populations().zip(joined).filter(|(_, joined)| joined.tables > 1);
    let rows = sum(&mut several().map(|(_, joined)| {
        joined.rows.saturating_mul(joined.columns()).saturating_mul(size_of::<f32>() as u64)
    }));
    let joining = (all / 2).saturating_add(rows);
    // 3. The rows of all, joined, while workers are handed a copy: twice.
    let apart = several().flat_map(|(places, _)| &manifests[places]);
    let apart = sum(&mut apart.map(|manifest| manifest.value.length));
    let handing = (all - apart).saturating_add(rows.saturating_mul(2));
    // And of each table its units, and where each unit of the base is in it.
    let units = sum(&mut joined.iter().map(|one| one.matched.saturating_mul(UNIT_BYTES)));
    let places = sum(&mut several().map(|(tables, joined)| {
        joined.units.saturating_mul(tables.len() as u64).saturating_mul(PLACE_BYTES)
    }));
    loading.max(joining).max(handing).saturating_add(units).saturating_add(places)
}
