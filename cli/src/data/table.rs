//! Tables as people have them, CSV or Parquet, read in batches of the declared types.
//!
//! A message about a value names its row and column, and never shows it.

mod csv;
mod parquet;

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use cloister_protocol::dataset::{Column, ColumnType};

use super::Description;
use crate::{
    error::{Context, Error, Result},
    files,
};

/// Values of one batch: 2 MiB as numbers, however many columns there are.
const BATCH_VALUES: usize = 1 << 18;

/// A table that is being read.
pub struct Table {
    reader: Reader,
    /// Bytes of the file.
    pub length: u64,
    /// Bytes of the file that were read; only roughly, for a progress bar.
    pub position: Arc<AtomicU64>,
}

enum Reader {
    Csv(csv::CsvTable),
    Parquet(parquet::ParquetTable),
}

impl Table {
    /// Opens a table and compares its columns with the description's: each column is
    /// either described or ignored.
    pub fn open(path: &Path, description: &Description) -> Result<Self> {
        let file = files::open(path)?;
        let length = file.metadata().with_path(path)?.len();
        let position = Arc::new(AtomicU64::new(0));
        let extension = path.extension().and_then(|extension| extension.to_str());
        let reader = match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => {
                let counted = Counted { file, position: Arc::clone(&position) };
                Reader::Csv(csv::CsvTable::open(path, counted, description)?)
            }
            Some("parquet") => {
                let position = Arc::clone(&position);
                Reader::Parquet(parquet::ParquetTable::open(path, file, position, description)?)
            }
            _ => {
                let path = path.display();
                return Err(Error::usage(format!(
                    "{path}: a table is a .csv or .parquet file; rename or convert it"
                )));
            }
        };
        Ok(Self { reader, length, position })
    }

    /// The next rows, if there are any, with exactly the described columns.
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        match &mut self.reader {
            Reader::Csv(table) => table.next(),
            Reader::Parquet(table) => table.next(),
        }
    }
}

/// The Arrow schema of described columns; that of the plaintext.
pub fn schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, data_type(column.kind), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::F64 => DataType::Float64,
        ColumnType::I64 => DataType::Int64,
        ColumnType::Text => DataType::Utf8,
    }
}

/// Rows in a batch.
fn batch_rows(columns: usize) -> usize {
    (BATCH_VALUES / columns.max(1)).clamp(1, 8192)
}

/// Where each described column is among the table's `found` columns.
fn places(path: &Path, found: &[String], description: &Description) -> Result<Vec<usize>> {
    let path = path.display();
    for (index, name) in found.iter().enumerate() {
        if found[..index].contains(name) {
            return Err(Error::failed(format!("{path}: two columns are called {name:?}")));
        }
        let described = description.columns.iter().any(|column| column.name == *name);
        if !described && !description.ignore.contains(name) {
            return Err(Error::failed(format!(
                "{path}: column {name:?} is not in the description: add a [[column]] for it, or \
                 leave it out with ignore = [{name:?}]"
            )));
        }
    }
    let place = |column: &Column| {
        found.iter().position(|name| *name == column.name).ok_or_else(|| {
            let name = &column.name;
            Error::failed(format!("{path}: column {name:?} of the description is not in the table"))
        })
    };
    description.columns.iter().map(place).collect()
}

/// A complaint about a value: rows count from 1, without the header.
fn wrong(path: &Path, row: u64, column: &str, complaint: &str) -> Error {
    let path = path.display();
    Error::failed(format!("{path}: row {row}, column {column:?}: {complaint}"))
}

/// What a value had to be.
fn expected(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::F64 => "not a number; type f64 is declared",
        ColumnType::I64 => "not a whole number; type i64 is declared",
        ColumnType::Text => "not text; type text is declared",
    }
}

/// A file that counts what was read of it.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
