//! From what a round released to signed bytes.

use std::{borrow::Cow, sync::Arc};

use cloister_protocol::{
    KeyId, Signed, SigningKey,
    code::CodeManifest,
    digest::Id,
    grant::Grant,
    job::Job,
    keys::KeyError,
    release::{DatasetProof, Output as Declared, Receipt, Release, tensors_digest},
    transcript::TranscriptId,
};
use safetensors::{Dtype, View};

use crate::rounds::Output;

/// A released vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    name: &'static str,
    values: Values,
    shape: [usize; 1],
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Integers(Vec<i64>),
    Doubles(Vec<f64>),
}

impl Tensor {
    /// A vector of `I64`.
    #[must_use]
    pub fn integers(name: &'static str, values: Vec<i64>) -> Self {
        Self { name, shape: [values.len()], values: Values::Integers(values) }
    }

    /// A vector of `F64`.
    #[must_use]
    pub fn floats(name: &'static str, values: Vec<f64>) -> Self {
        Self { name, shape: [values.len()], values: Values::Doubles(values) }
    }

    /// Its name in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// Its numbers, if they are doubles.
    #[must_use]
    pub fn doubles(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Doubles(values) => Some(values),
            Values::Integers(_) => None,
        }
    }

    /// Its numbers, if they are integers.
    #[must_use]
    pub fn whole(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Integers(values) => Some(values),
            Values::Doubles(_) => None,
        }
    }

    fn declared(&self) -> Declared {
        let dtype = match self.values {
            Values::Integers(_) => "I64",
            Values::Doubles(_) => "F64",
        };
        Declared {
            name: self.name.into(),
            dtype: dtype.into(),
            shape: self.shape.iter().map(|length| *length as u64).collect(),
        }
    }
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::Integers(_) => Dtype::I64,
            Values::Doubles(_) => Dtype::F64,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        match &self.values {
            Values::Integers(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::Doubles(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
    fn data_len(&self) -> usize {
        8 * self.shape[0]
    }
}

/// The canonical safetensors file: no `__metadata__`, tensors in the format's own order.
///
/// # Panics
///
/// If two tensors have one name.
#[must_use]
pub fn file(tensors: &[Tensor]) -> Vec<u8> {
    let named = tensors.iter().map(|tensor| (tensor.name, tensor));
    let file = safetensors::serialize(named, None);
    file.expect("vectors with fixed names and exact lengths are a valid file")
}

/// One release as it leaves: the same bytes however often they are asked for.
pub struct Kept {
    foundation: Arc<Foundation>,
    release: Signed<Release>,
    /// The safetensors file.
    pub tensors: Vec<u8>,
}

impl Kept {
    /// The receipt's bytes, put together when they are wanted: thousands of releases
    /// share what they rest on. The encoding is deterministic, so they never differ.
    #[must_use]
    pub fn receipt(&self) -> Vec<u8> {
        let Foundation { evidence, transcript, job, code, datasets, grants, .. } =
            &*self.foundation;
        let receipt = Receipt::new(
            self.release.clone(),
            evidence.clone(),
            transcript.clone(),
            job.clone(),
            code.clone(),
            datasets.clone(),
            grants.clone(),
        );
        receipt.to_bytes()
    }
}

/// What every receipt of a session rests on.
pub struct Foundation {
    /// The transcript.
    pub transcript_id: TranscriptId,
    /// Its bytes.
    pub transcript: Vec<u8>,
    /// The evidence that binds it.
    pub evidence: Vec<u8>,
    /// The job.
    pub job: Signed<Job>,
    /// The job's identifier.
    pub job_id: Id<Job>,
    /// How many releases it has.
    pub of: u32,
    /// The code's manifest.
    pub code: Signed<CodeManifest>,
    /// Headers and manifests.
    pub datasets: Vec<DatasetProof>,
    /// Grants without their keys.
    pub grants: Vec<Signed<Grant>>,
}

/// Signs the releases of one session, each once and in order.
///
/// It owns the signing key, which is erased with it after the last release.
pub struct Notary {
    foundation: Arc<Foundation>,
    key: SigningKey,
    signer: KeyId,
    next: u32,
    previous: Option<Id<Release>>,
}

impl Notary {
    /// Signs with `key`, which the transcript names.
    #[must_use]
    pub fn new(foundation: Foundation, key: SigningKey) -> Self {
        let signer = key.id();
        Self { foundation: Arc::new(foundation), key, signer, next: 0, previous: None }
    }

    /// The transcript that is executed.
    #[must_use]
    pub fn transcript(&self) -> TranscriptId {
        self.foundation.transcript_id
    }

    /// How many releases the job has.
    #[must_use]
    pub fn releases(&self) -> u32 {
        self.foundation.of
    }

    /// Signs the next release.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the system gives no random numbers.
    ///
    /// # Panics
    ///
    /// If `output` is not the next release of the job.
    pub fn sign(&mut self, output: &Output) -> Result<Kept, KeyError> {
        assert_eq!(output.number, self.next, "each release is signed once and in order");
        let foundation = &self.foundation;
        let tensors = file(&output.tensors);
        let release = Release {
            transcript: foundation.transcript_id,
            job: foundation.job_id,
            number: output.number,
            of: foundation.of,
            stage: output.stage,
            gate: output.gate,
            divisor: output.divisor,
            cost: output.cost,
            outputs: output.tensors.iter().map(Tensor::declared).collect(),
            tensors: tensors_digest(&tensors),
            previous: self.previous,
        };
        let signed = Signed::sign(&release, &self.key)?;
        let verified = signed.open_by(&self.signer).map_err(|_| KeyError::Random)?;
        self.previous = Some(verified.id);
        self.next += 1;
        Ok(Kept { foundation: Arc::clone(foundation), release: signed, tensors })
    }
}

/// An upper bound of the file of a release: `vectors` of the model's size, and the rest.
#[must_use]
pub fn file_bound(dimension: usize, vectors: u64) -> u64 {
    const REST: u64 = 4096;
    (dimension as u64).saturating_mul(8 * vectors).saturating_add(REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_canonical() {
        let tensors =
            [Tensor::integers("noised_sum", vec![-1, 2]), Tensor::floats("model", vec![0.5, 1.0])];
        let bytes = file(&tensors);
        assert_eq!(bytes, file(&tensors));
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert!(metadata.metadata().is_none());
        let sum = read.tensor("noised_sum").unwrap();
        assert_eq!((sum.dtype(), sum.shape()), (Dtype::I64, &[2][..]));
        assert_eq!(sum.data(), [(-1_i64).to_le_bytes(), 2_i64.to_le_bytes()].concat());
        let mut turned = tensors.to_vec();
        turned.reverse();
        assert_eq!(file(&turned), bytes, "the order in which tensors are named is nothing");
        assert!(bytes.len() as u64 <= file_bound(2, 2));
    }
}
