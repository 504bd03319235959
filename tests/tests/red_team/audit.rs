//! The claim, measured: the worst code for the worst patient, thousands of times. And whether
//! this audit would have seen a gate that is broken.

use anyhow::{Result, ensure};
use cloister_privacy::{DiscreteGaussian, Gate, Zcdp};
use cloister_sandbox::UnitRows;
use cloister_tests::guests;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::{
    statistics::{Shown, epsilon, shown},
    world::{STEPS, World, dot, in_steps, patient},
};

const RELEASES: u32 = 4000;
const FEATURES: u32 = 4;
/// In clip bounds: one release has a mu of 1, and epsilon 4.4 at delta 1e-5.
const NOISE: f64 = 1.0;
const DELTA: f64 = 1e-5;

/// As much as an update can say, for the marked patient; nothing for the others.
const SHOUTS: &str = "
    (call $fill (local.get $out) (f32.const 0))
    (if (f32.eq (call $get (local.get $targets) (i32.const 0) (i32.const 0)) (f32.const 0.5))
      (then (call $fill (local.get $out) (f32.const 1e9))))";

fn marked() -> UnitRows {
    patient(0, FEATURES, guests::MARK)
}

fn others() -> Vec<UnitRows> {
    (1..6).map(|number| patient(number, FEATURES, 1.0)).collect()
}

/// How far along the direction in which the code shouts.
fn along(release: &[f64]) -> f64 {
    dot(release, &[0.5; FEATURES as usize])
}

/// What the accountant says of one such release.
fn claimed() -> Result<(f64, f64)> {
    let cost = Zcdp::of_gaussian(STEPS, in_steps(NOISE))?;
    let mu = (2.0 * cost.as_pico() as f64 / 1e12).sqrt();
    Ok((mu, cost.epsilon_upper(DELTA)?))
}

fn report(what: &str, shown: Shown) -> Result<()> {
    let (mu, claim) = claimed()?;
    println!(
        "{what}: mu is at least {:.3} and at most {:.3}, epsilon at least {:.2}; claimed are {mu:.3} \
         and {claim:.2}",
        shown.low,
        shown.high,
        epsilon(shown.low.clamp(1e-3, 30.0), DELTA)
    );
    Ok(())
}

#[test]
fn the_strongest_attack_stays_below_the_claim() -> Result<()> {
    let world = World::new(guests::for_everybody(SHOUTS)?, FEATURES, 1.0);
    let all = [vec![marked()], others()].concat();
    let seen = |units, seed| -> Result<Vec<f64>> {
        let releases = world.releases(units, RELEASES, NOISE, seed)?;
        Ok(releases.iter().map(|release| along(release)).collect())
    };
    let shown = shown(&seen(all, 1)?, &seen(others(), 2)?, 0.5);
    report("the product", shown)?;
    let (mu, claim) = claimed()?;
    ensure!(shown.low <= mu, "one patient moves releases by more than is charged for");
    ensure!(epsilon(shown.low, DELTA) <= claim, "more than the claimed epsilon");
    // The attack is not a weak one: it sees nearly all that there is.
    ensure!(shown.high >= mu && shown.low > 0.8 * mu, "{shown:?}");
    Ok(())
}

/// A gate with a mistake: what it would have released with and without the patient.
struct Broken {
    name: &'static str,
    release: fn(&Gate, bool, &mut ChaCha20Rng) -> Vec<i64>,
}

fn noise(share: f64) -> DiscreteGaussian {
    DiscreteGaussian::new(in_steps(NOISE * share)).expect("a sigma")
}

const SHOUT: [f32; 4] = [1e9; 4];

const BROKEN: &[Broken] = &[
    Broken {
        name: "half the noise",
        release: |gate, there, rng| {
            let mut sum = gate.sum();
            let update = if there { SHOUT } else { [0.0; 4] };
            sum.add(&gate.quantise(&update)).expect("room");
            sum.noise(&noise(0.5), rng).values().to_vec()
        },
    },
    Broken {
        name: "clipped by group, charged by unit",
        release: |gate, there, rng| {
            // The patient turns the update of its whole group.
            let sign = if there { 1.0 } else { -1.0 };
            let mut sum = gate.sum();
            sum.add(&gate.quantise(&SHOUT.map(|x| sign * x))).expect("room");
            sum.noise(&noise(1.0), rng).values().to_vec()
        },
    },
    Broken {
        name: "no clipping of one that is too long",
        release: |gate, there, rng| {
            // Three times, as if three units had said it.
            let mut sum = gate.sum();
            for _ in 0..3 {
                let update = if there { SHOUT } else { [0.0; 4] };
                sum.add(&gate.quantise(&update)).expect("room");
            }
            sum.noise(&noise(1.0), rng).values().to_vec()
        },
    },
    Broken {
        name: "a round that is refused for what a patient did",
        release: |gate, there, rng| {
            if there {
                return vec![i64::MAX >> 12; gate.dimension()];
            }
            gate.sum().noise(&noise(1.0), rng).values().to_vec()
        },
    },
    Broken {
        name: "noise from one seed again and again",
        release: |gate, there, _| {
            let mut rng = ChaCha20Rng::from_seed([9; 32]);
            let mut sum = gate.sum();
            let update = if there { SHOUT } else { [0.0; 4] };
            sum.add(&gate.quantise(&update)).expect("room");
            sum.noise(&noise(1.0), &mut rng).values().to_vec()
        },
    },
];

/// The same audit of gates with one mistake each: it finds every one, and finds nothing in the
/// gate without any.
#[test]
fn broken_gates_are_found() -> Result<()> {
    let gate = Gate::new(1.0, STEPS, FEATURES as usize)?;
    let sound = Broken {
        name: "no mistake",
        release: |gate, there, rng| {
            let mut sum = gate.sum();
            let update = if there { SHOUT } else { [0.0; 4] };
            sum.add(&gate.quantise(&update)).expect("room");
            sum.noise(&noise(1.0), rng).values().to_vec()
        },
    };
    let (mu, _) = claimed()?;
    for Broken { name, release } in BROKEN.iter().chain([&sound]) {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let mut seen = |there| -> Vec<f64> {
            let mut one = || -> Vec<f64> {
                let steps = release(&gate, there, &mut rng);
                steps.iter().map(|steps| *steps as f64 / STEPS as f64).collect()
            };
            (0..RELEASES).map(|_| along(&one())).collect()
        };
        let (with, without) = (seen(true), seen(false));
        // Half-way between what both are without noise, which the attacker knows; with the
        // same noise each time, that is the noise it has seen.
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let shown = shown(&with, &without, f64::midpoint(mean(&with), mean(&without)));
        report(name, shown)?;
        ensure!((shown.low > mu) == (*name != "no mistake"), "{name}: {shown:?}");
    }
    Ok(())
}
