//! One fresh instance for each call.
//!
//! Code whose requests depend on shapes alone is called once for each number of rows, other
//! code for each unit; see [`updates`].

mod metrics;
mod updates;

use std::sync::Arc;

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker,
    Lower, Resource, Val,
};
use wasmtime::{Engine, Store};

#[cfg(feature = "examine")]
use crate::examine::{Examined, Outcome};
use crate::limits::{Limits, MAX_CALL_BYTES, MAX_MODEL_ELEMENTS};
use crate::random::{Stream, StreamId};
use crate::shared::MappedUnit;
use crate::tensors::{Recording, Shared, Tensor, Tensors, add_to_linker};
use updates::Plans;

/// What an instance's imports work on.
pub(crate) struct State {
    pub(crate) tensors: Tensors,
    pub(crate) random: Stream,
    /// What was asked for so far, if this instance is there to find out.
    pub(crate) recording: Option<Recording>,
    memory: Memory,
}

/// Linear memory of an instance.
struct Memory {
    bytes: usize,
    most: usize,
}

impl wasmtime::ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.most && maximum.is_none_or(|maximum| desired <= maximum);
        self.bytes = if allowed { desired } else { self.bytes };
        Ok(allowed)
    }

    /// What is within the limits has to be there. If the process has no more, a guest that
    /// were told so would learn what other units have left of it.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        std::process::abort()
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// A matrix that crosses between runner, worker and pool.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) values: Arc<[f32]>,
}

/// The linker with everything that a component may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Runs a component's exports, each call in an instance of its own.
pub(crate) struct Runner {
    instances: InstancePre<State>,
    exports: Exports,
    limits: Limits,
    seed: [u8; 32],
    params: Vec<(String, f64)>,
    /// Features and targets of a row.
    columns: [u32; 2],
    plans: Plans,
}

struct Exports {
    describe: ComponentExportIndex,
    init: ComponentExportIndex,
    update: ComponentExportIndex,
    score: ComponentExportIndex,
}

impl Runner {
    /// Links a component. No code of it runs.
    ///
    /// Fails if it was not checked by [`crate::compile`]. So many units share their workers.
    pub(crate) fn new(
        component: &Component,
        limits: Limits,
        seed: [u8; 32],
        params: Vec<(String, f64)>,
        columns: [u32; 2],
        units: u32,
    ) -> wasmtime::Result<Self> {
        let export = |name: &str| {
            let index = component.get_export_index(None, name);
            index.ok_or_else(|| wasmtime::Error::msg("an export is missing"))
        };
        Ok(Self {
            exports: Exports {
                describe: export("describe")?,
                init: export("init")?,
                update: export("update")?,
                score: export("score")?,
            },
            instances: linker(component.engine())?.instantiate_pre(component)?,
            limits,
            seed,
            params,
            columns,
            plans: Plans::new(units),
        })
    }

    /// Other parameters; what is known of the code no longer holds.
    #[cfg(feature = "examine")]
    pub(crate) fn set_params(&mut self, params: Vec<(String, f64)>) {
        self.params = params;
        self.plans = Plans::new(0);
    }

    /// What the component says about itself, unchecked.
    pub(crate) fn describe(&self) -> wasmtime::Result<Val> {
        let (mut store, instance) = self.instance(StreamId::Setup, self.limits.fuel_public)?;
        let function = instance
            .get_func(&mut store, self.exports.describe)
            .ok_or_else(|| wasmtime::Error::msg("an export is missing"))?;
        let mut results = [Val::Bool(false)];
        function.call(&mut store, &[], &mut results)?;
        let [description] = results;
        Ok(description)
    }

    /// The first model, if it is one.
    pub(crate) fn init(&self) -> Option<Model> {
        let [features, targets] = self.columns;
        let (mut store, instance) = self.instance(StreamId::Setup, self.limits.fuel_public).ok()?;
        let arguments = (features, targets, &self.params[..]);
        let model = call(&mut store, &instance, &self.exports.init, arguments).ok()?;
        let model = store.data_mut().tensors.remove(model).ok()?;
        let (rows, columns) = model.shape();
        let values: Arc<[f32]> = model.into_values().into();
        (values.len() <= MAX_MODEL_ELEMENTS && finite(&values)).then_some(Model {
            rows,
            columns,
            values,
        })
    }

    /// Everything about one unit's update.
    #[cfg(feature = "examine")]
    pub(crate) fn examine(&self, model: &Model, round: u32, unit: Option<MappedUnit>) -> Examined {
        let nothing = |outcome| Examined { outcome, update: Vec::new(), fuel: 0, memory: 0 };
        let Some(unit) = unit else { return nothing(Outcome::DoesNotFit) };
        let mut ran = None;
        let update = self.run_update(model, round, &unit, &mut ran);
        let mut examined = match update {
            Err(error) => nothing(Outcome::of_error(&error)),
            Ok(update) if update.shape() != (model.rows, model.columns) => {
                nothing(Outcome::UpdateShape)
            }
            Ok(update) => {
                let update = update.into_values();
                if finite(&update) {
                    Examined { update, ..nothing(Outcome::Update) }
                } else {
                    nothing(Outcome::NotFinite)
                }
            }
        };
        if let Some(store) = ran {
            let left = store.get_fuel().unwrap_or(0);
            examined.fuel = self.limits.fuel_per_unit.saturating_sub(left);
            examined.memory = store.data().memory.bytes as u64;
        }
        examined
    }

    /// What `update` returns for one unit. The instance it ran in goes to `ran`.
    fn run_update(
        &self,
        model: &Model,
        round: u32,
        unit: &MappedUnit,
        ran: &mut Option<Store<State>>,
    ) -> wasmtime::Result<Tensor> {
        let id = StreamId::Unit { round, stream: unit.stream };
        let (store, instance) = self.instance(id, self.limits.fuel_per_unit)?;
        let store = ran.insert(store);
        let update = self.call_update(store, &instance, model, unit)?;
        Ok(store.data_mut().tensors.remove(update)?)
    }

    /// Calls `update`. Gives the tensor that it returns, by its place among the instance's.
    fn call_update(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        model: &Model,
        unit: &MappedUnit,
    ) -> wasmtime::Result<u32> {
        let [model, features, targets] = self.arguments(model, unit);
        let arguments =
            (lend(store, model)?, lend(store, features)?, lend(store, targets)?, &self.params[..]);
        call(store, instance, &self.exports.update, arguments)
    }

    /// Model, features and targets.
    fn arguments(&self, model: &Model, unit: &MappedUnit) -> [Tensor; 3] {
        let rows = |columns, values: &Shared| Tensor::shared(unit.rows, columns, values.clone());
        let [features, targets] = self.columns;
        [model_tensor(model), rows(features, &unit.features), rows(targets, &unit.targets)]
    }

    /// Predictions for public rows: `rows` x `targets`, or nothing.
    pub(crate) fn score(&self, model: &Model, rows: u32, features: Vec<f32>) -> Option<Vec<f32>> {
        let [columns, targets] = self.columns;
        if features.len() as u64 != u64::from(rows) * u64::from(columns) {
            return None;
        }
        let features = Shared::new(features.into());
        let scores = self.run_score(model, rows, features, self.limits.fuel_public).ok()?;
        if scores.shape() != (rows, targets) {
            return None;
        }
        let values = scores.into_values();
        finite(&values).then_some(values)
    }

    /// What `score` returns for some rows.
    fn run_score(
        &self,
        model: &Model,
        rows: u32,
        features: Shared,
        fuel: u64,
    ) -> wasmtime::Result<Tensor> {
        let (mut store, instance) = self.instance(StreamId::Score, fuel)?;
        let scores = self.call_score(&mut store, &instance, model, rows, features)?;
        Ok(store.data_mut().tensors.remove(scores)?)
    }

    /// Calls `score`. Gives the tensor that it returns, by its place among the instance's.
    fn call_score(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        model: &Model,
        rows: u32,
        features: Shared,
    ) -> wasmtime::Result<u32> {
        let features = Tensor::shared(rows, self.columns[0], features);
        let arguments =
            (lend(store, model_tensor(model))?, lend(store, features)?, &self.params[..]);
        call(store, instance, &self.exports.score, arguments)
    }

    fn instance(&self, id: StreamId, fuel: u64) -> wasmtime::Result<(Store<State>, Instance)> {
        self.recorded_instance(id, fuel, None)
    }

    /// An instance whose requests are recorded, those while it is made included.
    fn recorded_instance(
        &self,
        id: StreamId,
        fuel: u64,
        recording: Option<Recording>,
    ) -> wasmtime::Result<(Store<State>, Instance)> {
        let state = State {
            tensors: Tensors::new(self.limits.tensor_bytes),
            random: Stream::new(self.seed, id),
            recording,
            memory: Memory { bytes: 0, most: self.limits.guest_memory_bytes },
        };
        let mut store = Store::new(self.instances.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_fuel(fuel)?;
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        let instance = self.instances.instantiate(&mut store)?;
        Ok((store, instance))
    }
}

fn model_tensor(model: &Model) -> Tensor {
    Tensor::shared(model.rows, model.columns, Shared::new(Arc::clone(&model.values)))
}

/// Puts a tensor where a guest's borrow can find it.
fn lend(store: &mut Store<State>, tensor: Tensor) -> wasmtime::Result<Resource<Tensor>> {
    Ok(Resource::new_borrow(store.data_mut().tensors.insert(tensor)?))
}

/// Calls an export that returns a tensor. Gives its place among the instance's.
fn call<Params>(
    store: &mut Store<State>,
    instance: &Instance,
    export: &ComponentExportIndex,
    arguments: Params,
) -> wasmtime::Result<u32>
where
    Params: ComponentNamedList + Lower,
    (Resource<Tensor>,): ComponentNamedList + Lift,
{
    let function = instance.get_typed_func::<Params, (Resource<Tensor>,)>(&mut *store, export)?;
    let (tensor,) = function.call(&mut *store, arguments)?;
    Ok(tensor.rep())
}

fn finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
