//! Tensors of one instance: what its handles stand for.

mod kernels;
mod link;

use std::sync::Arc;

pub(crate) use link::add_to_linker;

/// What an empty tensor counts against the byte limit, so that handles are limited.
const BASE_BYTES: usize = 64;

/// A dense row-major matrix. A guest's handle is an index into [`Tensors`].
pub(crate) struct Tensor {
    rows: u32,
    columns: u32,
    data: Data,
}

enum Data {
    /// Made by the guest, which may write to it.
    Own(Vec<f32>),
    /// A unit's rows: read-only.
    Rows(Vec<f32>),
    /// The model, shared by all instances of a worker: read-only.
    Model(Arc<[f32]>),
}

impl Data {
    fn values(&self) -> &[f32] {
        match self {
            Self::Own(values) | Self::Rows(values) => values,
            Self::Model(values) => values,
        }
    }
}

/// Why a guest's use of a tensor was refused. It traps; nobody is told which.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TensorError {
    #[error("shapes do not fit")]
    Shape,
    #[error("index out of range")]
    Range,
    #[error("an output is also an input")]
    Aliased,
    #[error("the tensor is read-only")]
    ReadOnly,
    #[error("tensors use more than their limit")]
    Limit,
    #[error("no such tensor")]
    Unknown,
}

impl Tensor {
    /// A unit's rows.
    pub(crate) fn rows(rows: u32, columns: u32, values: Vec<f32>) -> Self {
        Self { rows, columns, data: Data::Rows(values) }
    }

    /// A model.
    pub(crate) fn model(rows: u32, columns: u32, values: Arc<[f32]>) -> Self {
        Self { rows, columns, data: Data::Model(values) }
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (u32, u32) {
        (self.rows, self.columns)
    }

    /// The elements, moved out if they are the guest's own.
    pub(crate) fn into_values(self) -> Vec<f32> {
        match self.data {
            Data::Own(values) | Data::Rows(values) => values,
            Data::Model(values) => values.to_vec(),
        }
    }

    fn len(&self) -> usize {
        self.data.values().len()
    }

    fn values(&self) -> &[f32] {
        self.data.values()
    }

    fn values_mut(&mut self) -> Result<&mut [f32], TensorError> {
        match &mut self.data {
            Data::Own(values) => Ok(values),
            Data::Rows(_) | Data::Model(_) => Err(TensorError::ReadOnly),
        }
    }

    fn index(&self, row: u32, column: u32) -> Result<usize, TensorError> {
        if row >= self.rows || column >= self.columns {
            return Err(TensorError::Range);
        }
        Ok(row as usize * self.columns as usize + column as usize)
    }

    fn piece(&self, offset: u32, count: usize) -> Result<core::ops::Range<usize>, TensorError> {
        let start = offset as usize;
        let end = start.checked_add(count).ok_or(TensorError::Range)?;
        if count > crate::limits::MAX_PIECE_ELEMENTS || end > self.len() {
            return Err(TensorError::Range);
        }
        Ok(start..end)
    }
}

/// All tensors of one instance, up to a number of bytes.
pub(crate) struct Tensors {
    slots: Vec<Option<Tensor>>,
    free: Vec<u32>,
    available: usize,
}

impl Tensors {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { slots: Vec::with_capacity(8), free: Vec::new(), available: limit_bytes }
    }

    /// Takes a tensor in, if it fits.
    pub(crate) fn insert(&mut self, tensor: Tensor) -> Result<u32, TensorError> {
        let bytes = bytes(tensor.len()).ok_or(TensorError::Limit)?;
        self.available = self.available.checked_sub(bytes).ok_or(TensorError::Limit)?;
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(tensor);
            return Ok(index);
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| TensorError::Limit)?;
        self.slots.push(Some(tensor));
        Ok(index)
    }

    /// A new matrix for the guest; nothing is allocated before it is known to fit.
    fn create(
        &mut self,
        rows: u32,
        columns: u32,
        values: impl FnOnce(usize) -> Vec<f32>,
    ) -> Result<u32, TensorError> {
        let elements = elements(rows, columns)?;
        self.check_room(elements)?;
        let values = values(elements);
        debug_assert_eq!(values.len(), elements);
        self.insert(Tensor { rows, columns, data: Data::Own(values) })
    }

    /// Whether a tensor of this size would fit.
    fn check_room(&self, elements: usize) -> Result<(), TensorError> {
        match bytes(elements) {
            Some(bytes) if bytes <= self.available => Ok(()),
            _ => Err(TensorError::Limit),
        }
    }

    /// Takes a tensor out.
    pub(crate) fn remove(&mut self, index: u32) -> Result<Tensor, TensorError> {
        let tensor = self
            .slots
            .get_mut(index as usize)
            .and_then(Option::take)
            .ok_or(TensorError::Unknown)?;
        self.free.push(index);
        self.available += bytes(tensor.len()).unwrap_or(0);
        Ok(tensor)
    }

    fn get(&self, index: u32) -> Result<&Tensor, TensorError> {
        self.slots.get(index as usize).and_then(Option::as_ref).ok_or(TensorError::Unknown)
    }

    fn get_mut(&mut self, index: u32) -> Result<&mut Tensor, TensorError> {
        self.slots.get_mut(index as usize).and_then(Option::as_mut).ok_or(TensorError::Unknown)
    }

    /// Runs `kernel` with an output that is none of the inputs.
    fn with_output<const N: usize, R>(
        &mut self,
        inputs: [u32; N],
        output: u32,
        kernel: impl FnOnce([&[f32]; N], &mut [f32]) -> R,
    ) -> Result<R, TensorError> {
        if inputs.contains(&output) {
            return Err(TensorError::Aliased);
        }
        let slot = self.slots.get_mut(output as usize).ok_or(TensorError::Unknown)?;
        let mut tensor = slot.take().ok_or(TensorError::Unknown)?;
        let result = self.run_kernel(inputs, &mut tensor, kernel);
        self.slots[output as usize] = Some(tensor);
        result
    }

    fn run_kernel<const N: usize, R>(
        &self,
        inputs: [u32; N],
        output: &mut Tensor,
        kernel: impl FnOnce([&[f32]; N], &mut [f32]) -> R,
    ) -> Result<R, TensorError> {
        let mut values: [&[f32]; N] = [&[]; N];
        for (values, index) in values.iter_mut().zip(inputs) {
            *values = self.get(index)?.values();
        }
        Ok(kernel(values, output.values_mut()?))
    }
}

fn elements(rows: u32, columns: u32) -> Result<usize, TensorError> {
    (rows as usize).checked_mul(columns as usize).ok_or(TensorError::Limit)
}

fn bytes(elements: usize) -> Option<usize> {
    elements.checked_mul(size_of::<f32>())?.checked_add(BASE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(tensors: &mut Tensors, rows: u32, columns: u32) -> Result<u32, TensorError> {
        tensors.create(rows, columns, |elements| vec![0.0; elements])
    }

    #[test]
    fn the_limit_counts_what_is_alive() {
        let mut tensors = Tensors::new(2 * (BASE_BYTES + 400));
        let first = zeros(&mut tensors, 10, 10).unwrap();
        zeros(&mut tensors, 10, 10).unwrap();
        assert_eq!(zeros(&mut tensors, 0, 0), Err(TensorError::Limit));
        tensors.remove(first).unwrap();
        assert_eq!(zeros(&mut tensors, 10, 10), Ok(first));
    }

    #[test]
    fn a_size_that_overflows_is_refused_before_it_is_allocated() {
        let mut tensors = Tensors::new(1 << 20);
        let size = zeros(&mut tensors, u32::MAX, u32::MAX);
        assert_eq!(size, Err(TensorError::Limit));
    }

    #[test]
    fn an_output_is_never_an_input() {
        let mut tensors = Tensors::new(1 << 20);
        let tensor = zeros(&mut tensors, 1, 1).unwrap();
        let run = tensors.with_output([tensor], tensor, |_, _| ());
        assert_eq!(run, Err(TensorError::Aliased));
    }

    #[test]
    fn rows_and_models_are_read_only_and_come_back() {
        let mut tensors = Tensors::new(1 << 20);
        let model = Tensor::model(1, 2, Arc::from([1.0, 2.0]));
        let model = tensors.insert(model).unwrap();
        let rows = tensors.insert(Tensor::rows(1, 1, vec![3.0])).unwrap();
        for index in [model, rows] {
            let run = tensors.with_output([], index, |[], _| ());
            assert_eq!(run, Err(TensorError::ReadOnly));
        }
        assert_eq!(tensors.remove(model).unwrap().into_values(), [1.0, 2.0]);
        assert_eq!(tensors.get(model).err(), Some(TensorError::Unknown));
    }
}
