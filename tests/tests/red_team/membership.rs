//! Was this patient in the table? The best test there is, for one who knows all others.

use anyhow::{Result, ensure};
use cloister_tests::guests;

use crate::{
    statistics::epsilon,
    world::{World, dot, patient},
};

/// Releases with the patient, and as many without.
const RELEASES: u32 = 3000;

/// Noise in clip bounds, which is epsilon 1 at delta 1e-5 for each release alone.
const NOISE: f64 = 4.05;

/// The likelihood ratio of what is left of a sum once all others are subtracted: what `LiRA`
/// estimates with shadow models is known here exactly. Reported is how often it is right where
/// it is wrong for one absent patient in a thousand.
#[test]
fn membership_by_the_likelihood_ratio() -> Result<()> {
    const FEATURES: u32 = 16;
    let world = World::new(guests::for_everybody(guests::HONEST)?, FEATURES, 2.0);
    let others: Vec<_> = (1..40).map(|number| patient(number, FEATURES, 1.0)).collect();
    let target = patient(0, FEATURES, 1.0);
    let with = [std::slice::from_ref(&target), &others[..]].concat();
    let (known, direction) = (world.plain_sum(&others)?, world.plain_sum(&[target])?);
    let left = |sum: &Vec<f64>| -> f64 {
        let left: Vec<f64> = sum.iter().zip(&known).map(|(sum, known)| sum - known).collect();
        dot(&left, &direction) / dot(&direction, &direction)
    };
    // Without noise what is left is the patient's update or nothing.
    let plain = left(&world.plain_sum(&with)?) - left(&known);
    let seen = |releases: Vec<Vec<f64>>| releases.iter().map(left).collect::<Vec<_>>();
    let there = seen(world.releases(with, RELEASES, NOISE, 3)?);
    let mut absent = seen(world.releases(others, RELEASES, NOISE, 4)?);
    absent.sort_by(f64::total_cmp);
    let threshold = absent[absent.len() - absent.len() / 1000 - 1];
    let hits = there.iter().filter(|value| **value > threshold).count();
    let rate = hits as f64 / f64::from(RELEASES);
    let pairs = there.iter().take(500).flat_map(|x| absent.iter().map(move |y| x > y));
    let area = pairs.clone().filter(|right| *right).count() as f64 / pairs.count() as f64;
    println!(
        "membership: certain without noise ({plain:.3} of an update is left); with it {:.2}% true \
         at 0.1% false positives, AUC {area:.3}; epsilon {:.2} at 1e-5 allows {:.2}%",
        100.0 * rate,
        epsilon(1.0 / NOISE, 1e-5),
        100.0 * (epsilon(1.0 / NOISE, 1e-5).exp() * 0.001 + 1e-5),
    );
    ensure!((plain - 1.0).abs() < 1e-3, "the attack does not work on plain sums: {plain}");
    ensure!(rate < 0.01 && area < 0.62, "{hits} of {RELEASES}, AUC {area}");
    Ok(())
}
