//! Our accounting beside Google's dp-accounting, on random jobs.
//!
//! For each job epsilon is computed as the product does it: [`Zcdp::of_gaussian`] for a
//! release, [`Zcdp::checked_mul`], [`Zcdp::epsilon_upper`]. It must hold that
//!
//! 1. it is not below the tight value, that of the Gaussian mechanism (Balle and Wang 2018) with
//!    sigma over the root of the number of releases, which two computations of theirs agree on;
//! 2. one release of the discrete Gaussian, in one dimension, keeps the delta that was asked for
//!    at our epsilon for one release;
//! 3. it is not above theirs by the same bound (Canonne, Kamath and Steinke 2020), which they
//!    minimise over given orders and we over all; and where their best order is one that
//!    neighbours hardly improve on, it is the same.
//!
//! Jobs whose rounds sample units are asked about at one order: epsilon is not below the tight
//! value either, by an estimate of theirs that errs downwards, and is theirs by the same bound.
//!
//! No tolerance in 1 and 2; in 3 each release may cost a pico-rho more, for it is rounded up.

use std::env;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use cloister_privacy::{Accounting, JobCost, Order, Rate, Release, Sensitivity, Zcdp};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Path of a Python with what `requirements.txt` names.
const PYTHON: &str = "CLOISTER_DP_ACCOUNTING";

const JOBS: usize = 300;

/// Jobs whose rounds sample units.
const SAMPLED_JOBS: usize = 220;

/// A pico-rho for each release is less than this part of the least rho, 1 / (2 * 50^2), and
/// epsilon grows no faster than rho here.
const ROUNDED_UP: f64 = 1.0 + 1e-8;

/// The script's interval of privacy losses, and what its doubles lose.
const PLD_INTERVAL: f64 = 1e-3 + 1e-9;

/// From this integer order on, half an order off the best costs less than a percent: about
/// 1 / (8 (order - 1)^2) of epsilon.
const LARGE_ORDER: f64 = 5.0;

/// Theirs takes no order up to 1.01, so above this the best one has neighbours on both sides.
const INNER_ORDER: f64 = 1.02;

/// What is asked of both.
#[derive(Debug, Serialize)]
struct Job {
    steps: u64,
    sigma_steps: u64,
    releases: u64,
    delta: f64,
    /// Our epsilon of one release.
    one: f64,
}

/// What dp-accounting says: see `accounting.py`.
#[derive(Debug, Deserialize)]
struct Answer {
    tight: f64,
    pld: f64,
    integer: f64,
    integer_order: f64,
    fine: f64,
    fine_order: f64,
    discrete: Option<f64>,
}

#[test]
fn epsilon_is_never_below_the_tight_one_and_the_same_by_the_same_bound() {
    let Some(python) = env::var_os(PYTHON) else {
        println!("SKIPPED: dp-accounting: {PYTHON} is not set; `cargo xtask test` sets it");
        return;
    };
    let mut random = ChaCha12Rng::from_seed([11; 32]);
    let jobs: Vec<_> = (0..JOBS).map(|_| Job::random(&mut random)).collect();
    let answers: Vec<Answer> = ask(Path::new(&python), &jobs);
    assert_eq!(answers.len(), jobs.len(), "answers, and jobs");

    let mut found = Found::default();
    for (job, answer) in jobs.iter().zip(&answers) {
        let ours = job.epsilon();
        let about = || format!("{job:?}: {ours}, {answer:?}");

        // 1. Not below the tight value, of which a discretisation that errs upwards is sure.
        assert!(answer.tight > 0.0 && ours >= answer.tight, "{}", about());
        let apart = answer.pld / answer.tight - 1.0;
        assert!((-1e-9..=PLD_INTERVAL).contains(&apart), "{}", about());
        found.tight.take(ours / answer.tight);
        let low = job.epsilon_lower();
        // Of an amount that was rounded up.
        assert!(low <= answer.tight * ROUNDED_UP, "{low}: {}", about());
        assert!(low >= answer.tight * (1.0 - 1e-6), "{low}: {}", about());

        // 2. What is sampled is discrete.
        if let Some(delta) = answer.discrete {
            assert!(delta <= job.delta, "{}", about());
            found.discrete.take(delta / job.delta);
        }

        // 3. The same bound.
        assert!(ours <= answer.integer * ROUNDED_UP, "{}", about());
        if answer.integer_order >= LARGE_ORDER {
            assert!(ours >= answer.integer * 0.99, "{}", about());
            found.integer.take(answer.integer / ours);
        }
        assert!(ours <= answer.fine * ROUNDED_UP, "{}", about());
        if answer.fine_order >= INNER_ORDER {
            assert!(ours >= answer.fine * (1.0 - 1e-5), "{}", about());
            found.fine.take(answer.fine / ours);
        }
    }
    println!("{found}");
    // Limits like those of the orders must not leave out most jobs.
    for part in [found.integer, found.fine, found.discrete] {
        assert!(part.count >= JOBS / 4, "{found}");
    }
}

/// What is asked about rounds that sample units.
#[derive(Debug, Serialize)]
struct Sampled {
    steps: u64,
    sigma_steps: u64,
    releases: u32,
    delta: f64,
    sampling: f64,
    order: u32,
}

/// What dp-accounting says of them.
#[derive(Debug, Deserialize)]
struct AnswerAtOrder {
    renyi: f64,
    epsilon: f64,
    pld: Option<f64>,
}

#[test]
fn sampled_rounds_cost_what_the_same_bound_says_and_no_less_than_the_tight_one() {
    let Some(python) = env::var_os(PYTHON) else {
        println!("SKIPPED: dp-accounting: {PYTHON} is not set; `cargo xtask test` sets it");
        return;
    };
    let mut random = ChaCha12Rng::from_seed([12; 32]);
    let jobs: Vec<_> = (0..SAMPLED_JOBS).map(|_| Sampled::random(&mut random)).collect();
    let answers: Vec<AnswerAtOrder> = ask(Path::new(&python), &jobs);
    assert_eq!(answers.len(), jobs.len(), "answers, and jobs");

    let (mut bound, mut tight) = (Range::default(), Range::default());
    for (job, answer) in jobs.iter().zip(&answers) {
        let (renyi, epsilon) = job.ours();
        let about = || format!("{job:?}: {renyi}, {epsilon}, {answer:?}");
        if let Some(pld) = answer.pld {
            assert!(epsilon >= pld, "{}", about());
            if pld > 0.0 {
                tight.take(epsilon / pld);
            }
        }
        // Theirs is the logarithm of a number next to 1, which loses what is below this.
        let lost = 1e-14 * f64::from(job.releases);
        assert!(renyi >= answer.renyi * (1.0 - 1e-9) - lost, "{}", about());
        // Ours is rounded up once, and what a release costs unsampled is, too.
        let rounded = 2e-12 * f64::from(job.order) + lost;
        assert!(renyi <= answer.renyi * (1.0 + 1e-6) + rounded, "{}", about());
        assert!(epsilon >= answer.epsilon * (1.0 - 1e-9) - lost, "{}", about());
        assert!(epsilon <= answer.epsilon * (1.0 + 1e-6) + rounded, "{}", about());
        if answer.renyi > 1e-6 {
            bound.take(renyi / answer.renyi);
        }
    }
    let Range { count, least, most } = bound;
    println!("our divergence in dp-accounting's: {least:.9} to {most:.9} in {count} jobs");
    let Range { count, least, most } = tight;
    println!("our epsilon in the tight one: {least:.3} to {most:.3} in {count} jobs");
    assert!(bound.count >= SAMPLED_JOBS / 2 && tight.count >= SAMPLED_JOBS / 8);
}

impl Sampled {
    /// As [`Job::random`], each unit in a round with probability 1e-4 to 1, orders from 2 to 256.
    fn random(random: &mut ChaCha12Rng) -> Self {
        let Job { steps, sigma_steps, releases, delta, .. } = Job::random(random);
        let sampling = Rate::nearest(between(1e-4, 0.999, random)).unwrap().probability();
        let order = u32::try_from(whole(between(2.0, 256.0, random))).unwrap();
        let releases = u32::try_from(releases).unwrap();
        Self { steps, sigma_steps, releases, delta, sampling, order }
    }

    /// Divergence and epsilon, as a ledger counts them.
    fn ours(&self) -> (f64, f64) {
        let Self { steps, sigma_steps, releases, delta, sampling, order } = *self;
        let sampling = Some(Rate::nearest(sampling).unwrap());
        let release = Release { sensitivity: Sensitivity::Unit, steps, sigma_steps, sampling };
        let accounting = Accounting::At(Order::new(order).unwrap());
        let cost = JobCost::new([(releases, release)]).charge(accounting).unwrap();
        let renyi = cost.as_pico() as f64 / 1e12 * f64::from(order);
        (renyi, accounting.epsilon_upper(cost, delta).unwrap())
    }
}

impl Job {
    /// Noise from 0.3 to 50 times the sensitivity, 1 to 100,000 releases, delta from 1e-12 to
    /// 1e-4, the logarithm of each uniform.
    fn random(random: &mut ChaCha12Rng) -> Self {
        let steps = whole(between(16.0, f64::from(1 << 24), random));
        let sigma_steps = whole(between(0.3, 50.0, random) * steps as f64);
        let releases = whole(between(1.0, 1e5, random));
        let delta = between(1e-12, 1e-4, random);
        let job = Self { steps, sigma_steps, releases, delta, one: 0.0 };
        Self { one: job.epsilon_of(1), ..job }
    }

    fn epsilon(&self) -> f64 {
        self.epsilon_of(self.releases)
    }

    /// The lower end of what is reported.
    fn epsilon_lower(&self) -> f64 {
        self.cost(self.releases).epsilon_lower(self.delta).unwrap()
    }

    fn epsilon_of(&self, releases: u64) -> f64 {
        self.cost(releases).epsilon_upper(self.delta).unwrap()
    }

    fn cost(&self, releases: u64) -> Zcdp {
        let one = Zcdp::of_gaussian(self.steps, self.sigma_steps).unwrap();
        one.checked_mul(releases).unwrap()
    }
}

/// A number whose logarithm is uniform.
fn between(least: f64, most: f64, random: &mut ChaCha12Rng) -> f64 {
    let uniform = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    least * (most / least).powf(uniform)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 2^30")]
fn whole(x: f64) -> u64 {
    x.round() as u64
}

/// Has Python compute.
fn ask<J: Serialize, A: DeserializeOwned>(python: &Path, jobs: &[J]) -> Vec<A> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/accounting.py");
    let mut command = Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut to = child.stdin.take().expect("standard input is piped");
    let lines: String = jobs.iter().map(|job| serde_json::to_string(job).unwrap() + "\n").collect();
    // It answers while it reads, so both have to go on at once. Why it stopped reading, if it
    // did, it says itself.
    let write = thread::spawn(move || to.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let written = write.join().unwrap();
    assert!(output.status.success(), "{command:?} failed; its own message is above");
    written.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Ratios, over all jobs.
#[derive(Default)]
struct Found {
    tight: Range,
    discrete: Range,
    integer: Range,
    fine: Range,
}

#[derive(Clone, Copy)]
struct Range {
    count: usize,
    least: f64,
    most: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { count: 0, least: f64::INFINITY, most: 0.0 }
    }
}

impl Range {
    fn take(&mut self, ratio: f64) {
        self.count += 1;
        self.least = self.least.min(ratio);
        self.most = self.most.max(ratio);
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tight, discrete, integer, fine } = self;
        for (what, Range { count, least, most }) in [
            ("our epsilon in the tight one", tight),
            ("delta of the discrete Gaussian in the one asked for", discrete),
            ("dp-accounting's epsilon at integer orders in ours", integer),
            ("dp-accounting's epsilon at fine orders in ours", fine),
        ] {
            writeln!(f, "{what}: {least:.9} to {most:.9} in {count} jobs")?;
        }
        Ok(())
    }
}
