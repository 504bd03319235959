//! What one round of counting comes to, beside what is so.

use anyhow::{Result, ensure};
use cloister_sandbox::UnitRows;

use crate::{
    component,
    job::{Example, Trained},
    table::Table,
};

/// All patients of the trial, counted with the page's job.
fn counted(trainer: &str) -> Result<Option<(Table, Example, Trained)>> {
    let Some(component) = component(trainer)? else { return Ok(None) };
    let table = Table::read("actg175/patients.csv", "actg175/dataset.toml")?;
    let example = Example::of(trainer)?;
    let trained = example.run(&component, &table.shape, table.units.clone(), None, None)?;
    Ok(Some((table, example, trained)))
}

/// The standard deviation of the noise in each number is 0.0107, by epsilon and clip.
#[test]
fn analytics_finds_means_and_quantiles() -> Result<()> {
    let Some((table, example, trained)) = counted("analytics")? else { return Ok(()) };
    let (columns, bins) = (table.shape.features.len() + 2, 16);
    ensure!(trained.model.len() == columns * (bins + 1));
    // The clip is the longest that an update can be: nothing was clipped.
    ensure!((example.clip - (2.0 * columns as f64).sqrt()).abs() < 1e-3, "{}", example.clip);

    let value = |unit: &UnitRows, column: usize| match unit.features.get(column) {
        Some(feature) => *feature,
        None => unit.targets[column - table.shape.features.len()],
    };
    let units = table.units.len() as f64;
    for column in 0..columns {
        let values = table.units.iter().map(|unit| value(unit, column).clamp(-1.0, 1.0));
        let mut exact = vec![0.0; bins + 1];
        for value in values {
            exact[0] += f64::from(value) / units;
            let bins_below = (1..16).filter(|edge| value >= *edge as f32 / 8.0 - 1.0).count();
            exact[1 + bins_below] += 1.0 / units;
        }
        for (row, exact) in exact.iter().enumerate() {
            let found = trained.model[row * columns + column];
            ensure!((found - exact).abs() < 0.055, "{row}, {column}: {found} is not {exact}");
        }
    }

    // Half of the patients are younger than 34 (numpy's `median` of the table).
    let shares = (1..=bins).map(|row| trained.model[row * columns]);
    let age = 35.0 + 52.0 * quantile(shares, 0.5);
    println!("analytics: half are younger than {age:.1}");
    ensure!((age - 34.0).abs() < 3.0, "{age}");
    Ok(())
}

/// Where the sum of the shares of bins from -1 to 1 passes a share of their total.
fn quantile(shares: impl Iterator<Item = f64> + Clone, share: f64) -> f64 {
    let width = 2.0 / shares.clone().count() as f64;
    let mut left = share * shares.clone().sum::<f64>();
    let mut edge = -1.0;
    for share in shares {
        if share >= left {
            return edge + width * left / share;
        }
        left -= share;
        edge += width;
    }
    edge
}

/// Survival to the end of each hundred days, by lifelines' `KaplanMeierFitter`. Counted by
/// hundred days, without noise, it is at most 0.007 higher. Simulated, the largest
/// difference that noise makes is 0.008 on average and 0.025 in one of twenty runs.
const SURVIVAL: [f64; 12] = [
    0.9963, 0.9826, 0.9608, 0.9269, 0.8946, 0.8664, 0.8392, 0.8110, 0.7717, 0.7420, 0.7269, 0.7269,
];

#[test]
fn a_survival_curve_follows_from_events_and_censorings() -> Result<()> {
    let Some((_, example, trained)) = counted("kaplan-meier")? else { return Ok(()) };
    ensure!(example.clip == 1.0 && trained.model.len() == 24);
    let (events, censored) = trained.model.split_at(12);
    let (mut risk, mut surviving) = (1.0, 1.0);
    for (interval, expected) in SURVIVAL.iter().enumerate() {
        surviving *= 1.0 - events[interval] / risk;
        risk -= events[interval] + censored[interval];
        println!("kaplan-meier: {surviving:.4}, by lifelines {expected}");
        ensure!((surviving - expected).abs() < 0.035, "interval {interval}: {surviving}");
    }
    Ok(())
}
