//! Pages of safetensors files.

use safetensors::SafeTensors;
use serde_json::json;

use super::Found;
use crate::ui::{Page, printable};

/// A file of tensors, if it is one.
pub(super) fn tensors(bytes: &[u8]) -> Option<Found> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut page = Page::new().title("Tensors, as safetensors");
    let mut claims = Vec::new();
    let mut tensors = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, tensor) in tensors {
        let dtype = format!("{:?}", tensor.dtype());
        page = page.row(printable(&name), format!("{dtype} {:?}", tensor.shape()));
        claims.push(json!({ "name": name, "dtype": dtype, "shape": tensor.shape() }));
    }
    let digest = cloister_protocol::release::tensors_digest(bytes);
    let page = page.row("digest", digest);
    let claims = json!({ "tensors": claims, "digest": digest.to_hex() });
    Some(Found { kind: "tensors", page, claims })
}
