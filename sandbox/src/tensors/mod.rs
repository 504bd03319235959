//! Tensors of one instance: what its handles stand for.

mod data;
mod kernels;
mod link;
mod ops;
mod plan;

use cloister_privacy::Piece;

use data::Data;
pub(crate) use data::Shared;
pub(crate) use link::add_to_linker;
pub(crate) use plan::{NotRecorded, Plan, Recording};

/// What an empty tensor counts against the byte limit, so that handles are limited: with room
/// for the lists that it is in, when they grow.
const BASE_BYTES: usize = 320;

/// A dense row-major matrix. A guest's handle is an index into [`Tensors`].
pub(crate) struct Tensor {
    rows: u32,
    columns: u32,
    data: Data,
    /// Bytes that count against the limit while it is among [`Tensors`].
    counted: usize,
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
    #[error("only parts of read-only tensors can be viewed")]
    NotReadOnly,
    #[error("tensors use more than their limit")]
    Limit,
    #[error("no such tensor")]
    Unknown,
}

impl Tensor {
    /// What the guest may read and not write: rows or a model. `values` are as many as the
    /// shape says.
    pub(crate) fn shared(rows: u32, columns: u32, values: Shared) -> Self {
        debug_assert_eq!(values.get().len(), rows as usize * columns as usize);
        Self::of(rows, columns, Data::Shared(values))
    }

    fn of(rows: u32, columns: u32, data: Data) -> Self {
        Self { rows, columns, data, counted: 0 }
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (u32, u32) {
        (self.rows, self.columns)
    }

    /// The elements as the gate takes them.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::with_capacity(4);
        self.data.pieces(self.len(), &mut pieces);
        pieces
    }

    /// The elements.
    pub(crate) fn into_values(mut self) -> Vec<f32> {
        let len = self.len();
        self.data.write_down(len);
        self.data.values().to_vec()
    }

    fn len(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// Rows and columns, after transposing if asked to.
    fn sides(&self, transpose: bool) -> (usize, usize) {
        let (rows, columns) = (self.rows as usize, self.columns as usize);
        if transpose { (columns, rows) } else { (rows, columns) }
    }

    /// The elements, which have been written down.
    fn values(&self) -> &[f32] {
        self.data.values()
    }

    fn values_mut(&mut self) -> Result<&mut [f32], TensorError> {
        let len = self.len();
        self.data.write_down(len);
        self.data.own_mut().ok_or(TensorError::ReadOnly)
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
    limit: usize,
    available: usize,
    /// The least that was available so far.
    least: usize,
}

impl Tensors {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let slots = Vec::with_capacity(8);
        Self {
            slots,
            free: Vec::new(),
            limit: limit_bytes,
            available: limit_bytes,
            least: limit_bytes,
        }
    }

    /// The most bytes that there may be.
    fn limit(&self) -> usize {
        self.limit
    }

    /// The most bytes that there were.
    fn most_used(&self) -> usize {
        self.limit - self.least
    }

    /// Counts so many elements among the most that there were, and no longer.
    fn note_use(&mut self, elements: usize) {
        let bytes = elements.saturating_mul(size_of::<f32>());
        self.least = self.least.min(self.available.saturating_sub(bytes));
    }

    /// Takes a tensor in, if it fits.
    pub(crate) fn insert(&mut self, mut tensor: Tensor) -> Result<u32, TensorError> {
        tensor.counted = tensor.data.bytes(tensor.len()).ok_or(TensorError::Limit)?;
        self.available = self.available.checked_sub(tensor.counted).ok_or(TensorError::Limit)?;
        self.least = self.least.min(self.available);
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(tensor);
            return Ok(index);
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| TensorError::Limit)?;
        self.slots.push(Some(tensor));
        Ok(index)
    }

    /// A new matrix of zeros for the guest.
    fn zeros(&mut self, rows: u32, columns: u32) -> Result<u32, TensorError> {
        elements(rows, columns)?;
        self.insert(Tensor::of(rows, columns, Data::Zeros))
    }

    /// One row that holds the elements of all `parts`, which are used up.
    fn join(&mut self, parts: &[u32]) -> Result<u32, TensorError> {
        let (mut data, mut columns) = (Vec::with_capacity(parts.len()), 0_u32);
        for part in parts {
            let part = self.remove(*part)?;
            let len = u32::try_from(part.len()).map_err(|_| TensorError::Limit)?;
            columns = columns.checked_add(len).ok_or(TensorError::Limit)?;
            // Never nested, so that no depth is the guest's to choose.
            match part.data {
                Data::Joined(parts) => data.extend(parts),
                one => data.push((len as usize, one)),
            }
        }
        self.insert(Tensor::of(1, columns, Data::Joined(data)))
    }

    /// Whether so many elements would fit.
    fn check_room(&self, elements: usize) -> Result<(), TensorError> {
        match elements.checked_mul(size_of::<f32>()) {
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
        self.available += tensor.counted;
        Ok(tensor)
    }

    /// A tensor, to look at its shape.
    fn get(&self, index: u32) -> Result<&Tensor, TensorError> {
        self.slots.get(index as usize).and_then(Option::as_ref).ok_or(TensorError::Unknown)
    }

    /// The elements of a tensor.
    fn values(&mut self, index: u32) -> Result<&[f32], TensorError> {
        self.write_down(index)?;
        Ok(self.get(index)?.values())
    }

    /// Makes sure that the elements of a tensor are in memory. Their bytes were counted when
    /// it was made.
    fn write_down(&mut self, index: u32) -> Result<(), TensorError> {
        let tensor = self.get_mut(index)?;
        let len = tensor.len();
        tensor.data.write_down(len);
        Ok(())
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
        for input in inputs {
            self.write_down(input)?;
        }
        let slot = self.slots.get_mut(output as usize).ok_or(TensorError::Unknown)?;
        let mut tensor = slot.take().ok_or(TensorError::Unknown)?;
        let result = self.run_kernel(inputs, &mut tensor, kernel);
        self.slots[output as usize] = Some(tensor);
        result
    }

    /// Makes `output` the product of a column and a row, which is not written down before it
    /// has to be. The bits are those of the product in memory.
    fn set_outer(
        &mut self,
        left: u32,
        right: u32,
        alpha: f32,
        output: u32,
    ) -> Result<(), TensorError> {
        if left == output || right == output {
            return Err(TensorError::Aliased);
        }
        let left = self.values(left)?.iter().map(|x| alpha * x).collect();
        let right = self.values(right)?.to_vec();
        let tensor = self.get_mut(output)?;
        if matches!(tensor.data, Data::Shared(_)) {
            return Err(TensorError::ReadOnly);
        }
        tensor.data = Data::Outer { left, right };
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn filled(tensors: &mut Tensors, rows: u32, columns: u32, values: &[f32]) -> u32 {
        let tensor = tensors.zeros(rows, columns).unwrap();
        tensors.with_output([], tensor, |[], x| x.copy_from_slice(values)).unwrap();
        tensor
    }

    #[test]
    fn the_limit_counts_what_is_alive() {
        let mut tensors = Tensors::new(2 * (BASE_BYTES + 400));
        let first = tensors.zeros(10, 10).unwrap();
        tensors.zeros(10, 10).unwrap();
        assert_eq!(tensors.zeros(0, 0), Err(TensorError::Limit));
        tensors.remove(first).unwrap();
        assert_eq!(tensors.zeros(10, 10), Ok(first));
    }

    #[test]
    fn a_size_that_overflows_is_refused_before_it_is_allocated() {
        let mut tensors = Tensors::new(1 << 20);
        assert_eq!(tensors.zeros(u32::MAX, u32::MAX), Err(TensorError::Limit));
    }

    #[test]
    fn an_output_is_never_an_input() {
        let mut tensors = Tensors::new(1 << 20);
        let tensor = tensors.zeros(1, 1).unwrap();
        let run = tensors.with_output([tensor], tensor, |_, _| ());
        assert_eq!(run, Err(TensorError::Aliased));
        let other = tensors.zeros(1, 1).unwrap();
        assert_eq!(tensors.set_outer(other, tensor, 1.0, tensor), Err(TensorError::Aliased));
    }

    #[test]
    fn rows_and_models_are_read_only_and_come_back() {
        let mut tensors = Tensors::new(1 << 20);
        let values: Arc<[f32]> = [1.0, 2.0].into();
        let model = tensors.insert(Tensor::shared(1, 2, Shared::new(values.clone()))).unwrap();
        let part = tensors.get(model).unwrap().data.view(1, 1).unwrap();
        let part = tensors.insert(Tensor::of(1, 1, part)).unwrap();
        assert_eq!(tensors.values(part).unwrap(), [2.0]);
        for index in [model, part] {
            let run = tensors.with_output([], index, |[], _| ());
            assert_eq!(run, Err(TensorError::ReadOnly));
            let one = tensors.zeros(1, 1).unwrap();
            assert_eq!(tensors.set_outer(one, one, 1.0, index), Err(TensorError::ReadOnly));
        }
        assert_eq!(tensors.remove(model).unwrap().into_values(), [1.0, 2.0]);
        assert_eq!(tensors.get(model).err(), Some(TensorError::Unknown));
    }

    #[test]
    fn what_is_not_written_down_reads_as_if_it_were() {
        let mut tensors = Tensors::new(1 << 20);
        let left = filled(&mut tensors, 2, 1, &[0.5, -3.0]);
        let right = filled(&mut tensors, 1, 3, &[1.0, 0.1, 7.0]);
        let product = tensors.zeros(2, 3).unwrap();
        tensors.set_outer(left, right, 2.0, product).unwrap();
        let expected = [1.0, 0.1, 7.0, -6.0, -6.0 * 0.1, -42.0];
        assert!(matches!(
            tensors.get(product).unwrap().pieces()[..],
            [Piece::Outer { left: [1.0, -6.0], .. }]
        ));
        let zeros = tensors.zeros(1, 2).unwrap();
        let joined = tensors.join(&[product, zeros, right]).unwrap();
        assert_eq!(tensors.get(product).err(), Some(TensorError::Unknown), "used up");
        let tensor = tensors.get(joined).unwrap();
        assert_eq!((tensor.shape(), tensor.pieces().len()), ((1, 11), 3));
        let all = [&expected[..], &[0.0; 2], &[1.0, 0.1, 7.0]].concat();
        assert_eq!(tensors.values(joined).unwrap(), all);
        assert_eq!(tensors.remove(joined).unwrap().into_values(), all);
    }

    #[test]
    fn joining_a_tensor_with_itself_or_nothing_is_refused_or_empty() {
        let mut tensors = Tensors::new(1 << 20);
        let one = tensors.zeros(1, 1).unwrap();
        assert_eq!(tensors.join(&[one, one]), Err(TensorError::Unknown));
        let none = tensors.join(&[]).unwrap();
        assert!(tensors.values(none).unwrap().is_empty());
    }

    #[test]
    fn parts_count_against_the_limit_and_are_never_nested() {
        let mut tensors = Tensors::new(100 * BASE_BYTES);
        let mut joined = tensors.join(&[]).unwrap();
        let mut joins = 0;
        loop {
            let empty = tensors.zeros(0, 0);
            match empty.and_then(|empty| tensors.join(&[joined, empty])) {
                Ok(index) => joined = index,
                Err(error) => break assert_eq!(error, TensorError::Limit),
            }
            joins += 1;
        }
        assert_eq!(joins, 99);
    }
}
