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

/// What the metrics of a job are without noise.
fn metrics(outputs: &[Output]) -> [f64; 4] {
    let last = outputs.last().unwrap();
    assert_eq!((last.stage, last.number as usize), (Stage::Metrics, outputs.len() - 1));
    assert_eq!(last.tensors.len(), 2);
    last.doubles("metrics").unwrap().try_into().unwrap()
}

fn close(found: [f64; 4], expected: [f64; 4]) {
    // Sigma is one step of 1024, and so much at most is cut off of each unit's numbers.
    let close = found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 4e-3);
    assert!(close, "{found:?} is not {expected:?}");
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
fn metrics_are_of_the_final_model_on_every_units_own_rows() {
    let mut bench = Bench::new(guests::benign(), workshop());
    bench.fixture.measure(1);
    bench.fixture.job.gate.clip = 3.0;
    let outputs = bench.run(some_units(), 7);
    let centre = outputs[0].doubles("centre").unwrap();
    let model: Vec<_> =
        outputs[3].doubles("final_model").unwrap().iter().map(|w| *w as f32).collect();
    let mut expected = [0.0; 4];
    for unit in some_units() {
        let (mut update, mut right, mut squares) = ([0.0; 2], 0.0, 0.0);
        for (row, label) in unit.features.chunks(2).zip(&unit.targets) {
            let z = |k: usize| (10.0 * (f64::from(row[k]) - centre[k])).clamp(-3.0, 3.0) as f32;
            let z = [z(0), z(1)];
            let predicted = z[0] * model[0] + z[1] * model[1];
            update = [update[0] + label * z[0], update[1] + label * z[1]];
            right += f64::from(u8::from((predicted >= 0.5) == (*label >= 0.5)));
            squares += f64::from(predicted - label).powi(2);
        }
        let rows = f64::from(unit.rows);
        expected[1] += f64::from(u8::from(update[0].hypot(update[1]) > 3.0)) / 6.0;
        expected[2] += right / rows / 6.0;
        expected[3] += (squares / rows).min(2.0) / 6.0;
    }
    let some = |x: f64| 0.1 < x && x < 0.9;
    assert!(some(expected[1]) && some(expected[2]), "{expected:?}");
    close(metrics(&outputs), expected);
    // What is asked for costs what its gate costs, and changes no other release.
    let cost = outputs.iter().map(|output| output.cost).sum::<u64>();
    assert_eq!(cost, bench.fixture.job.charges().total().unwrap().as_pico());
    bench.fixture.job.metrics = None;
    assert_eq!(bench.run(some_units(), 7), outputs[..4]);
}

#[test]
fn failures_are_counted_and_nothing_else_of_the_release_changes() {
    let bench = |guest: Vec<u8>, workshop| {
        let mut bench = Bench::new(guest, workshop);
        bench.fixture.measure(1);
        bench
    };
    let third = |label| {
        let mut units = some_units();
        units[2] = unit(&[([0.5, 0.3], label)]);
        units
    };
    let looping = bench(guests::looping_for_some(), workshop()).run(third(0.5), 7);
    close([metrics(&looping)[0], 0.0, 0.0, 0.0], [1.0 / 6.0, 0.0, 0.0, 0.0]);
    let benign = bench(guests::benign(), workshop()).run(third(0.0), 7);
    close([metrics(&benign)[0], 0.0, 0.0, 0.0], [0.0; 4]);
    let form = |outputs: &[Output]| -> Vec<_> {
        let of = |o: &Output| {
            let lengths = |t: &cloister_enclave::release::Tensor| {
                let length = t.whole().map(<[_]>::len).or(t.doubles().map(<[_]>::len));
                (t.name().to_owned(), length)
            };
            (
                o.number,
                o.stage,
                o.cost,
                o.divisor,
                o.tensors.iter().map(lengths).collect::<Vec<_>>(),
            )
        };
        outputs.iter().map(of).collect()
    };
    assert_eq!(form(&looping), form(&benign));
    let trapping = bench(guests::trapping(), workshop()).run(some_units(), 7);
    assert!((metrics(&trapping)[0] - 1.0).abs() < 4e-3);
    // Without a worker, everybody has failed, and nothing is known of the model.
    let broken = Workshop::new(2, u64::MAX, || std::process::Command::new("/nonexistent"));
    let silent = bench(guests::benign(), broken).run(some_units(), 7);
    close(metrics(&silent), [1.0, 0.0, 0.0, 2.0]);
    assert_eq!(form(&silent), form(&benign));
}

#[test]
fn metrics_of_groups_are_over_groups_and_cost_two_clips() {
    let mut bench = Bench::new(guests::benign(), workshop());
    bench.fixture.measure(1 << 20);
    let by_unit = bench.run(some_units(), 7).pop().unwrap();
    bench.fixture.job.gate.mode = GateMode::Groups(3);
    let by_group = bench.run(some_units(), 7).pop().unwrap();
    assert_eq!((by_unit.divisor, by_group.divisor), (6, 3));
    assert_eq!(by_group.gate.mode, GateMode::Groups(3));
    // Both are rounded up.
    assert!((0..4).contains(&(4 * by_unit.cost - by_group.cost)));
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
