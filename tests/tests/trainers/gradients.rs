//! One unit's update is the gradient of the loss that the trainer says it has.
//!
//! The loss is computed here, in doubles, and its gradient from differences.

use anyhow::{Context, Result, ensure};
use cloister_enclave::rows::Shape;
use cloister_sandbox::UnitRows;

use crate::{component, histograms, job::Example, table::Table};

/// A loss of a model and one row's features and targets.
type Loss<'a> = &'a dyn Fn(&[f64], &[f64], &[f64]) -> f64;

/// As many units, all alike, as it takes for the least noise to vanish in their mean.
const COPIES: usize = 1000;

/// Trains on a unit without clipping, and compares.
fn check(trainer: &str, parameters: &[(&str, f64)], unit: UnitRows, loss: Loss) -> Result<()> {
    let Some(component) = component(trainer)? else { return Ok(()) };
    let rows = unit.rows as usize;
    let table = Table::read("digits/images.csv", "digits/dataset.toml")?;
    let range = table.shape.features[0];
    let (features, targets) = (unit.features.len() / rows, unit.targets.len() / rows);
    let shape = Shape { features: vec![range; features], targets: vec![range; targets] };

    let mut example = Example::of(trainer)?;
    for (name, value) in parameters {
        example.parameters.insert((*name).to_owned(), *value);
    }
    (example.rounds, example.clip, example.steps, example.sigma) = (1, 16.0, 1 << 22, Some(1000));
    (example.server.average_last, example.server.scale, example.server.clamp) = (1, 1.0, 1e9);
    example.limits.fuel = 100_000_000;
    let units = || vec![unit.clone(); COPIES];
    let began = example.run(&component, &shape, units(), None, None)?;
    let length = began.model.len();

    // Another place than where the code begins: there much is zero.
    let model: Vec<f32> = numbers(7, length).map(|number| 0.8 * number).collect();
    let trained = example.run(&component, &shape, units(), Some(model.clone()), None)?;
    let sum = trained.outputs[0].tensors[0].whole().context("no sum")?;
    let step = example.clip / example.steps as f64 / COPIES as f64;
    let update = sum.iter().map(|steps| *steps as f64 * step);

    let doubles = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let (all_features, all_targets) = (doubles(&unit.features), doubles(&unit.targets));
    let mean_loss = |model: &[f64]| {
        let each = all_features.chunks(features).zip(all_targets.chunks(targets));
        each.map(|(features, targets)| loss(model, features, targets)).sum::<f64>() / rows as f64
    };
    let mut model = doubles(&model);
    for (place, found) in update.enumerate() {
        let (at, apart) = (model[place], 1e-5);
        model[place] = at + apart;
        let above = mean_loss(&model);
        model[place] = at - apart;
        let below = mean_loss(&model);
        model[place] = at;
        let expected = (above - below) / (2.0 * apart);
        ensure!((found - expected).abs() < 5e-5, "{trainer} {place}: {found} is not {expected}");
    }
    Ok(())
}

/// Numbers from -1 to 1 in a fixed pattern.
fn numbers(seed: u32, count: usize) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(count)
}

/// Three rows of four features and these targets.
fn rows(targets: &[[f32; 3]]) -> UnitRows {
    let rows = u32::try_from(targets.len()).expect("few");
    UnitRows {
        features: numbers(1, 4 * targets.len()).collect(),
        targets: targets.concat(),
        rows,
        stream: 0,
    }
}

const CLASSES: [[f32; 3]; 3] = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];

/// `inputs * weights`, of a row and a matrix with so many columns.
fn product(inputs: &[f64], weights: &[f64], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for (input, row) in inputs.iter().zip(weights.chunks(columns)) {
        for (sum, weight) in sums.iter_mut().zip(row) {
            *sum += input * weight;
        }
    }
    sums
}

fn with_constant(features: &[f64]) -> Vec<f64> {
    [features, &[1.0]].concat()
}

fn cross_entropy(sums: &[f64], targets: &[f64]) -> f64 {
    let total = sums.iter().map(|sum| sum.exp()).sum::<f64>().ln();
    sums.iter().zip(targets).map(|(sum, target)| target * (total - sum)).sum()
}

/// A tenth of half the sum of squares: `l2` is 0.1 in these tests.
fn decay(model: &[f64]) -> f64 {
    0.05 * model.iter().map(|weight| weight * weight).sum::<f64>()
}

#[test]
fn linear_goes_down_half_the_squared_error() -> Result<()> {
    let unit = rows(&[[1.0, 2.0, -1.0], [0.5, 3.0, 0.0], [2.0, 2.5, 1.0]]);
    let parameters = [("l2", 0.1), ("middle", 1.5), ("spread", 2.0)];
    check("linear", &parameters, unit, &|model, features, targets| {
        let sums = product(&with_constant(features), model, 3);
        let error = sums.iter().zip(targets).map(|(sum, target)| sum - (target - 1.5) / 2.0);
        0.5 * error.map(|error| error * error).sum::<f64>() + decay(model)
    })
}

#[test]
fn softmax_goes_down_cross_entropy() -> Result<()> {
    check("softmax", &[("l2", 0.1)], rows(&CLASSES), &|model, features, targets| {
        cross_entropy(&product(&with_constant(features), model, 3), targets) + decay(model)
    })
}

#[test]
fn perceptron_goes_down_cross_entropy() -> Result<()> {
    check("perceptron", &[("hidden", 5.0)], rows(&CLASSES), &|model, features, targets| {
        let (first, second) = model.split_at(5 * 5);
        let mut hidden = product(&with_constant(features), first, 5);
        for sum in &mut hidden {
            *sum = sum.max(0.0);
        }
        cross_entropy(&product(&with_constant(&hidden), second, 3), targets)
    })
}

#[test]
fn gradient_histogram_goes_down_cross_entropy() -> Result<()> {
    let digits = Table::read("digits/images.csv", "digits/dataset.toml")?;
    let unit = crate::table::together(&digits.units[10..12]);
    let parameters = [("l2", 0.1), ("side", 8.0), ("cells", 3.0), ("orientations", 6.0)];
    check("gradient-histogram", &parameters, unit, &|model, features, targets| {
        let inputs = with_constant(&histograms::describe(features, 8, 3, 6));
        cross_entropy(&product(&inputs, model, 10), targets) + decay(model)
    })
}

#[test]
fn cox_goes_down_a_poisson_likelihood() -> Result<()> {
    let unit = UnitRows {
        features: numbers(1, 16).collect(),
        targets: vec![2.5, 1.0, 3.0, 0.0, 9.0, 1.0, 2.0, 1.0],
        rows: 4,
        stream: 0,
    };
    let parameters = [("horizon", 6.0), ("intervals", 3.0)];
    check("cox", &parameters, unit, &|model, features, targets| {
        let (coefficients, log_hazards) = model.split_at(4);
        let risk = product(features, coefficients, 1)[0];
        let (time, event) = (targets[0], targets[1] > 0.5);
        let mut loss = 0.0;
        for (interval, log_hazard) in log_hazards.iter().enumerate() {
            let begin = 2.0 * interval as f64;
            let observed = ((time - begin) / 2.0).clamp(0.0, 1.0);
            loss += observed * (log_hazard + risk).exp();
            if event && begin < time && time <= begin + 2.0 {
                loss -= log_hazard + risk;
            }
        }
        loss
    })
}
