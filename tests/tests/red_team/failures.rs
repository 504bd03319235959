//! Code that fails for one patient alone, and whoever learns how many have failed.

use anyhow::{Result, ensure};
use cloister_tests::guests;

use crate::{
    statistics::epsilon,
    world::{World, dot, patient},
};

/// Jobs with the patient, and as many without: each has one metrics release.
const JOBS: u32 = 150;

/// Noise in clip bounds, which is epsilon 1 at delta 1e-5 for each release.
const NOISE: f64 = 4.05;

/// The code traps if the patient is there, and for nobody else, so the number of failures is
/// the answer. Of the noised metrics the likelihood ratio is taken, for one who knows all
/// others: there is no better test.
#[test]
fn failures_that_mean_that_a_patient_is_present() -> Result<()> {
    const FEATURES: u32 = 4;
    let world = World::new(guests::for_the_marked("unreachable")?, FEATURES, 2.0);
    let others: Vec<_> = (1..40).map(|number| patient(number, FEATURES, 1.0)).collect();
    let target = patient(0, FEATURES, guests::MARK);
    let with = [std::slice::from_ref(&target), &others[..]].concat();
    let counted = [world.failures(&with)?, world.failures(&others)?];
    // What each of them adds without noise, as good as: the worst that leaves is what is moved.
    let known = &world.metrics(&others, 1, 1.0 / 1024.0, 1)?[0];
    let there = &world.metrics(&with, 1, 1.0 / 1024.0, 1)?[0];
    let direction: Vec<f64> = there.iter().zip(known).map(|(with, known)| with - known).collect();
    let moved = dot(&direction, &direction).sqrt();
    let along = |sum: &Vec<f64>| -> f64 {
        let left: Vec<f64> = sum.iter().zip(known).map(|(sum, known)| sum - known).collect();
        dot(&left, &direction) / moved.powi(2)
    };
    let guessed = |units: &[_], seed, present: bool| -> Result<usize> {
        let seen = world.metrics(units, JOBS, NOISE, seed)?;
        Ok(seen.iter().filter(|sum| (along(sum) > 0.5) == present).count())
    };
    let right = guessed(&with, 2, true)? + guessed(&others, 3, false)?;
    let share = right as f64 / f64::from(2 * JOBS);
    println!(
        "failures: counted exactly, {} with the patient and {} without; from noised metrics the \
         guess is right {:.0}% of the time, at epsilon {:.2}; the patient moves them by {moved:.2} \
         of a clip",
        counted[0],
        counted[1],
        100.0 * share,
        epsilon(1.0 / NOISE, 1e-5),
    );
    ensure!(counted == [1, 0], "the attack does not work on counts: {counted:?}");
    ensure!((0.5..=1.001).contains(&moved), "the patient moves the metrics by {moved} clips");
    ensure!((0.4..0.68).contains(&share), "{share} of the guesses are right");
    Ok(())
}
