//! Receipts and their tensors from the disk, each checked against itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cloister_protocol::{
    limits,
    release::{CheckedReceipt, Receipt, ReceiptError},
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

/// A receipt that does not hold together, or whose tensors are not those released.
pub struct Damaged {
    /// The receipt's file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

/// What was given on the command line.
pub struct Given {
    /// The receipts, in order and each once.
    pub receipts: Vec<PathBuf>,
    /// The folders that were given as such.
    pub folders: Vec<PathBuf>,
}

/// The receipts among these files and folders.
pub fn given(files: &[PathBuf]) -> Result<Given> {
    let (mut receipts, mut folders) = (Vec::new(), Vec::new());
    for path in files {
        if path.is_dir() {
            let before = receipts.len();
            receipts.extend(entries(path)?.into_iter().filter(|path| is_receipt(path)));
            if receipts.len() == before {
                let path = path.display();
                return Err(Error::usage(format!("{path}: no .receipt in this folder")));
            }
            folders.push(path.clone());
        } else if is_receipt(path) {
            std::fs::metadata(path).with_path(path)?;
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
    folders.dedup();
    Ok(Given { receipts, folders })
}

/// What is in a folder, in order.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).with_path(folder)? {
        entries.push(entry.with_path(folder)?.path());
    }
    entries.sort();
    Ok(entries)
}

/// Whether a file is called one.
pub fn is_receipt(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "receipt")
}

/// Reads and checks receipts, and puts those of one transcript together. One that is
/// damaged says nothing about the others.
pub fn by_transcript(paths: Vec<PathBuf>) -> (Vec<Vec<Released>>, Vec<Damaged>) {
    let mut groups = BTreeMap::<_, Vec<Released>>::new();
    let mut damaged = Vec::new();
    for path in paths {
        match read(&path) {
            Ok(released) => {
                groups.entry(released.checked.transcript_id).or_default().push(released);
            }
            Err(error) => damaged.push(Damaged { path, why: error.to_string() }),
        }
    }
    (groups.into_values().collect(), damaged)
}

fn read(path: &Path) -> Result<Released> {
    let bytes = files::read(path, limits::RECEIPT as u64)?;
    let file = files::read(&path.with_extension("safetensors"), limits::TENSORS)?;
    let refused = |error: ReceiptError| Error::failed(format!("{error} [{}]", error.code()));
    let receipt = Receipt::from_bytes(&bytes).map_err(|error| refused(error.into()))?;
    let checked = receipt.check(&file).map_err(refused)?;
    let tensors = Tensors::read(&file).map_err(Error::failed)?;
    Ok(Released { path: path.to_owned(), receipt, checked, tensors })
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
