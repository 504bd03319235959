//! The demo's data: the public breast-cancer table, dealt out to three hospitals
//! and a set that is kept apart to measure accuracy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// The seed of the split that the demo shows.
pub const DEMO_SEED: u64 = 1;

/// Patients kept apart as the public evaluation set, in percent of all.
const PUBLIC_PERCENT: usize = 20;
/// The hospitals and their share of the others, in percent; the last takes what is left.
const HOSPITALS: [(&str, usize); 3] = [("hospital-a", 55), ("hospital-b", 30), ("hospital-c", 15)];

/// One file of a split.
#[derive(Debug)]
pub struct Part {
    /// Where it was written.
    pub path: PathBuf,
    /// Rows in it, each another patient.
    pub patients: usize,
}

/// The committed table, see `data/breast-cancer/README.md`.
pub fn table() -> PathBuf {
    crate::root().join("data/breast-cancer/patients.csv")
}

/// Deals the rows of `table` out to `hospital-{a,b,c}.csv` and `public.csv` in
/// `folder`, each with the header. Rows go by a shuffle that depends on `seed`
/// alone, and keep the table's order within their file.
pub fn split(table: &Path, folder: &Path, seed: u64) -> Result<Vec<Part>> {
    let text =
        fs::read_to_string(table).with_context(|| format!("cannot read {}", table.display()))?;
    let mut lines = text.lines();
    let header =
        lines.next().with_context(|| format!("{} is empty; expected a header", table.display()))?;
    let rows: Vec<&str> = lines.collect();
    ensure!(
        rows.len() >= 20,
        "{} has {} rows; a split over {} files needs 20 at least",
        table.display(),
        rows.len(),
        HOSPITALS.len() + 1
    );
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;

    let mut order: Vec<usize> = (0..rows.len()).collect();
    shuffle(&mut order, seed);
    let mut parts = Vec::new();
    let mut dealt = 0;
    for (name, count) in shares(rows.len()) {
        let mut chosen = order[dealt..dealt + count].to_vec();
        dealt += count;
        chosen.sort_unstable();
        let mut file = format!("{header}\n");
        for index in chosen {
            file.push_str(rows[index]);
            file.push('\n');
        }
        let path = folder.join(format!("{name}.csv"));
        fs::write(&path, file).with_context(|| format!("cannot write {}", path.display()))?;
        parts.push(Part { path, patients: count });
    }
    Ok(parts)
}

/// How many of `rows` rows each file gets, the public one first; the sum is `rows`.
fn shares(rows: usize) -> Vec<(&'static str, usize)> {
    let percent = |share: usize, of: usize| (share * of + 50) / 100;
    let public = percent(PUBLIC_PERCENT, rows);
    let private = rows - public;
    let mut shares = vec![("public", public)];
    let mut left = private;
    for (position, (name, share)) in HOSPITALS.into_iter().enumerate() {
        let count = if position + 1 == HOSPITALS.len() { left } else { percent(share, private) };
        left -= count;
        shares.push((name, count));
    }
    shares
}

/// Fisher and Yates' shuffle over `ChaCha12`, the same on every machine.
fn shuffle(order: &mut [usize], seed: u64) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut generator = ChaCha12Rng::from_seed(key);
    for last in (1..order.len()).rev() {
        order.swap(last, below(&mut generator, last + 1));
    }
}

/// A uniform number below `bound`, which is not zero; values that would favour
/// small numbers are drawn again.
fn below(generator: &mut ChaCha12Rng, bound: usize) -> usize {
    let bound = bound as u64;
    let fair = u64::MAX - u64::MAX % bound;
    loop {
        let drawn = generator.next_u64();
        if drawn < fair {
            return usize::try_from(drawn % bound).expect("smaller than a usize was");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The file's rows without the header.
    fn rows(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn every_patient_is_in_exactly_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let parts = split(&table(), folder.path(), DEMO_SEED).unwrap();
        let sizes: Vec<_> = parts.iter().map(|part| part.patients).collect();
        assert_eq!(sizes, [114, 250, 137, 68]);

        let dealt: Vec<String> = parts.iter().flat_map(|part| rows(&part.path)).collect();
        let once: BTreeSet<_> = dealt.iter().collect();
        assert_eq!(dealt.len(), once.len());
        let all = rows(&table());
        assert_eq!(once, all.iter().collect());
    }

    #[test]
    fn each_file_has_the_header_and_the_named_patients() {
        let folder = tempfile::tempdir().unwrap();
        let parts = split(&table(), folder.path(), DEMO_SEED).unwrap();
        let table = fs::read_to_string(table()).unwrap();
        for part in &parts {
            let file = fs::read_to_string(&part.path).unwrap();
            assert_eq!(file.lines().next(), table.lines().next());
            assert_eq!(file.lines().count(), part.patients + 1);
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        let folder = tempfile::tempdir().unwrap();
        let deal = |name: &str, seed| {
            let parts = split(&table(), &folder.path().join(name), seed).unwrap();
            rows(&parts[0].path)
        };
        assert_eq!(deal("once", 1), deal("again", 1));
        assert_ne!(deal("once", 1), deal("other", 2));
    }

    #[test]
    fn the_shuffle_never_changes_between_releases() {
        let mut order: Vec<usize> = (0..10).collect();
        shuffle(&mut order, DEMO_SEED);
        assert_eq!(order, [2, 4, 7, 5, 9, 0, 3, 1, 6, 8]);
    }

    #[test]
    fn shares_always_add_up() {
        for count in 20..1000 {
            let sum: usize = shares(count).iter().map(|(_, share)| share).sum();
            assert_eq!(sum, count);
        }
    }

    #[test]
    fn a_table_too_small_to_split_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("small.csv");
        fs::write(&table, "patient_id,malignant\nP001,1\n").unwrap();
        let error = split(&table, folder.path(), 1).unwrap_err();
        assert!(error.to_string().contains("has 1 rows"), "{error}");
    }
}
