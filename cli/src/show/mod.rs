//! `cloister show`: what a file is, and what it claims.

mod evidence;
mod kept;
mod page;
mod signed;
mod tensors;
mod texts;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use cloister_protocol::{
    cbor,
    code::CodeFile,
    dataset::{FILE_MAGIC, FileLayout},
    limits,
    release::{DatasetProof, Receipt},
    signed::claimed_kind,
};
use serde_json::{Value, json};

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{Page, Report, Ui},
};

/// Say what a file is and what it claims; nothing is verified
///
/// Knows attestation documents and reports, sealed datasets and their proofs, everything signed (policies, approvals, jobs,
/// enrolments, grants, logs of them), code, components, receipts, tensors, measurements, the TOML files
/// that people write, and what programs keep: keys, certificates, ledgers, queues.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister show patients.sealed
  cloister show release-000.receipt --json")]
pub struct Show {
    /// The file
    file: PathBuf,
}

/// What a file was found to be.
struct Found {
    /// In a word, for machines.
    kind: &'static str,
    page: Page,
    claims: Value,
}

impl Show {
    /// Shows the file.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        let Found { kind, page, claims } = find(&self.file)?;
        if ui.json {
            let json =
                json!({ "file": self.file, "kind": kind, "verified": false, "claims": claims });
            return Ok(Report::done(Page::new(), json));
        }
        let page = page.blank().loud(
            "This is what the file says. Nothing has been verified yet: not whose the keys are, \
             and not whether it is true.",
        );
        Ok(Report::done(page, claims))
    }
}

/// Recognises a file by its contents, never by its name.
fn find(path: &Path) -> Result<Found> {
    let mut start = Vec::new();
    let file = files::open(path)?;
    file.take(64).read_to_end(&mut start).with_path(path)?;
    if start.starts_with(FILE_MAGIC) {
        let layout = FileLayout::read(files::open(path)?).with_path(path)?;
        return page::sealed_dataset(&layout).with_path(path);
    }
    let bytes = files::read(path, limits::TENSORS)?;
    if let Some(kind) = claimed_kind(&bytes) {
        return signed::signed(&kind, bytes).with_path(path);
    }
    if start.starts_with(b"\0asm") {
        return page::component(&bytes).with_path(path);
    }
    if let Some(found) = tensors::tensors(&bytes) {
        return Ok(found);
    }
    if let Some(found) = evidence::evidence(&bytes) {
        return Ok(found);
    }
    // CBOR maps of ours say in their first key what they are; texts never begin like that.
    if let Ok(receipt) = Receipt::from_bytes(&bytes) {
        return page::receipt(&receipt).with_path(path);
    }
    if let Ok(file) = CodeFile::from_bytes(&bytes) {
        return page::code(&file).with_path(path);
    }
    if let Ok(proof) = cbor::decode::<DatasetProof>(&bytes, 2 * limits::SIGNED_OBJECT) {
        return page::dataset_proof(&proof).with_path(path);
    }
    if let Some(found) = std::str::from_utf8(&bytes).ok().and_then(texts::text) {
        return Ok(found);
    }
    // After the texts: a certificate may be in one of them.
    if let Some(found) = kept::kept(&bytes) {
        return Ok(found);
    }
    Err(Error::failed(format!(
        "{}: not a file of Cloister's, or damaged at its beginning",
        path.display()
    )))
}
