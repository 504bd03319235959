//! Metrics of units: exact, each unit's its own, and whatever workers do.

use std::time::Duration;

use cloister_privacy::{Gate, Metrics, Piece};
use cloister_sandbox::{Outcome, Pool, Score, UnitRows, compile};

use crate::guests::{FEATURES, TRIGGER, blind, component, honest, module, scored, triggered};
use crate::hostile::HOSTILE;
use crate::logistic;
use crate::support::{FATAL_UNIT, command, meanwhile, pool, settings, units};

/// Of the rounds: the updates of some of the units are longer.
const CLIP: f64 = 30.0;

/// Predicts the first feature, and looks at it.
const FIRST_FEATURE: &str = "(call $set (local.get $out) (i32.const 0) (i32.const 0)
    (call $get (local.get $features) (i32.const 0) (i32.const 0)))";

fn asked() -> Metrics {
    Metrics::new(100.0, 1 << 20).unwrap()
}

fn sum(pool: &mut Pool, units: &[UnitRows]) -> Vec<i64> {
    pool.load(units.to_vec()).unwrap();
    sum_again(pool)
}

fn sum_again(pool: &mut Pool) -> Vec<i64> {
    let model = pool.init_model().to_vec();
    let gate = Gate::new(CLIP, 1 << 20, model.len()).unwrap();
    pool.metrics(4, &model, &gate, &asked()).unwrap().values().to_vec()
}

/// The norm of a unit's update, if it has one, and the score of its rows.
type Found = (Option<f64>, Option<Score>);

/// What [`sum`] has to be for these.
fn expected(found: impl IntoIterator<Item = Found>) -> Vec<i64> {
    let metrics = asked();
    let mut sum = metrics.gate().sum();
    for (norm, score) in found {
        let score = score.map(|score| [score.accuracy, score.loss]);
        let numbers = metrics.contribution(CLIP, norm, score);
        sum.add(&metrics.gate().quantise(&numbers)).unwrap();
    }
    sum.values().to_vec()
}

/// Of [`honest`], if it predicts the first feature.
fn honestly(unit: &UnitRows) -> Found {
    let norm = unit.features.iter().map(|x| f64::from(3.0 * x).powi(2)).sum::<f64>().sqrt();
    (Some(norm), Some(Score::of(&unit.features[..1], &unit.targets, 1)))
}

pub fn each_number_is_exact() {
    let mut all = units(50);
    let mut found: Vec<_> = all.iter().map(honestly).collect();
    let right = found.iter().filter(|(_, score)| score.unwrap().accuracy == 1.0).count();
    let clipped = found.iter().filter(|(norm, _)| norm.unwrap() > CLIP).count();
    assert_eq!((right, clipped), (26, 40), "some of each");
    // Rows that do not fit are a failure; none at all say nothing.
    all[7].targets.clear();
    found[7] = (None, None);
    all.push(UnitRows::default());
    for workers in [1, 3] {
        let mut pool = pool(&scored(&honest(), FIRST_FEATURE), workers);
        let total = sum(&mut pool, &all);
        assert_eq!(total, expected(found.iter().copied()));
        // Whatever was asked for before, and in whichever order units come.
        let model = pool.init_model().to_vec();
        pool.round(3, &model, &Gate::new(1.0, 1024, model.len()).unwrap()).unwrap();
        assert_eq!(sum_again(&mut pool), total);
        let mut turned = all.clone();
        turned.reverse();
        assert_eq!(sum(&mut pool, &turned), total);
    }
}

/// However code fails for a unit, it counts as one failure, and the others are as they were.
pub fn each_failure_counts_as_one() {
    let mut all = units(9);
    all[4].features[0] = TRIGGER;
    let mut found: Vec<_> = all.iter().map(honestly).collect();
    found[4].0 = None;
    for (name, _, hostile) in HOSTILE {
        let mut pool = pool(&scored(&triggered(hostile), FIRST_FEATURE), 1);
        assert_eq!(sum(&mut pool, &all), expected(found.iter().copied()), "a guest that {name}");
    }
}

/// A score that fails is the worst, for that unit alone; a loss without end is the largest.
pub fn a_score_that_fails_is_the_worst() {
    let mut all = units(9);
    all[4].features[0] = TRIGGER;
    let hostile = |what: &str| {
        format!(
            "{FIRST_FEATURE}
             (if (f32.eq (call $get (local.get $features) (i32.const 0) (i32.const 0))
                         (f32.const {TRIGGER}))
               (then {what}))"
        )
    };
    for what in [
        "unreachable",
        "(loop $l (br $l))",
        "(local.set $out (call $new (i32.const 2) (i32.const 1)))",
        "(call $set (local.get $out) (i32.const 0) (i32.const 0) (f32.const nan))",
        "(call $set (local.get $out) (i32.const 0) (i32.const 0) (f32.const inf))",
    ] {
        let mut found: Vec<_> = all.iter().map(honestly).collect();
        found[4].1 = None;
        let mut pool = pool(&scored(&honest(), &hostile(what)), 1);
        assert_eq!(sum(&mut pool, &all), expected(found), "{what}");
    }
    let mut found: Vec<_> = all.iter().map(honestly).collect();
    found[4].1 = Some(Score { accuracy: 1.0, loss: f64::INFINITY });
    let huge = "(call $set (local.get $out) (i32.const 0) (i32.const 0) (f32.const -3e38))";
    let mut pool = pool(&scored(&honest(), &hostile(huge)), 1);
    assert_eq!(sum(&mut pool, &all), expected(found));
}

/// The attack: state that says that another unit, or this unit's other call, was there before.
pub fn nothing_is_kept_between_units_and_calls() {
    let kept = "(if (global.get $seen) (then unreachable)) (global.set $seen (i32.const 1))";
    let module = module("(global $seen (mut i32) (i32.const 0))", kept);
    let mut pool = pool(&scored(&module, &format!("{kept} {FIRST_FEATURE}")), 1);
    let all = units(20);
    assert_eq!(sum(&mut pool, &all), expected(all.iter().map(honestly)));
}

/// Code that never looks is not called for each unit; what it does is the same.
pub fn recorded_code_has_the_same_metrics() {
    let look = "(drop (call $get (local.get $features) (i32.const 0) (i32.const 0)))";
    let all = units(30);
    let constant =
        |unit: &UnitRows| (Some(6.0 * 2_f64.sqrt()), Some(Score::of(&[0.0], &unit.targets, 1)));
    for (update, score) in [("", ""), (look, ""), ("", look), (look, look)] {
        let mut pool = pool(&scored(&blind(update), score), 2);
        assert_eq!(sum(&mut pool, &all), expected(all.iter().map(constant)), "{update} {score}");
    }
}

pub fn a_trainer_has_the_metrics_of_plain_arithmetic() {
    let Some(mut pool) = logistic::pool(5, 0.0, 2) else { return };
    let model: Vec<f32> = (0..6_u8).map(|i| f32::from(i) / 2.0 - 1.0).collect();
    let mut all = logistic::clouds(40, 5, 1);
    all.extend(logistic::clouds(40, 5, 7));
    pool.load(all.clone()).unwrap();
    let gate = Gate::new(0.4, 1 << 12, model.len()).unwrap();
    let found = pool.metrics(4, &model, &gate, &asked()).unwrap().values().to_vec();
    let mut clipped = 0;
    let mut expected = asked().gate().sum();
    for (place, unit) in (0..).zip(&all) {
        let examined = pool.examine(4, &model, place).unwrap();
        assert_eq!(examined.outcome, Outcome::Update);
        let norm = gate.norm(&[Piece::Values(&examined.update)]).unwrap();
        clipped += u32::from(norm > 0.4);
        let score = Score::of(&pool.score(&model, &unit.features).unwrap(), &unit.targets, 1);
        let score = Some([score.accuracy, score.loss]);
        let numbers = asked().contribution(0.4, Some(norm), score);
        expected.add(&asked().gate().quantise(&numbers)).unwrap();
    }
    assert!((10..70).contains(&clipped), "some are: {clipped}");
    assert_eq!(found, expected.values());
}

/// A unit that ends whatever worker runs it has failed; those sent with it are whole.
pub fn a_unit_that_kills_workers_has_failed_alone() {
    let all = units(700);
    let mut found: Vec<_> = all.iter().map(honestly).collect();
    found[FATAL_UNIT as usize] = (None, None);
    let compiled = compile(&component(&scored(&honest(), FIRST_FEATURE))).unwrap();
    for workers in [1, 2] {
        let settings = settings(FEATURES);
        let mut pool = Pool::start(command("fragile"), workers, &compiled, settings).unwrap();
        assert_eq!(sum(&mut pool, &all), expected(found.iter().copied()));
    }
}

pub fn a_killed_worker_costs_no_metrics() {
    let slow = "(local.set $i (i32.const 0))
        (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))";
    let all = units(1000);
    let mut pool = pool(&scored(&module("", slow), FIRST_FEATURE), 2);
    pool.load(all.clone()).unwrap();
    let victim = pool.worker_ids()[0];
    meanwhile(Duration::from_millis(60), move || {
        crate::death::signal(victim, rustix::process::Signal::KILL);
    });
    assert_eq!(sum_again(&mut pool), expected(all.iter().map(honestly)));
    assert!(!pool.worker_ids().contains(&victim));
}

/// A worker that was taken over could say that each of its units failed, and no more than that:
/// a larger sum is nobody's, and its units have failed indeed.
pub fn a_worker_cannot_say_more_of_metrics_than_its_units_could() {
    let compiled = compile(&component(&honest())).unwrap();
    let mut pool = Pool::start(command("boaster"), 1, &compiled, settings(FEATURES)).unwrap();
    assert_eq!(sum(&mut pool, &units(3)), expected([(None, None); 3]));
}
