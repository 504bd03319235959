//! Pages of what is not a single signed object.

use cloister_protocol::{
    cbor::CborError,
    code::{CodeFile, CodeManifest, component_digest},
    dataset::{Column, DatasetManifest, FileLayout, HeaderCore, Role, Unit},
    release::{DatasetProof, Receipt},
    signed::{SignedError, Verified},
    transcript::Transcript,
};
use serde_json::{Value, json};

use super::{Found, signed};
use crate::ui::{self, Page, printable};

pub(super) fn sealed_dataset(layout: &FileLayout) -> Result<Found, SignedError> {
    let manifest = layout.manifest.open_by_anyone()?;
    let (page, claims) = dataset(&layout.header, &manifest);
    let page = Page::new().title("A sealed dataset").append(page);
    let page = page.row("body", format!("{}, sealed", ui::bytes(layout.body_length)));
    Ok(Found { kind: "sealed-dataset", page: columns(page, &layout.header), claims })
}

pub(super) fn dataset_proof(proof: &DatasetProof) -> Result<Found, SignedError> {
    let manifest = proof.manifest.open_by_anyone()?;
    let (page, claims) = dataset(&proof.header, &manifest);
    let page = Page::new().title("The public part of a sealed dataset").append(page);
    Ok(Found { kind: "dataset-proof", page: columns(page, &proof.header), claims })
}

fn dataset(header: &HeaderCore, manifest: &Verified<DatasetManifest>) -> (Page, Value) {
    let unit = match &header.unit {
        Unit::Column(name) => format!("column {}", printable(name)),
        Unit::Row => "each row".to_owned(),
    };
    let DatasetManifest { rows, units, max_rows_per_unit, .. } = manifest.value;
    let page = Page::new()
        .row("name", printable(&header.name))
        .row("population", printable(&header.population))
        .row("owner", header.owner)
        .row("broker", header.broker)
        .row("id", manifest.id)
        .row("rows", rows)
        .row("units", format!("{units}, by {unit}, at most {max_rows_per_unit} rows each"));
    let claims = json!({
        "id": manifest.id.to_string(),
        "name": header.name,
        "population": header.population,
        "unit": header.unit,
        "columns": header.columns,
        "rows": rows,
        "units": units,
        "max_rows_per_unit": max_rows_per_unit,
        "owner": header.owner.to_string(),
        "broker": header.broker.to_string(),
        "signed_by": manifest.signer.id().to_string(),
    });
    (page, claims)
}

fn columns(page: Page, header: &HeaderCore) -> Page {
    let mut page = page.blank().title("Columns");
    for column in &header.columns {
        page = page.row(printable(&column.name), describe(column));
    }
    page
}

fn describe(column: &Column) -> String {
    let role = match column.role {
        Role::Feature => "feature",
        Role::Label => "label",
        Role::Time => "time",
        Role::Event => "event",
        Role::Unit => return "the unit; code never sees it".to_owned(),
    };
    let (lower, upper, typical) = column.range();
    format!("{role}, {lower} to {upper}, typically {typical}")
}

pub(super) fn component(bytes: &[u8]) -> Result<Found, cloister_sandbox::OfferError> {
    let about = cloister_sandbox::inspect(bytes)?;
    let digest = component_digest(bytes);
    let mut page = Page::new()
        .title("A compute component, not signed")
        .row("name", format!("{}@{}", printable(&about.name), printable(&about.version)))
        .row("what it does", printable(&about.summary))
        .row("its model", printable(&about.model))
        .row("its scores", printable(&about.scores))
        .row("digest", digest)
        .row("size", ui::bytes(bytes.len() as u64));
    for p in &about.parameters {
        let range = format!("{} to {}, {} if not set", p.minimum, p.maximum, p.default);
        page = page.row(format!("parameter {}", printable(&p.name)), range);
    }
    let claims = json!({
        "name": about.name,
        "version": about.version,
        "summary": about.summary,
        "component": digest.to_hex(),
        "bytes": bytes.len(),
    });
    Ok(Found { kind: "component", page, claims })
}

pub(super) fn code(file: &CodeFile) -> Result<Found, SignedError> {
    let manifest = file.manifest.open_by_anyone()?;
    let belongs = manifest.value.check_component(&file.component).is_ok();
    let mut page = Page::new().title("Signed code: a manifest and its component");
    page = page.append(code_rows(&manifest));
    if !belongs {
        page = page.bad("The component is NOT the one that the manifest names.");
    }
    let mut claims = signed::code_claims(&manifest);
    claims["component_matches"] = json!(belongs);
    Ok(Found { kind: "code", page, claims })
}

/// What a code manifest says, line by line.
pub(super) fn code_rows(manifest: &Verified<CodeManifest>) -> Page {
    let CodeManifest { name, version, component, length, world, parameters, output, source } =
        &manifest.value;
    let source = source.as_ref().map(|source| {
        format!("{} at {}", printable(&source.repository), printable(&source.commit))
    });
    let mut page = Page::new()
        .row("name", format!("{}@{}", printable(name), printable(version)))
        .row("author", manifest.signer.id())
        .row("component", component)
        .row("size", ui::bytes(*length))
        .row("world", printable(world))
        .row("update", printable(output))
        .row_if("source", source)
        .row("id", manifest.id);
    for p in parameters {
        let range = format!("{} to {}, {} if not set", p.lower, p.upper, p.default);
        page = page.row(format!("parameter {}", printable(&p.name)), range);
    }
    page
}

/// Why the parts of a receipt cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiptPart {
    #[error("{0}")]
    Signed(#[from] SignedError),
    #[error("{0}")]
    Transcript(#[from] cloister_protocol::transcript::TranscriptError),
    #[error("{0}")]
    Cbor(#[from] CborError),
}

pub(super) fn receipt(receipt: &Receipt) -> Result<Found, ReceiptPart> {
    let release = receipt.release.open_by_anyone()?;
    let job = receipt.job.open_by_anyone()?;
    let code = receipt.code.open_by_anyone()?;
    let (_, transcript) = Transcript::from_bytes(&receipt.transcript)?;
    let mut page = Page::new()
        .title("A receipt: a release and everything it rests on")
        .row("release", format!("{} of {}", release.value.number + 1, release.value.of))
        .row("job", job.id)
        .row("purpose", printable(&job.value.purpose))
        .row("code", format!("{}@{}", printable(&code.value.name), printable(&code.value.version)))
        .row("transcript", transcript)
        .row("cost", format!("{} pico-rho of zCDP", release.value.cost))
        .row("divisor", format!("{} units", release.value.divisor));
    for output in &release.value.outputs {
        let shape = format!("{} {:?}", printable(&output.dtype), output.shape);
        page = page.row(format!("tensor {}", printable(&output.name)), shape);
    }
    for proof in &receipt.datasets {
        let (name, owner) = (printable(&proof.header.name), proof.header.owner);
        page = page.row(format!("dataset {name}"), format!("of owner {owner}"));
    }
    let claims = json!({
        "number": release.value.number,
        "of": release.value.of,
        "job": job.id.to_string(),
        "code": code.id.to_string(),
        "transcript": transcript.to_string(),
        "cost_pico_rho": release.value.cost,
        "units": release.value.divisor,
        "datasets": receipt.datasets.iter().map(|p| &p.header.name).collect::<Vec<_>>(),
        "evidence_bytes": receipt.evidence.len(),
    });
    Ok(Found { kind: "receipt", page, claims })
}
