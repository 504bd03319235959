//! Receipts and their tensors from the disk, each checked against itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cloister_protocol::{
    limits,
    release::{CheckedReceipt, Receipt},
};

use crate::{
    error::{Context, Error, Result},
    files,
    tensors::Tensors,
};

/// A release whose parts are signed by whom they must be and belong together.
pub struct Released {
    /// The receipt's file.
    pub path: PathBuf,
    /// The receipt.
    pub receipt: Receipt,
    /// Its parts, opened.
    pub checked: CheckedReceipt,
    /// Its tensors.
    pub tensors: Tensors,
}

/// The receipts among these files and folders, in order and each once.
pub fn receipts(files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut receipts = Vec::new();
    for path in files {
        if path.is_dir() {
            let before = receipts.len();
            for entry in std::fs::read_dir(path).with_path(path)? {
                let found = entry.with_path(path)?.path();
                if is_receipt(&found) {
                    receipts.push(found);
                }
            }
            if receipts.len() == before {
                let path = path.display();
                return Err(Error::usage(format!("{path}: no .receipt in this folder")));
            }
        } else if is_receipt(path) {
            receipts.push(path.clone());
        } else {
            return Err(Error::usage(format!(
                "{}: give a .receipt, or the folder of a job; `cloister show` says what a file is",
                path.display()
            )));
        }
    }
    receipts.sort();
    receipts.dedup();
    Ok(receipts)
}

fn is_receipt(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "receipt")
}

/// Reads and checks receipts, and puts those of one transcript together.
pub fn by_transcript(paths: Vec<PathBuf>) -> Result<Vec<Vec<Released>>> {
    let mut groups = BTreeMap::<_, Vec<Released>>::new();
    for path in paths {
        let released = read(path)?;
        groups.entry(released.checked.transcript_id).or_default().push(released);
    }
    Ok(groups.into_values().collect())
}

fn read(path: PathBuf) -> Result<Released> {
    let beside = path.with_extension("safetensors");
    let bytes = files::read(&path, limits::RECEIPT as u64)?;
    let file = files::read(&beside, limits::TENSORS)?;
    let denied = |why: String| Error::failed(format!("DENIED: {}: {why}", path.display()));
    let receipt = Receipt::from_bytes(&bytes).map_err(|error| denied(error.to_string()))?;
    let checked = receipt.check(&file).map_err(|error| denied(error.to_string()))?;
    let tensors = Tensors::read(&file).map_err(|error| denied(error.to_string()))?;
    Ok(Released { path, receipt, checked, tensors })
}

/// The file holds exactly the tensors that the release declares.
pub fn outputs(released: &Released) -> std::result::Result<(), String> {
    let release = &released.checked.release.value;
    let declared = release.outputs.iter();
    let mut declared: Vec<_> =
        declared.map(|o| (o.name.clone(), o.dtype.clone(), o.shape.clone())).collect();
    declared.sort();
    if declared == released.tensors.outputs {
        return Ok(());
    }
    Err(format!("release {}: the file holds other tensors than were declared", release.number))
}
