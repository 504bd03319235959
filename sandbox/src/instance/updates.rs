//! The updates of many units: each in an instance of its own, or by what one instance asked
//! for when it was given zeros.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloister_privacy::PartialSum;

use super::{Model, Runner, State};
#[cfg(feature = "examine")]
use crate::examine::Way;
use crate::fuel;
use crate::limits::MAX_PLAN_BYTES;
use crate::random::{Stream, StreamId};
use crate::shared::MappedUnit;
use crate::tensors::{Plan, Recording, Shared, Tensor, TensorError, Tensors};

/// What is recorded of the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Update,
    Score,
}

/// By rows of a unit and shape of the model: what the code does with such units, or nothing
/// if that depends on more.
pub(super) struct Plans {
    known: BTreeMap<(Call, [u32; 3]), Option<Arc<Plan>>>,
    bytes: usize,
    /// How often each call may yet be made to find out.
    left: [u32; 2],
}

impl Plans {
    /// None yet. The time that it takes to find them out is part of that of a round.
    pub(super) fn new(units: u32) -> Self {
        Self { known: BTreeMap::new(), bytes: 0, left: [fuel::recordings(units); 2] }
    }
}

impl Runner {
    /// Adds units' updates to a sum: what has the model's shape and is finite, as the gate
    /// takes it, or zero. One that is not there, or does not fit, is zero.
    pub(crate) fn add_up(
        &mut self,
        model: &Model,
        round: u32,
        units: impl Iterator<Item = Option<MappedUnit>>,
        sum: &mut PartialSum,
    ) -> Result<(), cloister_privacy::Error> {
        // Of one shape each, so that a plan can take several at once. The order in which
        // units are added does not matter: sums are exact.
        let mut waiting = BTreeMap::<u32, (Arc<Plan>, Vec<MappedUnit>)>::new();
        for unit in units {
            let Some(unit) = unit else {
                sum.add_zero()?;
                continue;
            };
            let Some(plan) = self.plan(model, unit.rows) else {
                self.add_by_instance(model, round, &unit, sum)?;
                continue;
            };
            let (plan, batch) = waiting.entry(unit.rows).or_insert_with(|| (plan, Vec::new()));
            batch.push(unit);
            if batch.len() >= plan.most_at_once() {
                self.add_by_plan(plan, model, round, batch, sum)?;
                batch.clear();
            }
        }
        for (plan, batch) in waiting.values() {
            self.add_by_plan(plan, model, round, batch, sum)?;
        }
        Ok(())
    }

    fn add_by_instance(
        &self,
        model: &Model,
        round: u32,
        unit: &MappedUnit,
        sum: &mut PartialSum,
    ) -> Result<(), cloister_privacy::Error> {
        match self.run_update(model, round, unit, &mut None) {
            Ok(update) if update.shape() == (model.rows, model.columns) => {
                sum.add(&update.pieces())
            }
            _ => sum.add_zero(),
        }
    }

    fn add_by_plan(
        &self,
        plan: &Plan,
        model: &Model,
        round: u32,
        units: &[MappedUnit],
        sum: &mut PartialSum,
    ) -> Result<(), cloister_privacy::Error> {
        let updates = self.by_plan(plan, model, round, units);
        for _ in updates.len()..units.len() {
            sum.add_zero()?;
        }
        sum.add_all(&updates.iter().map(Tensor::pieces).collect::<Vec<_>>())
    }

    /// What the code does with units of so many rows, if that depends on no more. It is found
    /// out when first asked for.
    pub(super) fn plan(&mut self, model: &Model, rows: u32) -> Option<Arc<Plan>> {
        self.plan_of(Call::Update, model, rows)
    }

    /// The same of its predictions for them.
    pub(super) fn score_plan(&mut self, model: &Model, rows: u32) -> Option<Arc<Plan>> {
        self.plan_of(Call::Score, model, rows)
    }

    fn plan_of(&mut self, what: Call, model: &Model, rows: u32) -> Option<Arc<Plan>> {
        let key = (what, [rows, model.rows, model.columns]);
        if let Some(plan) = self.plans.known.get(&key) {
            return plan.clone();
        }
        let left = &mut self.plans.left[what as usize];
        *left = left.checked_sub(1)?;
        let plan = self.record(what, model, rows).ok().map(Arc::new);
        self.plans.bytes += plan.as_ref().map_or(0, |plan| plan.bytes());
        self.plans.known.insert(key, plan.clone());
        plan
    }

    /// The updates of units by the plan for them; none if the code returns another shape than
    /// the model's, whatever the unit.
    pub(super) fn by_plan(
        &self,
        plan: &Plan,
        model: &Model,
        round: u32,
        units: &[MappedUnit],
    ) -> Vec<Tensor> {
        let unit = |unit: &MappedUnit| {
            let id = StreamId::Unit { round, stream: unit.stream };
            self.given(self.arguments(model, unit), id)
        };
        let units = units.iter().map(unit).collect::<Result<Vec<_>, TensorError>>();
        let mut updates = units.and_then(|units| plan.apply(units)).unwrap_or_default();
        updates.retain(|update| update.shape() == (model.rows, model.columns));
        updates
    }

    /// What a plan for `score` is applied to.
    pub(super) fn score_arguments(
        &self,
        model: &Model,
        unit: &MappedUnit,
    ) -> Result<(Tensors, Stream), TensorError> {
        let [model, features, _] = self.arguments(model, unit);
        self.given([model, features], StreamId::Score)
    }

    fn given(
        &self,
        arguments: impl IntoIterator<Item = Tensor>,
        id: StreamId,
    ) -> Result<(Tensors, Stream), TensorError> {
        let mut tensors = Tensors::new(self.limits.tensor_bytes);
        for tensor in arguments {
            tensors.insert(tensor)?;
        }
        Ok((tensors, Stream::new(self.seed, id)))
    }

    /// Runs the code on rows of zeros.
    fn record(&self, what: Call, model: &Model, rows: u32) -> wasmtime::Result<Plan> {
        let zeros = |columns: u32| {
            let count = (rows as usize).checked_mul(columns as usize).ok_or(TensorError::Limit)?;
            Ok::<_, TensorError>(Shared::new(vec![0.0; count].into()))
        };
        let (features, targets) = (zeros(self.columns[0])?, zeros(self.columns[1])?);
        let unit = MappedUnit { rows, stream: 0, features, targets };
        // Of what it asks for while it is made, nothing can be recorded.
        let none = Some(Recording::new(0));
        let (mut store, instance) =
            self.recorded_instance(StreamId::Setup, self.limits.fuel_per_unit, none)?;
        let most = MAX_PLAN_BYTES.saturating_sub(self.plans.bytes);
        store.data_mut().recording = Some(Recording::new(most));
        let result = match what {
            Call::Update => self.call_update(&mut store, &instance, model, &unit)?,
            Call::Score => {
                self.call_score(&mut store, &instance, model, rows, unit.features.clone())?
            }
        };
        let State { recording, tensors, .. } = store.data_mut();
        let recording = recording.take().ok_or(TensorError::Unknown)?;
        Ok(recording.finish(result, tensors))
    }

    /// How the updates of units of so many rows are computed. None of them is needed to say.
    #[cfg(feature = "examine")]
    pub(crate) fn way(&self, model: &Model, rows: u32) -> Way {
        Way::of(self.record(Call::Update, model, rows))
    }

    /// What [`add_up`](Self::add_up) adds for units of one number of rows, if there is a plan
    /// for them: the elements, where they are an update.
    #[cfg(feature = "examine")]
    pub(crate) fn planned(
        &mut self,
        model: &Model,
        round: u32,
        units: &[MappedUnit],
    ) -> Option<Vec<Vec<f32>>> {
        let plan = self.plan(model, units.first()?.rows)?;
        let updates = self.by_plan(&plan, model, round, units);
        Some(updates.into_iter().map(Tensor::into_values).collect())
    }
}
