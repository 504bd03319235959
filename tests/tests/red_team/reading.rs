//! Attacks that read rows: by the difference of two cohorts, and by code that writes rows into
//! its updates.

use anyhow::{Result, ensure};
use cloister_tests::guests;

use crate::world::{World, dot, patient};

/// Epsilon 1 at delta 1e-5 in one release: the noise in clip bounds.
const NOISE: f64 = 4.05;

/// Of all candidates, the one that lies most in the direction found.
fn closest(found: &[f64], candidates: &[Vec<f64>]) -> usize {
    let score = |row: &Vec<f64>| dot(found, row) / dot(row, row).sqrt();
    let scores: Vec<f64> = candidates.iter().map(score).collect();
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0)
}

/// The sum over 64 patients minus that over the 63 others is the update of one, which for a
/// linear model is its row.
#[test]
fn differencing_two_cohorts() -> Result<()> {
    const FEATURES: u32 = 16;
    const TARGETS: usize = 10;
    let world = World::new(guests::for_everybody(guests::HONEST)?, FEATURES, 2.0);
    let all: Vec<_> = (0..64).map(|number| patient(number, FEATURES, 1.0)).collect();
    let rows: Vec<Vec<f64>> =
        all.iter().map(|one| one.features.iter().map(|x| f64::from(*x)).collect()).collect();
    let (mut exact, mut plain, mut gated) = (0, 0, 0);
    for target in 0..TARGETS {
        let mut others = all.clone();
        others.remove(target);
        let apart = |with: &[f64], without: &[f64]| -> Vec<f64> {
            with.iter().zip(without).map(|(with, without)| with - without).collect()
        };
        let found = apart(&world.plain_sum(&all)?, &world.plain_sum(&others)?);
        let row = &rows[target];
        exact += usize::from(found.iter().zip(row).all(|(x, y)| (2.0 * x - y).abs() < 1e-4));
        plain += usize::from(closest(&found, &rows) == target);
        let seed = u8::try_from(target)?;
        let with = world.releases(all.clone(), 1, NOISE, 2 * seed)?;
        let without = world.releases(others, 1, NOISE, 2 * seed + 1)?;
        gated += usize::from(closest(&apart(&with[0], &without[0]), &rows) == target);
    }
    println!(
        "differencing: plain sums give {exact} of {TARGETS} rows exactly; of 64 candidates the \
         right one is found {plain} times, from releases {gated} times"
    );
    ensure!(exact == TARGETS && plain == TARGETS, "the attack does not work on plain sums");
    ensure!(gated <= 3, "{gated} of {TARGETS} rows are recognised in releases");
    Ok(())
}

/// Puts the unit's first eight features into the eighth part of the update that its label names.
const WRITES: &str = "
    (call $fill (local.get $out) (f32.const 0))
    (loop $each
      (call $set (local.get $out) (i32.const 0)
        (i32.add (local.get $i) (i32.mul (i32.const 8)
          (i32.trunc_f32_u (call $get (local.get $targets) (i32.const 0) (i32.const 0)))))
        (call $get (local.get $features) (i32.const 0) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $i) (i32.const 8))))";

/// Eight patients in one sum, each in a place of its own: what imprinting layers do with honest
/// looking code, at its best.
#[test]
fn rows_written_into_updates() -> Result<()> {
    const FEATURES: u32 = 64;
    let world = World::new(guests::for_everybody(WRITES)?, FEATURES, 2.0);
    let units: Vec<_> = (0..8_u8).map(|slot| patient(slot.into(), FEATURES, slot.into())).collect();
    let read = |sum: &[f64]| {
        let rows = units.iter().zip(sum.chunks(8));
        let wrong = |(unit, found): (&cloister_sandbox::UnitRows, &[f64])| {
            let apart =
                found.iter().zip(&unit.features).map(|(x, y)| (2.0 * x - f64::from(*y)).powi(2));
            (apart.sum::<f64>() / 8.0).sqrt()
        };
        rows.map(wrong).collect::<Vec<_>>()
    };
    let plain = read(&world.plain_sum(&units)?);
    let gated = read(&world.releases(units.clone(), 1, NOISE, 5)?[0]);
    let exact = plain.iter().filter(|wrong| **wrong < 1e-4).count();
    let least = gated.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "rows in updates: {exact} of 8 read exactly from the plain sum; from the release the \
         best is off by {least:.2} in each number, which are between -1 and 1"
    );
    ensure!(exact == 8, "the attack does not work on plain sums: {plain:?}");
    ensure!(least > 2.0, "a row is known to {least}");
    Ok(())
}
