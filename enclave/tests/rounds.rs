//! The rounds without a network: real workers, real gate, no waiting.

mod common;

use cloister_enclave::{
    admission::call_limits,
    rounds::{Output, Plan, Pools, Workshop, run},
    rows::{Shape, Units, public},
};
use cloister_protocol::{job::GateMode, release::Stage};
use cloister_sandbox::{Compiled, Settings, UnitRows, compile};
use common::{Fixture, guests, public_rows, workshop};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// A job over units given in memory.
struct Bench {
    fixture: Fixture,
    workshop: Workshop,
    compiled: Compiled,
    settings: Settings,
    first_model: Vec<f32>,
}

impl Bench {
    fn new(component: Vec<u8>, workshop: Workshop) -> Self {
        let fixture = Fixture::new(component);
        let compiled = compile(&fixture.component).unwrap();
        let settings = Settings {
            limits: call_limits(&fixture.job.limits, 3),
            params: vec![("l2".into(), 0.1)],
            seed: [1; 32],
            features: 2,
            targets: 1,
        };
        Self { fixture, workshop, compiled, settings, first_model: vec![0.0; 2] }
    }

    fn run(&self, units: Vec<UnitRows>, seed: u8) -> Vec<Output> {
        let header = &self.fixture.owned[0].proof.header;
        let set = public(public_rows(), header).unwrap();
        let (shape, first_model) = (Shape::of(header), self.first_model.clone());
        let plan = Plan::new(&self.fixture.job, shape, first_model, Some(set)).unwrap();
        let mut pools = Pools::new(&self.workshop, &self.compiled, &self.settings);
        let mut outputs = Vec::new();
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let done = run(&plan, Units::from_rows(units), &mut pools, &mut rng, &mut outputs);
        assert!(done.is_continue());
        outputs
    }
}

fn unit(rows: &[([f32; 2], f32)]) -> UnitRows {
    UnitRows {
        features: rows.iter().flat_map(|row| row.0).collect(),
        targets: rows.iter().map(|row| row.1).collect(),
        rows: u32::try_from(rows.len()).unwrap(),
        stream: 0,
    }
}

fn some_units() -> Vec<UnitRows> {
    vec![
        unit(&[([0.3, -0.2], 1.0), ([0.4, 0.0], 1.0)]),
        unit(&[([-0.4, 0.1], 0.0)]),
        unit(&[([0.5, 0.3], 1.0)]),
        unit(&[([-0.5, -0.1], 0.0)]),
        unit(&[([0.2, 0.2], 1.0)]),
        unit(&[([-0.1, 0.4], 0.0)]),
    ]
}

#[test]
fn the_same_noise_gives_the_same_releases_on_any_number_of_workers() {
    let program = common::worker_program();
    let workers = |n| cloister_enclave::boot::workshop(program.clone(), Some(n)).unwrap();
    let one = Bench::new(guests::benign(), workers(1)).run(some_units(), 7);
    let two = Bench::new(guests::benign(), workers(2)).run(some_units(), 7);
    assert_eq!(one, two);
    let stages: Vec<_> = one.iter().map(|output| output.stage).collect();
    assert_eq!(stages, [Stage::Centring, Stage::Round(1), Stage::Round(2), Stage::Round(3)]);
    let other = Bench::new(guests::benign(), workers(2)).run(some_units(), 8);
    assert_ne!(one, other);
}

/// Who takes part is drawn by the generator of the noise, and the mean is over how many do on
/// average, however many did.
#[test]
fn a_sampled_round_is_divided_by_a_public_number() {
    let mut bench = Bench::new(guests::benign(), workshop());
    let rate = cloister_privacy::Rate::nearest(0.5).unwrap();
    bench.fixture.job.gate.mode = GateMode::Sampled(rate);
    bench.fixture.job.gate.sigma = 1;
    let outputs = bench.run(some_units(), 7);
    let divisors: Vec<_> = outputs.iter().map(|output| output.divisor).collect();
    let units = bench.fixture.job.units();
    assert_eq!(divisors, [units, units / 2, units / 2, units / 2]);
    assert_eq!(outputs, bench.run(some_units(), 7));
    let sums = |outputs: &[Output]| -> Vec<Vec<i64>> {
        outputs[1..].iter().map(|output| output.tensors[0].whole().unwrap().to_vec()).collect()
    };
    assert_ne!(sums(&outputs), sums(&bench.run(some_units(), 8)));
}

#[test]
fn the_first_release_says_where_the_model_began() {
    for centring in [true, false] {
        let mut bench = Bench::new(guests::benign(), workshop());
        bench.first_model = vec![0.1, -7.0];
        if !centring {
            bench.fixture.job.centring = None;
        }
        let outputs = bench.run(some_units(), 7);
        assert_eq!(outputs[0].stage == Stage::Centring, centring);
        let began = [f64::from(0.1_f32), -7.0];
        assert_eq!(outputs[0].doubles("first_model").unwrap(), began);
        assert!(outputs[1..].iter().all(|output| output.doubles("first_model").is_none()));
        // From there, and from nowhere else, the first round's sum gives its model.
        let round = &outputs[usize::from(centring)];
        let sum = round.tensors[0].whole().unwrap();
        let job = &bench.fixture.job;
        let model = sum.iter().zip(began).map(|(sum, began)| {
            let mean = *sum as f64 * job.gate.clip / job.gate.steps as f64 / job.units() as f64;
            began - job.server.rate * mean
        });
        assert_eq!(round.doubles("model").unwrap(), model.collect::<Vec<_>>());
    }
}

#[test]
fn little_noise_learns_and_is_scored() {
    let mut bench = Bench::new(guests::benign(), workshop());
    bench.fixture.job.gate.sigma = 1;
    bench.fixture.job.centring.as_mut().unwrap().sigma = 1;
    // X^T y points up the hill, and the server goes down: labels are turned round.
    let units = some_units().into_iter().map(|mut unit| {
        unit.targets.iter_mut().for_each(|y| *y = -*y);
        unit
    });
    let outputs = bench.run(units.collect(), 7);
    let last = outputs.last().unwrap();
    let model = last.doubles("final_model").unwrap();
    assert!(model[0] > 0.5, "{model:?}");
    let accuracy = last.doubles("accuracy").unwrap()[0];
    assert!((0.0..=1.0).contains(&accuracy));
    assert!(last.doubles("loss").unwrap()[0].is_finite());
    let centre = outputs[0].doubles("centre").unwrap();
    // The means of the six units' means: 0.00833.. and 0.13333..
    assert!((centre[0] - 0.05 / 6.0).abs() < 0.01, "{centre:?}");
    assert!((centre[1] - 0.8 / 6.0).abs() < 0.01, "{centre:?}");
}

#[test]
fn workers_that_never_start_give_zero_updates_and_all_releases() {
    let broken = Workshop::new(2, u64::MAX, || std::process::Command::new("/nonexistent"));
    let outputs = Bench::new(guests::benign(), broken).run(some_units(), 7);
    let silent = Bench::new(guests::trapping(), workshop()).run(some_units(), 7);
    assert_eq!(outputs.len(), 4);
    for (ours, theirs) in outputs.iter().zip(&silent) {
        // Trapping for everybody is the same as no worker at all.
        assert_eq!(ours.tensors[0], theirs.tensors[0]);
    }
    // The score needs a worker; without one it says so, in the same form.
    assert!(outputs[1].doubles("accuracy").unwrap()[0].is_nan());
    assert!(silent[1].doubles("accuracy").unwrap()[0].is_finite());
}

#[test]
fn one_looping_unit_changes_nothing_for_the_others() {
    // Two jobs with the same noise. In one, a unit makes the code loop for ever; in the
    // other, that unit's update is zero, which is what looping has to come to.
    let third = |label| {
        let mut units = some_units();
        units[2] = unit(&[([0.5, 0.3], label)]);
        units
    };
    let hostile = Bench::new(guests::looping_for_some(), workshop()).run(third(0.5), 7);
    let benign = Bench::new(guests::benign(), workshop()).run(third(0.0), 7);
    assert_eq!(hostile, benign);
    let trained = Bench::new(guests::benign(), workshop()).run(third(0.5), 7);
    assert_ne!(hostile, trained);
}

#[test]
fn an_outlet_may_end_the_job() {
    use std::ops::ControlFlow;
    struct Once(u32);
    impl cloister_enclave::rounds::Outlet for Once {
        fn release(&mut self, _: Output) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Break(())
        }
    }
    let bench = Bench::new(guests::benign(), workshop());
    let header = &bench.fixture.owned[0].proof.header;
    let plan = Plan::new(&bench.fixture.job, Shape::of(header), vec![0.0; 2], None).unwrap();
    let mut pools = Pools::new(&bench.workshop, &bench.compiled, &bench.settings);
    let mut outlet = Once(0);
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let units = Units::from_rows(some_units());
    assert!(run(&plan, units, &mut pools, &mut rng, &mut outlet).is_break());
    assert_eq!(outlet.0, 1);
}
