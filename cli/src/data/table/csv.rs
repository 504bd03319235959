//! CSV with a header line.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{Float64Builder, Int64Builder, StringBuilder},
};
use arrow_schema::SchemaRef;
use cloister_protocol::dataset::{Column, ColumnType};

use super::{Counted, Description, batch_rows, expected, places, schema, wrong};
use crate::error::{Context, Error, Result};

pub(super) struct CsvTable {
    path: PathBuf,
    reader: csv::Reader<Counted>,
    columns: Vec<Column>,
    places: Vec<usize>,
    schema: SchemaRef,
    row: u64,
}

impl CsvTable {
    pub(super) fn open(path: &Path, file: Counted, description: &Description) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(file);
        let header = reader.headers().map_err(|error| complaint(path, &error))?;
        let found: Vec<String> = header.iter().map(str::to_owned).collect();
        let places = places(path, &found, description)?;
        let columns = description.columns.clone();
        let schema = schema(&columns);
        Ok(Self { path: path.to_owned(), reader, columns, places, schema, row: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders: Vec<_> = self.columns.iter().map(|c| Builder::new(c.kind)).collect();
        let mut record = csv::StringRecord::new();
        let mut rows = 0;
        while rows < batch_rows(self.columns.len()) {
            let more = self.reader.read_record(&mut record);
            if !more.map_err(|error| complaint(&self.path, &error))? {
                break;
            }
            rows += 1;
            self.row += 1;
            for ((builder, column), place) in
                builders.iter_mut().zip(&self.columns).zip(&self.places)
            {
                let text = record.get(*place).unwrap_or_default();
                builder.push(text).ok_or_else(|| {
                    wrong(&self.path, self.row, &column.name, expected(column.kind))
                })?;
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays = builders.into_iter().map(Builder::finish).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).with_path(&self.path).map(Some)
    }
}

enum Builder {
    F64(Float64Builder),
    I64(Int64Builder),
    Text(StringBuilder),
}

impl Builder {
    fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::F64 => Self::F64(Float64Builder::new()),
            ColumnType::I64 => Self::I64(Int64Builder::new()),
            ColumnType::Text => Self::Text(StringBuilder::new()),
        }
    }

    /// Takes one field, an empty one as null; nothing if it has another type.
    fn push(&mut self, text: &str) -> Option<()> {
        match self {
            Self::Text(builder) if text.is_empty() => builder.append_null(),
            Self::Text(builder) => builder.append_value(text),
            Self::F64(builder) if text.trim().is_empty() => builder.append_null(),
            Self::F64(builder) => builder.append_value(text.trim().parse().ok()?),
            Self::I64(builder) if text.trim().is_empty() => builder.append_null(),
            Self::I64(builder) => builder.append_value(text.trim().parse().ok()?),
        }
        Some(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::F64(mut builder) => Arc::new(builder.finish()),
            Self::I64(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
        }
    }
}

/// The reader's complaint in our words: its own may show what is in the file.
fn complaint(path: &Path, error: &csv::Error) -> Error {
    let path = path.display();
    let line = error.position().map_or(String::new(), |at| format!(", line {}", at.line()));
    let why = match error.kind() {
        csv::ErrorKind::Io(error) => format!("cannot be read: {error}"),
        csv::ErrorKind::Utf8 { .. } => "not UTF-8: convert the file".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields, where the header has {expected_len}")
        }
        _ => "not CSV".to_owned(),
    };
    Error::failed(format!("{path}{line}: {why}"))
}
