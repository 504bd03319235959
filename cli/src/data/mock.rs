//! `cloister data mock`: synthetic rows, to try things out without anybody's data.

use std::path::PathBuf;

use clap::Args;
use cloister_protocol::dataset::{Column, ColumnType, Role};
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_json::json;

use super::Description;
use crate::{
    error::{Context, Error, Result},
    files::Draft,
    interrupt,
    ui::{Page, Report},
};

/// Make synthetic rows from the bounds that a description declares
///
/// Nothing about real rows goes in: values lie around the typical one, within the
/// bounds, and columns are independent. Good for trying a trainer or a set-up.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister data mock --dataset dataset.toml --rows 200 -o mock.csv")]
pub struct Mock {
    /// The description: columns, roles, bounds
    #[arg(long, value_name = "TOML")]
    dataset: PathBuf,
    /// How many rows; each is another unit
    #[arg(long, value_name = "N")]
    rows: u64,
    /// The same seed gives the same rows
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The CSV to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the CSV if it is there already
    #[arg(long)]
    force: bool,
}

impl Mock {
    /// Writes the rows.
    pub fn run(&self) -> Result<Report> {
        let Self { dataset, rows, seed, output, force } = self;
        if *rows == 0 {
            return Err(Error::usage("--rows 0: ask for at least one row"));
        }
        let description = Description::read(dataset)?;
        let interrupted = interrupt::Flag::listen()?;
        let draft = Draft::begin(output, &[dataset], *force)?;
        let mut csv = csv::Writer::from_writer(draft);
        let names = description.columns.iter().map(|column| &column.name);
        csv.write_record(names).with_path(output)?;
        let mut random = ChaCha12Rng::seed_from_u64(*seed);
        for row in 1..=*rows {
            interrupted.check()?;
            let values = description.columns.iter().map(|c| value(c, row, &mut random));
            csv.write_record(values).with_path(output)?;
        }
        let file = csv.into_inner().with_path(output)?;
        file.commit()?;
        let page = Page::new().good(format!("{rows} synthetic rows in {}", output.display()));
        Ok(Report::done(page, json!({ "file": output, "rows": rows, "seed": seed })))
    }
}

fn value(column: &Column, row: u64, random: &mut impl Rng) -> String {
    if column.role == Role::Unit {
        return match column.kind {
            ColumnType::Text => format!("MOCK-{row:06}"),
            ColumnType::I64 | ColumnType::F64 => row.to_string(),
        };
    }
    let (lower, upper, typical) = column.range();
    let value = match column.role {
        // Spread like a bell around the typical value, one tenth of the range wide.
        Role::Feature => typical + bell(random) * (upper - lower) / 10.0,
        _ => lower + uniform(random) * (upper - lower),
    };
    let value = if column.kind == ColumnType::I64 {
        value.round().clamp(lower.ceil(), upper.floor())
    } else {
        value.clamp(lower, upper)
    };
    value.to_string()
}

/// From 0 to below 1.
fn uniform(random: &mut impl Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// About the normal distribution: a sum of twelve uniform ones.
fn bell(random: &mut impl Rng) -> f64 {
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}
