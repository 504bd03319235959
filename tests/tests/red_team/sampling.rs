//! Rounds that sample units: the coins are thrown anew in each round and for each patient, and
//! nobody sees them. What sampling saves rests on both.

use anyhow::{Result, ensure};
use cloister_privacy::{
    Accounting, DiscreteGaussian, Gate, IntegerSum, JobCost, Order, Rate, Release, Sensitivity,
};
use cloister_protocol::job::GateMode;
use cloister_sandbox::UnitRows;
use cloister_tests::guests;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::{
    statistics::interval,
    world::{STEPS, World, in_steps, patient},
};

const FEATURES: u32 = 4;
const DELTA: f64 = 1e-5;

/// The marked patient says all it can in the first number, others in the second.
const SHOUTS: &str = "
    (call $fill (local.get $out) (f32.const 0))
    (if (f32.eq (call $get (local.get $targets) (i32.const 0) (i32.const 0)) (f32.const 0.5))
      (then (call $set (local.get $out) (i32.const 0) (i32.const 0) (f32.const 1e9)))
      (else (call $set (local.get $out) (i32.const 0) (i32.const 1) (f32.const 1e9))))";

fn two_patients() -> Vec<UnitRows> {
    vec![patient(0, FEATURES, guests::MARK), patient(1, FEATURES, 1.0)]
}

fn rate(probability: f64) -> Rate {
    Rate::nearest(probability).expect("a probability")
}

/// With next to no noise each coin of each round can be read from its release. They have their
/// probability, and say nothing of each other.
#[test]
fn coins_are_thrown_anew_in_each_round_for_each_patient() -> Result<()> {
    const ROUNDS: u32 = 4000;
    const Q: f64 = 0.3;
    let world = World::new(guests::for_everybody(SHOUTS)?, FEATURES, 1.0);
    let mode = GateMode::Sampled(rate(Q));
    let releases = world.releases_in(mode, two_patients(), ROUNDS, 0.05, 3)?;
    let coins: Vec<[bool; 2]> =
        releases.iter().map(|release| [release[0] > 0.5, release[1] > 0.5]).collect();

    let share = |what: &str, expected: f64, found: usize, of: usize| {
        let (low, high) = interval(found, of);
        println!("{what}: {found} of {of}, expected {expected:.2}");
        ensure!(low < expected && expected < high, "{what}: {found} of {of}");
        Ok(())
    };
    let count = |is: &dyn Fn(&[bool; 2]) -> bool| coins.iter().filter(|coin| is(coin)).count();
    share("the one takes part", Q, count(&|coin| coin[0]), coins.len())?;
    share("the other takes part", Q, count(&|coin| coin[1]), coins.len())?;
    share("both take part", Q * Q, count(&|coin| coin[0] && coin[1]), coins.len())?;
    for apart in 1..=3 {
        let again = coins.windows(apart + 1).filter(|coins| coins[0][0] && coins[apart][0]);
        let what = format!("the one takes part again {apart} rounds later");
        share(&what, Q * Q, again.count(), coins.len() - apart)?;
    }
    Ok(())
}

/// What releases with and without a patient show at least, of guesses above a threshold that
/// was fixed before.
fn epsilon_shown(with: &[f64], without: &[f64], threshold: f64) -> f64 {
    let above = |values: &[f64]| {
        interval(values.iter().filter(|value| **value > threshold).count(), values.len())
    };
    ((above(with).0 - DELTA) / above(without).1).ln()
}

/// At the best order, which follows from the job alone.
fn claimed(rounds: u32, noise: f64, q: f64) -> Result<f64> {
    let each = Release {
        sensitivity: Sensitivity::Unit,
        steps: STEPS,
        sigma_steps: in_steps(noise),
        sampling: Some(rate(q)),
    };
    let job = JobCost::new([(rounds, each)]);
    let at = |order| -> Result<f64> {
        let accounting = Accounting::At(Order::new(order)?);
        Ok(accounting.epsilon_upper(job.charge(accounting)?, DELTA)?)
    };
    let all = (2..64).map(at).collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().fold(f64::INFINITY, f64::min))
}

/// The product with the worst code for one release after another: what it shows stays below
/// what one sampled release is charged, and that below what it would be charged unsampled.
#[test]
fn sampled_releases_stay_below_the_claim() -> Result<()> {
    const RELEASES: u32 = 8000;
    const NOISE: f64 = 0.7;
    const Q: f64 = 0.3;
    let world = World::new(guests::for_everybody(SHOUTS)?, FEATURES, 1.0);
    let seen = |units, seed| -> Result<Vec<f64>> {
        let mode = GateMode::Sampled(rate(Q));
        let releases = world.releases_in(mode, units, RELEASES, NOISE, seed)?;
        Ok(releases.iter().map(|release| release[0]).collect())
    };
    let (with, without) = (seen(two_patients(), 1)?, seen(two_patients().split_off(1), 2)?);
    let (shown, claim) = (epsilon_shown(&with, &without, 2.0), claimed(1, NOISE, Q)?);
    let unsampled = claimed(1, NOISE, 1.0 - 1e-9)?;
    println!("one release: at least {shown:.2}, claimed {claim:.2}, unsampled {unsampled:.2}");
    ensure!(1.0 < shown && shown <= claim && claim < unsampled);
    Ok(())
}

/// A way to sample for a whole job.
struct Sampler {
    name: &'static str,
    /// Whether the patient takes part in a round: by this round's coin, and the job's.
    takes: fn(bool, bool) -> bool,
    sound: bool,
}

/// Coins with a mistake, and the same audit of whole jobs: it finds them, and nothing in the
/// ones without.
#[test]
fn broken_coins_are_found() -> Result<()> {
    const JOBS: usize = 6000;
    const ROUNDS: u32 = 100;
    const NOISE: f64 = 3.0;
    const Q: f64 = 0.1;
    let samplers = [
        Sampler { name: "no mistake", takes: |round, _| round, sound: true },
        Sampler { name: "one sample for the whole job", takes: |_, job| job, sound: false },
        Sampler { name: "nobody is left out", takes: |_, _| true, sound: false },
    ];
    let gate = Gate::new(1.0, STEPS, 1)?;
    let noise = DiscreteGaussian::new(in_steps(NOISE))?;
    let claim = claimed(ROUNDS, NOISE, Q)?;
    for Sampler { name, takes, sound } in samplers {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let mut job = |there: bool| -> f64 {
            let whole = rate(Q).takes(rng.next_u32());
            let mut round = || {
                let taken = takes(rate(Q).takes(rng.next_u32()), whole);
                let mut sum: IntegerSum = gate.sum();
                sum.add(&gate.quantise(&[if there && taken { 1e9 } else { 0.0 }])).expect("room");
                sum.noise(&noise, &mut rng).values()[0] as f64 / STEPS as f64
            };
            (0..ROUNDS).map(|_| round()).sum()
        };
        let with: Vec<_> = (0..JOBS).map(|_| job(true)).collect();
        let without: Vec<_> = (0..JOBS).map(|_| job(false)).collect();
        // Three and a half standard deviations of the noise of a whole job.
        let threshold = 3.5 * NOISE * f64::from(ROUNDS).sqrt();
        let shown = epsilon_shown(&with, &without, threshold);
        println!("{name}: epsilon at least {shown:.2}, claimed {claim:.2}");
        ensure!((shown <= claim) == sound, "{name}");
    }
    Ok(())
}
