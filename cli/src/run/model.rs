//! The final model, in a file that other tools read.

use std::collections::HashMap;

use safetensors::{Dtype, tensor::TensorView};

use super::watch::Fetched;
use crate::error::{Context, Error, Result};

/// `model` (F64) and, if the job centred its features, `centre` (F64), with what is
/// needed to use them in the file's metadata.
pub fn bytes(last: &Fetched, centring: Option<&Fetched>) -> Result<Vec<u8>> {
    let job = &last.checked.job.value;
    let model = last.tensors.f64s("final_model").ok_or_else(|| {
        Error::failed("the last release has no tensor final_model: the host is of another version")
    })?;
    let model = little_endian(model);
    let centre = centring.and_then(|fetched| fetched.tensors.f64s("centre")).map(little_endian);
    let mut views = vec![("model", view(&model)?)];
    if let Some(centre) = &centre {
        views.push(("centre", view(centre)?));
    }
    let code = &last.checked.code.value;
    let metadata = HashMap::from([
        ("code".to_owned(), format!("{}@{}", code.name, code.version)),
        ("job".to_owned(), last.checked.job.id.to_string()),
        ("scale".to_owned(), job.server.scale.to_string()),
        ("clamp".to_owned(), job.server.clamp.to_string()),
        (
            "inputs".to_owned(),
            "clamp(scale * ((x - typical) / (upper - lower) - centre))".to_owned(),
        ),
    ]);
    safetensors::serialize(views, Some(metadata)).doing("the final model")
}

fn little_endian(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn view(bytes: &[u8]) -> Result<TensorView<'_>> {
    TensorView::new(Dtype::F64, vec![bytes.len() / 8], bytes).doing("the final model")
}
