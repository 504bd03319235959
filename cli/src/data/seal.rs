//! `cloister data seal`: a table becomes a file that only an approved enclave can open.

use std::path::PathBuf;

use clap::Args;
use cloister_protocol::{
    Signed,
    dataset::{DataKey, DatasetManifest, HeaderCore, Unit, write_prefix, write_suffix},
    release::DatasetProof,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Description,
    check::Outside,
    sealer::SealingWriter,
    stream::{Streamed, random, stream},
};
use crate::{
    error::{Context, Result},
    files::Draft,
    home::OwnerHome,
    interrupt,
    ui::{self, Page, Report, Ui},
};

/// Seal a table for a host that must not read it
///
/// Reads CSV or Parquet and checks every value against the description: types, public
/// bounds, unit ids. Nothing is inferred from the rows. The sealed file shows its
/// schema, its origin and its numbers of rows and units, and nothing else.
///
/// The table is never held as a whole: a few thousand rows at a time (for Parquet, the
/// pages of one row group that they come from), and about 50 bytes for each distinct unit.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister data seal patients.csv --dataset dataset.toml --home hospital-a
  cloister data seal patients.parquet --dataset dataset.toml --home hospital-a --clamp -o a.sealed")]
pub struct Seal {
    /// The table, .csv or .parquet
    table: PathBuf,
    /// The description: columns, roles, bounds
    #[arg(long, value_name = "TOML")]
    dataset: PathBuf,
    /// The owner's home, which gets the key
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// The sealed file [default: the table's name with .sealed]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the sealed file if it is there already
    #[arg(long)]
    force: bool,
    /// Move values outside the public bounds to the bound instead of refusing them
    #[arg(long)]
    clamp: bool,
}

impl Seal {
    /// Seals the table.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        let output = self.output.clone().unwrap_or_else(|| self.table.with_extension("sealed"));
        let home = OwnerHome::open(&self.home)?;
        let description = Description::read(&self.dataset)?;
        let header = description.header(random()?, home.key.id(), home.broker, home.population()?);
        header.validate().with_path(&self.dataset)?;

        // 1. Header and body stream to a file that has no name yet.
        let key = DataKey::from_bytes(&Zeroizing::new(random::<32>()?));
        let interrupted = interrupt::Flag::listen()?;
        let mut file = Draft::begin(&output, &[&self.table, &self.dataset], self.force)?;
        write_prefix(&mut file, &header).with_path(&output)?;
        let body = SealingWriter::new(file, &key, &random()?, &header.digest());
        let body = body.with_path(&output)?;
        let outside = if self.clamp { Outside::Clamp } else { Outside::Refuse };
        let bar = ui.bar(0, "sealing");
        let go_on = || interrupted.check();
        let (body, streamed) = stream(&self.table, &description, outside, &bar, go_on, body)?;
        bar.finish_and_clear();
        let (mut file, length, hash) = body.finish().with_path(&output)?;

        // 2. The owner signs what was written.
        let counts = streamed.counts;
        let manifest = DatasetManifest {
            header: header.digest(),
            length,
            rows: counts.rows,
            units: counts.units,
            max_rows_per_unit: description.max_rows_per_unit.into(),
            body: hash,
        };
        let signed = Signed::sign(&manifest, &home.key).doing("cannot sign the manifest")?;
        write_suffix(&mut file, &signed).with_path(&output)?;

        interrupted.check()?;

        // 3. The key is safe in the home before the file gets its name.
        let id = home.keep(&key, &DatasetProof { header: header.clone(), manifest: signed })?;
        file.commit()?;
        let json = json!({
            "file": output,
            "id": id.to_string(),
            "name": header.name,
            "population": header.population,
            "rows": counts.rows,
            "units": counts.units,
            "max_rows_per_unit": description.max_rows_per_unit,
            "clamped": streamed.clamped,
            "missing": streamed.missing,
            "middle_of_bounds": without_typical(&header),
            "sealed_bytes": length,
        });
        let next = format!(
            "cloister data push {} --home {} --host HOST",
            output.display(),
            self.home.display()
        );
        let page = summary(&header, description.max_rows_per_unit, &streamed)
            .row("sealed", format!("{} in {}", ui::bytes(length), output.display()))
            .row("id", id.digest().short())
            .next(next);
        Ok(Report::done(page, json))
    }
}

fn summary(header: &HeaderCore, most: u32, streamed: &Streamed) -> Page {
    let Streamed { counts, clamped, missing } = streamed;
    let unit = match &header.unit {
        Unit::Column(column) => format!("one {column}, of {most} rows at most"),
        Unit::Row => "one row".to_owned(),
    };
    let middle = without_typical(header);
    let middle = (!middle.is_empty()).then(|| {
        let names: Vec<_> = middle.into_iter().map(ui::printable).collect();
        format!("the middle of the bounds, for want of `typical`: {}", names.join(", "))
    });
    let (features, targets) = (header.features().count(), header.targets().count());
    Page::new()
        .good(format!("Sealed {}", ui::printable(&header.name)))
        .row("population", ui::printable(&header.population))
        .row("rows", counts.rows)
        .row("units", format!("{} ({unit})", counts.units))
        .row("columns", format!("{features} features, {targets} to be predicted"))
        .row_if("no value is", middle)
        .row_if("clamped", (*clamped > 0).then(|| format!("{clamped} values to their bounds")))
        .row_if("empty", (*missing > 0).then(|| format!("{missing} features without a value")))
}

/// Features whose missing values count as the middle of their bounds, because the
/// description has no typical value. Rows are never asked.
fn without_typical(header: &HeaderCore) -> Vec<&str> {
    let without = header.features().filter(|column| column.typical.is_none());
    without.map(|column| column.name.as_str()).collect()
}
