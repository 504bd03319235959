//! What the trainers do is recorded once for units of one shape, and has the same bits.

use anyhow::{Context, Result, ensure};
use cloister_sandbox::{Limits, Outcome, Parameter, Settings, Trial, compile, inspect};

use crate::component;

/// Trainer, features and targets of a row, and whether it never looks at a row: only then
/// are its calls recorded.
const TRAINERS: [(&str, [u32; 2], bool); 8] = [
    ("logistic", [9, 1], true),
    ("linear", [9, 2], true),
    ("softmax", [9, 4], true),
    ("perceptron", [9, 4], true),
    ("gradient-histogram", [64, 4], false),
    ("cox", [9, 2], false),
    ("analytics", [9, 1], false),
    ("kaplan-meier", [1, 2], false),
];

#[test]
fn recorded_calls_have_the_bits_of_instances() -> Result<()> {
    for (trainer, columns, blind) in TRAINERS {
        let Some(component) = component(trainer)? else { return Ok(()) };
        for rows in [0, 1, 3] {
            check(trainer, &component, columns, rows, blind || rows == 0)
                .with_context(|| format!("{trainer}, {rows} rows"))?;
        }
    }
    Ok(())
}

fn check(
    trainer: &str,
    component: &[u8],
    [features, targets]: [u32; 2],
    rows: u32,
    blind: bool,
) -> Result<()> {
    let described = inspect(component)?;
    ensure!(described.name == trainer, "it calls itself {}", described.name);
    // The pixels of 64 features.
    let value = |one: &Parameter| if one.name == "side" { 8.0 } else { one.default };
    let params = described.parameters.iter().map(|one| (one.name.clone(), value(one))).collect();
    let limits = Limits { fuel_per_unit: 100_000_000, ..Limits::default() };
    let settings = Settings { limits, params, seed: [5; 32], features, targets };
    let mut trial = Trial::new(&compile(component)?, settings)?;

    let units: Vec<_> =
        (0..5).map(|unit| (numbers(unit, rows * features), ones(unit, rows, targets))).collect();
    let parts: Vec<_> = units.iter().map(|(x, y)| (&x[..], &y[..])).collect();
    let Some(planned) = trial.planned(&parts) else {
        ensure!(!blind, "it was not recorded");
        return Ok(());
    };
    ensure!(blind && planned.len() == units.len(), "it was recorded");
    for ((features, targets), planned) in units.iter().zip(&planned) {
        let alone = trial.examine(features, targets);
        ensure!(alone.outcome == Outcome::Update, "{:?}", alone.outcome);
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        ensure!(bits(planned) == bits(&alone.update), "{planned:?} is not {:?}", alone.update);
    }
    Ok(())
}

fn numbers(unit: u32, count: u32) -> Vec<f32> {
    (0..count).map(|i| ((unit * 31 + i * 7) as f32 * 0.37).sin()).collect()
}

/// One target of each row is 1.
fn ones(unit: u32, rows: u32, targets: u32) -> Vec<f32> {
    (0..rows * targets).map(|i| f32::from(i % targets == (unit + i / targets) % targets)).collect()
}
