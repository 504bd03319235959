//! One fresh instance for each call.

use std::sync::Arc;

use cloister_privacy::PartialSum;
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
use crate::tensors::{Shared, Tensor, Tensors, add_to_linker};

/// What an instance's imports work on.
pub(crate) struct State {
    pub(crate) tensors: Tensors,
    pub(crate) random: Stream,
    #[cfg(feature = "examine")]
    memory: Watched,
}

/// Bytes of linear memory.
#[cfg(feature = "examine")]
struct Watched(u64);

#[cfg(feature = "examine")]
impl wasmtime::ResourceLimiter for Watched {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.0 = desired as u64;
        Ok(true)
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
    /// Fails if it was not checked by [`crate::compile`].
    pub(crate) fn new(
        component: &Component,
        limits: Limits,
        seed: [u8; 32],
        params: Vec<(String, f64)>,
        columns: [u32; 2],
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
        })
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
        let (rows, columns) = model.shape();
        let values: Arc<[f32]> = model.into_values().into();
        (values.len() <= MAX_MODEL_ELEMENTS && finite(&values)).then_some(Model {
            rows,
            columns,
            values,
        })
    }

    /// Adds one unit's update to a sum: what has the model's shape and is finite, as the
    /// gate takes it, or zero.
    pub(crate) fn update(
        &self,
        model: &Model,
        round: u32,
        unit: Option<MappedUnit>,
        sum: &mut PartialSum,
    ) -> Result<(), cloister_privacy::Error> {
        let Some(unit) = unit else { return sum.add_zero() };
        let mut ran = None;
        let update = self.run_update(model, round, &unit, &mut ran);
        match update {
            Ok(update) if update.shape() == (model.rows, model.columns) => {
                sum.add(&update.pieces())
            }
            _ => sum.add_zero(),
        }
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
            examined.memory = store.data().memory.0;
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
        let rows = |columns, values: &Shared| Tensor::shared(unit.rows, columns, values.clone());
        let arguments = (
            lend(store, model_tensor(model))?,
            lend(store, rows(self.columns[0], &unit.features))?,
            lend(store, rows(self.columns[1], &unit.targets))?,
            &self.params[..],
        );
        call(store, &instance, &self.exports.update, arguments)
    }

    /// Predictions for public rows: `rows` x `targets`, or nothing.
    pub(crate) fn score(&self, model: &Model, rows: u32, features: Vec<f32>) -> Option<Vec<f32>> {
        let [columns, targets] = self.columns;
        if features.len() as u64 != u64::from(rows) * u64::from(columns) {
            return None;
        }
        let (mut store, instance) = self.instance(StreamId::Score, self.limits.fuel_public).ok()?;
        let arguments = (
            lend(&mut store, model_tensor(model)).ok()?,
            lend(&mut store, Tensor::shared(rows, columns, Shared::new(features.into()))).ok()?,
            &self.params[..],
        );
        let scores = call(&mut store, &instance, &self.exports.score, arguments).ok()?;
        if scores.shape() != (rows, targets) {
            return None;
        }
        let values = scores.into_values();
        finite(&values).then_some(values)
    }

    fn instance(&self, id: StreamId, fuel: u64) -> wasmtime::Result<(Store<State>, Instance)> {
        let state = State {
            tensors: Tensors::new(self.limits.tensor_bytes),
            random: Stream::new(self.seed, id),
            #[cfg(feature = "examine")]
            memory: Watched(0),
        };
        let mut store = Store::new(self.instances.engine(), state);
        #[cfg(feature = "examine")]
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

/// Calls an export that returns a tensor.
fn call<Params>(
    store: &mut Store<State>,
    instance: &Instance,
    export: &ComponentExportIndex,
    arguments: Params,
) -> wasmtime::Result<Tensor>
where
    Params: ComponentNamedList + Lower,
    (Resource<Tensor>,): ComponentNamedList + Lift,
{
    let function = instance.get_typed_func::<Params, (Resource<Tensor>,)>(&mut *store, export)?;
    let (tensor,) = function.call(&mut *store, arguments)?;
    Ok(store.data_mut().tensors.remove(tensor.rep())?)
}

fn finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
