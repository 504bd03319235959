//! The tensors of a release, by name.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

/// Tensors of the two types that releases have.
#[derive(Debug, Default)]
pub struct Tensors {
    f64s: BTreeMap<String, Vec<f64>>,
    i64s: BTreeMap<String, Vec<i64>>,
    /// Name, type as safetensors writes it, and shape of each.
    pub outputs: Vec<(String, String, Vec<u64>)>,
}

/// Why a file of tensors cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TensorsError {
    /// Not safetensors.
    #[error("not a file of tensors: {0}")]
    File(#[from] safetensors::SafeTensorError),
    /// A type that releases do not have.
    #[error("tensor {name:?} is {dtype}; releases have I64 and F64 only")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
}

impl Tensors {
    /// Reads a released file.
    pub fn read(bytes: &[u8]) -> Result<Self, TensorsError> {
        let file = SafeTensors::deserialize(bytes)?;
        let mut tensors = Self::default();
        for (name, view) in file.tensors() {
            let eights = view.data().as_chunks::<8>().0;
            match view.dtype() {
                Dtype::F64 => {
                    let numbers = eights.iter().map(|bytes| f64::from_le_bytes(*bytes));
                    tensors.f64s.insert(name.clone(), numbers.collect());
                }
                Dtype::I64 => {
                    let numbers = eights.iter().map(|bytes| i64::from_le_bytes(*bytes));
                    tensors.i64s.insert(name.clone(), numbers.collect());
                }
                other => return Err(TensorsError::Type { name, dtype: format!("{other:?}") }),
            }
            let shape = view.shape().iter().map(|size| *size as u64).collect();
            tensors.outputs.push((name, format!("{:?}", view.dtype()), shape));
        }
        tensors.outputs.sort();
        Ok(tensors)
    }

    /// A tensor of doubles.
    pub fn f64s(&self, name: &str) -> Option<&[f64]> {
        self.f64s.get(name).map(Vec::as_slice)
    }

    /// A tensor of integers.
    pub fn i64s(&self, name: &str) -> Option<&[i64]> {
        self.i64s.get(name).map(Vec::as_slice)
    }

    /// A tensor of one double.
    pub fn scalar(&self, name: &str) -> Option<f64> {
        match self.f64s(name) {
            Some([number]) => Some(*number),
            _ => None,
        }
    }
}
