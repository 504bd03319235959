//! The final model, in a file that other tools read.
//!
//! Its bytes follow from the releases alone: `cloister verify` makes them again and
//! compares. The safetensors crate writes metadata in a random order, so the header is
//! written here, sorted.

use std::collections::BTreeMap;

use cloister_protocol::release::CheckedReceipt;
use serde::Serialize;

use crate::{
    error::{Context, Error, Result},
    tensors::Tensors,
};

/// The file's name in the folder of a job.
pub const NAME: &str = "model.safetensors";

/// `model` (F64) and, if the job centred its features, `centre` (F64), with what is
/// needed to use them in the file's metadata. From the last round's release, and the tensors of the
/// centring release if there is one.
pub fn bytes(
    last: &CheckedReceipt,
    tensors: &Tensors,
    centring: Option<&Tensors>,
) -> Result<Vec<u8>> {
    let model = tensors.f64s("final_model").ok_or_else(|| {
        Error::failed("the last round has no tensor final_model: the host is of another version")
    })?;
    let mut vectors = BTreeMap::from([("model", model)]);
    if let Some(centre) = centring.and_then(|tensors| tensors.f64s("centre")) {
        vectors.insert("centre", centre);
    }
    let (job, code) = (&last.job.value, &last.code.value);
    let metadata = BTreeMap::from([
        ("code", format!("{}@{}", code.name, code.version)),
        ("job", last.job.id.to_string()),
        ("scale", job.server.scale.to_string()),
        ("clamp", job.server.clamp.to_string()),
        ("inputs", "clamp(scale * ((x - typical) / (upper - lower) - centre))".to_owned()),
    ]);
    file(&vectors, &metadata).doing("the final model")
}

/// An entry of a safetensors header.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Metadata(&'a BTreeMap<&'a str, String>),
    Vector { dtype: &'static str, shape: [usize; 1], data_offsets: [usize; 2] },
}

/// A safetensors file whose bytes depend on its contents and on nothing else: vectors and
/// metadata sorted by name, the header padded with spaces to a multiple of eight.
fn file(
    vectors: &BTreeMap<&str, &[f64]>,
    metadata: &BTreeMap<&str, String>,
) -> serde_json::Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut header = BTreeMap::from([("__metadata__", Entry::Metadata(metadata))]);
    for (name, numbers) in vectors {
        let start = data.len();
        data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let data_offsets = [start, data.len()];
        header.insert(name, Entry::Vector { dtype: "F64", shape: [numbers.len()], data_offsets });
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header, &data].concat())
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn the_same_model_is_the_same_file() {
        let vectors = BTreeMap::from([("model", &[0.5, -2.0][..]), ("centre", &[1.0][..])]);
        let names = ["e", "code", "job", "scale", "clamp", "inputs"];
        let metadata: BTreeMap<_, _> = names.map(|name| (name, "\"é".to_owned())).into();
        let bytes = file(&vectors, &metadata).unwrap();
        // With an unsorted map, this would fail in 719 of 720 runs.
        assert_eq!(bytes, file(&vectors, &metadata).unwrap());
        let header = String::from_utf8_lossy(&bytes[8..]).into_owned();
        let places = ["clamp", "code", "inputs", "job", "scale", "\"centre\"", "\"model\""]
            .map(|name| header.find(name).unwrap());
        assert!(places.is_sorted(), "{header}");

        let read = SafeTensors::deserialize(&bytes).unwrap();
        let model = read.tensor("model").unwrap();
        assert_eq!((model.dtype(), model.shape()), (safetensors::Dtype::F64, &[2][..]));
        assert_eq!(model.data(), [0.5_f64.to_le_bytes(), (-2.0_f64).to_le_bytes()].concat());
        assert_eq!(read.tensor("centre").unwrap().data(), 1.0_f64.to_le_bytes());
        let (_, found) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(found.metadata().as_ref().unwrap()["job"], "\"é");
    }
}
