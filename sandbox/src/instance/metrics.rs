//! How well a model does on units' own rows, and whether the code has updates for them.
//!
//! A unit is given to code as in a round: in an instance of its own for each of the two calls,
//! or by what was recorded of them. Its numbers follow from it alone.

use std::collections::BTreeMap;

use cloister_privacy::{Gate, Metrics, PartialSum, Piece};

use super::{Model, Runner, finite};
use crate::score::Score;
use crate::shared::MappedUnit;
use crate::tensors::{Tensor, TensorError};

impl Runner {
    /// Adds units' metrics to a sum: of the update in `round`, beside the clip of `gate`, and
    /// of the model's predictions. A unit that does not fit has failed; one without rows says
    /// nothing, and adds zero.
    pub(crate) fn add_metrics(
        &mut self,
        metrics: &Metrics,
        gate: &Gate,
        model: &Model,
        round: u32,
        units: impl Iterator<Item = Option<MappedUnit>>,
        sum: &mut PartialSum,
    ) -> Result<(), cloister_privacy::Error> {
        let mut add = |norm: Option<f64>, score: Option<Score>| {
            let score = score.map(|Score { accuracy, loss }| [accuracy, loss]);
            sum.add(&[Piece::Values(&metrics.contribution(gate.clip(), norm, score))])
        };
        let mut alike = BTreeMap::<u32, Vec<MappedUnit>>::new();
        let mut without_rows = 0;
        for unit in units {
            match unit {
                None => add(None, None)?,
                Some(unit) if unit.rows == 0 => without_rows += 1,
                Some(unit) => alike.entry(unit.rows).or_default().push(unit),
            }
        }
        for (rows, units) in alike {
            let norms = self.norms(gate, model, round, rows, &units);
            let scores = self.scores(model, rows, &units);
            for (norm, score) in norms.into_iter().zip(scores) {
                add(norm, score)?;
            }
        }
        for _ in 0..without_rows {
            sum.add_zero()?;
        }
        Ok(())
    }

    /// The norms of the updates of units of one number of rows; nothing for those without.
    fn norms(
        &mut self,
        gate: &Gate,
        model: &Model,
        round: u32,
        rows: u32,
        units: &[MappedUnit],
    ) -> Vec<Option<f64>> {
        let norm = |update: &Tensor| gate.norm(&update.pieces());
        if let Some(plan) = self.plan(model, rows) {
            return in_batches(units, plan.most_at_once(), |units| {
                self.by_plan(&plan, model, round, units).iter().map(norm).collect()
            });
        }
        let alone = |unit| {
            let update = self.run_update(model, round, unit, &mut None).ok()?;
            (update.shape() == (model.rows, model.columns)).then(|| norm(&update))?
        };
        units.iter().map(alone).collect()
    }

    /// How well the model does on the rows of each; nothing where the code does not say.
    fn scores(&mut self, model: &Model, rows: u32, units: &[MappedUnit]) -> Vec<Option<Score>> {
        let targets = self.columns[1];
        let score = |predictions: Tensor, unit: &MappedUnit| {
            if predictions.shape() != (rows, targets) {
                return None;
            }
            let predictions = predictions.into_values();
            let score = || Score::of(&predictions, unit.targets.get(), targets as usize);
            finite(&predictions).then(score)
        };
        if let Some(plan) = self.score_plan(model, rows) {
            return in_batches(units, plan.most_at_once(), |units| {
                let given: Result<Vec<_>, TensorError> =
                    units.iter().map(|unit| self.score_arguments(model, unit)).collect();
                let found = given.and_then(|given| plan.apply(given)).unwrap_or_default();
                found.into_iter().zip(units).map(|(found, unit)| score(found, unit)).collect()
            });
        }
        let fuel = self.limits.fuel_per_unit;
        let alone = |unit: &MappedUnit| {
            let found = self.run_score(model, unit.rows, unit.features.clone(), fuel);
            score(found.ok()?, unit)
        };
        units.iter().map(alone).collect()
    }
}

/// What is found of each of `units`, so many at once; nothing for those of a batch of which
/// nothing is found.
fn in_batches<T>(
    units: &[MappedUnit],
    most: usize,
    mut find: impl FnMut(&[MappedUnit]) -> Vec<Option<T>>,
) -> Vec<Option<T>> {
    let mut found = Vec::with_capacity(units.len());
    for batch in units.chunks(most.max(1)) {
        let end = found.len() + batch.len();
        found.extend(find(batch));
        found.resize_with(end, || None);
    }
    found
}
