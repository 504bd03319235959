//! One unit at a time in this process, without a worker: for fuzzing, which needs thousands a
//! second, for authors who try their code, and for nothing that sees rows of others.

use cloister_privacy::{Gate, IntegerSum};

use crate::engine::engine;
use crate::examine::{Examined, Way};
use crate::instance::{Model, Runner};
use crate::offer::{Compiled, OfferError};
use crate::pool::Settings;
use crate::shared::MappedUnit;
use crate::tensors::Shared;
use crate::worker;

/// A component that runs here.
pub struct Trial {
    runner: Runner,
    columns: [u32; 2],
    model: Model,
}

impl Trial {
    /// Links a component and asks it for its first model.
    ///
    /// # Errors
    ///
    /// [`OfferError::Runtime`], and [`OfferError::DescribeFailed`] if there is no model.
    pub fn new(compiled: &Compiled, settings: Settings) -> Result<Self, OfferError> {
        let mut trial = Self::with_model(compiled, settings, [0, 0])?;
        let no_model = || OfferError::DescribeFailed { reason: "`init` makes no model".into() };
        trial.model = trial.runner.init().ok_or_else(no_model)?;
        Ok(trial)
    }

    /// Links a component, with a model of so many rows and columns of zeros.
    ///
    /// # Errors
    ///
    /// [`OfferError::Runtime`].
    pub fn with_model(
        compiled: &Compiled,
        settings: Settings,
        [rows, model_columns]: [u32; 2],
    ) -> Result<Self, OfferError> {
        let runtime = |error: wasmtime::Error| OfferError::Runtime { reason: format!("{error:#}") };
        let Settings { limits, params, seed, features, targets } = settings;
        let engine = engine(&limits).map_err(runtime)?;
        let component = worker::load(&engine, compiled.bytes()).map_err(runtime)?;
        let columns = [features, targets];
        let runner = Runner::new(&component, limits, seed, params, columns, 0).map_err(runtime)?;
        let values = vec![0.0; rows as usize * model_columns as usize].into();
        let model = Model { rows, columns: model_columns, values };
        Ok(Self { runner, columns, model })
    }

    /// Other parameters, as if a job began.
    pub fn set_params(&mut self, params: Vec<(String, f64)>) {
        self.runner.set_params(params);
    }

    /// Takes so much off each number of the model, as a round does.
    pub fn step(&mut self, by: &[f32]) {
        let values = self.model.values.iter().zip(by).map(|(value, by)| value - by);
        self.model.values = values.collect();
    }

    /// How the updates of units of so many rows are computed, and why. The code is called once,
    /// with rows of zeros.
    #[must_use]
    pub fn way(&self, rows: u32) -> Way {
        self.runner.way(&self.model, rows)
    }

    /// What one unit's update is.
    #[must_use]
    pub fn examine(&self, features: &[f32], targets: &[f32]) -> Examined {
        self.runner.examine(&self.model, 0, self.unit(features, targets))
    }

    /// The updates of units of one number of rows, features and targets of each, by what was
    /// recorded of the code, if what it does depends on shapes alone: the bits that
    /// [`examine`](Self::examine) finds where they are finite.
    pub fn planned(&mut self, units: &[(&[f32], &[f32])]) -> Option<Vec<Vec<f32>>> {
        let units: Option<Vec<_>> = units.iter().map(|(x, y)| self.unit(x, y)).collect();
        self.runner.planned(&self.model, 0, &units?)
    }

    /// The update as a worker would add it up.
    #[must_use]
    pub fn gated(&mut self, features: &[f32], targets: &[f32], gate: &Gate) -> Option<IntegerSum> {
        let (mut partial, mut bytes, mut sum) = (gate.partial(), Vec::new(), gate.sum());
        let unit = self.unit(features, targets);
        self.runner.add_up(&self.model, 0, [unit].into_iter(), &mut partial).ok()?;
        partial.drain_into(&mut bytes);
        sum.merge_partial(1, &bytes).ok()?;
        Some(sum)
    }

    /// Numbers in the model.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.model.values.len()
    }

    fn unit(&self, features: &[f32], targets: &[f32]) -> Option<MappedUnit> {
        let rows = features.len() / self.columns[0].max(1) as usize;
        let fits = |numbers: &[f32], columns: u32| numbers.len() == rows * columns as usize;
        if !fits(features, self.columns[0]) || !fits(targets, self.columns[1]) {
            return None;
        }
        let (features, targets) = (Shared::new(features.into()), Shared::new(targets.into()));
        Some(MappedUnit { rows: u32::try_from(rows).ok()?, stream: 0, features, targets })
    }
}
