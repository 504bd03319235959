//! One fresh instance for each call.

use std::sync::Arc;

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker,
    Lower, Resource, Val,
};
use wasmtime::{Engine, Store};

use crate::limits::{Limits, MAX_CALL_BYTES, MAX_MODEL_ELEMENTS};
use crate::random::{Stream, StreamId};
use crate::tensors::{Tensor, Tensors, add_to_linker};
use crate::units::UnitRows;

/// What an instance's imports work on.
pub(crate) struct State {
    pub(crate) tensors: Tensors,
    pub(crate) random: Stream,
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
    pub(crate) fn init(&self, features: u32, targets: u32) -> Option<Model> {
        let (mut store, instance) = self.instance(StreamId::Setup, self.limits.fuel_public).ok()?;
        let arguments = (features, targets, &self.params[..]);
        let model = call(&mut store, &instance, &self.exports.init, arguments)?;
        let (rows, columns) = model.shape();
        let values: Arc<[f32]> = model.into_values().into();
        (values.len() <= MAX_MODEL_ELEMENTS && finite(&values)).then_some(Model {
            rows,
            columns,
            values,
        })
    }

    /// One unit's update: of the model's shape and finite, or nothing.
    pub(crate) fn update(
        &self,
        model: &Model,
        id: StreamId,
        [features, targets]: [u32; 2],
        unit: UnitRows,
    ) -> Option<Vec<f32>> {
        if !unit.fits(features, targets) {
            return None;
        }
        let (mut store, instance) = self.instance(id, self.limits.fuel_per_unit).ok()?;
        let arguments = (
            lend(&mut store, model_tensor(model))?,
            lend(&mut store, Tensor::rows(unit.rows, features, unit.features))?,
            lend(&mut store, Tensor::rows(unit.rows, targets, unit.targets))?,
            &self.params[..],
        );
        let update = call(&mut store, &instance, &self.exports.update, arguments)?;
        if update.shape() != (model.rows, model.columns) {
            return None;
        }
        let values = update.into_values();
        finite(&values).then_some(values)
    }

    /// Predictions for public rows: `rows` x `targets`, or nothing.
    pub(crate) fn score(
        &self,
        model: &Model,
        [rows, columns, targets]: [u32; 3],
        features: Vec<f32>,
    ) -> Option<Vec<f32>> {
        let (mut store, instance) = self.instance(StreamId::Score, self.limits.fuel_public).ok()?;
        let arguments = (
            lend(&mut store, model_tensor(model))?,
            lend(&mut store, Tensor::rows(rows, columns, features))?,
            &self.params[..],
        );
        let scores = call(&mut store, &instance, &self.exports.score, arguments)?;
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
        };
        let mut store = Store::new(self.instances.engine(), state);
        store.set_fuel(fuel)?;
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        let instance = self.instances.instantiate(&mut store)?;
        Ok((store, instance))
    }
}

fn model_tensor(model: &Model) -> Tensor {
    Tensor::model(model.rows, model.columns, Arc::clone(&model.values))
}

/// Puts a tensor where a guest's borrow can find it.
fn lend(store: &mut Store<State>, tensor: Tensor) -> Option<Resource<Tensor>> {
    let index = store.data_mut().tensors.insert(tensor).ok()?;
    Some(Resource::new_borrow(index))
}

/// Calls an export that returns a tensor. Why it failed is nobody's business.
fn call<Params>(
    store: &mut Store<State>,
    instance: &Instance,
    export: &ComponentExportIndex,
    arguments: Params,
) -> Option<Tensor>
where
    Params: ComponentNamedList + Lower,
    (Resource<Tensor>,): ComponentNamedList + Lift,
{
    let function =
        instance.get_typed_func::<Params, (Resource<Tensor>,)>(&mut *store, export).ok()?;
    let (tensor,) = function.call(&mut *store, arguments).ok()?;
    store.data_mut().tensors.remove(tensor.rep()).ok()
}

fn finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
