//! Parquet with columns at the top level.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, cast::AsArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef};
use cloister_protocol::dataset::{Column, ColumnType};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};

use super::{Description, batch_rows, data_type, expected, places, schema, wrong};
use crate::error::{Context, Error, Result};

pub(super) struct ParquetTable {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    columns: Vec<Column>,
    schema: SchemaRef,
    row: u64,
    rows: u64,
    /// Where the progress bar looks, and the file's length in its units.
    position: Arc<AtomicU64>,
    length: u64,
}

impl ParquetTable {
    pub(super) fn open(
        path: &Path,
        file: File,
        position: Arc<AtomicU64>,
        description: &Description,
    ) -> Result<Self> {
        let length = file.metadata().with_path(path)?.len();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).with_path(path)?;
        let fields = builder.schema().fields();
        let found: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let places = places(path, &found, description)?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mask = ProjectionMask::roots(builder.parquet_schema(), places);
        let columns = description.columns.clone();
        let reader = builder
            .with_projection(mask)
            .with_batch_size(batch_rows(columns.len()))
            .build()
            .with_path(path)?;
        let schema = schema(&columns);
        let path = path.to_owned();
        Ok(Self { path, reader, columns, schema, row: 0, rows, position, length })
    }

    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.reader.next() else { return Ok(None) };
        // The reader's own words could hold values.
        let batch = batch.map_err(|_| {
            let (path, row) = (self.path.display(), self.row);
            Error::failed(format!("{path}: damaged Parquet somewhere after row {row}"))
        })?;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let found = batch.column_by_name(&column.name).ok_or_else(|| {
                Error::failed(format!("{}: column {:?} is gone", self.path.display(), column.name))
            })?;
            let array = convert(found, column.kind).map_err(|place| match place {
                Some(row) => {
                    let row = self.row + row as u64 + 1;
                    wrong(&self.path, row, &column.name, expected(column.kind))
                }
                None => Error::failed(format!(
                    "{}: column {:?} is {}, which does not convert to the declared type",
                    self.path.display(),
                    column.name,
                    found.data_type()
                )),
            })?;
            arrays.push(array);
        }
        self.row += batch.num_rows() as u64;
        self.position.store(share(self.length, self.row, self.rows), Ordering::Relaxed);
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).with_path(&self.path).map(Some)
    }
}

/// `length * row / rows`, without overflow.
fn share(length: u64, row: u64, rows: u64) -> u64 {
    let wide = u128::from(length) * u128::from(row) / u128::from(rows.max(1));
    u64::try_from(wide).unwrap_or(length).min(length)
}

/// The column in the declared type; else the row whose value does not fit, if any value
/// of its type could.
fn convert(found: &ArrayRef, kind: ColumnType) -> std::result::Result<ArrayRef, Option<usize>> {
    let wanted = data_type(kind);
    let text =
        matches!(found.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    // Numbers are not names, and names are not numbers: only like becomes like.
    let number = found.data_type().is_numeric() || *found.data_type() == DataType::Boolean;
    if !(if kind == ColumnType::Text { text } else { number }) {
        return Err(None);
    }
    let whole = found.data_type().is_integer() || *found.data_type() == DataType::Boolean;
    if kind == ColumnType::I64 && !whole {
        let floats = to(found, &DataType::Float64)?;
        let floats: &Float64Array = floats.as_primitive();
        let broken = |x: Option<f64>| x.is_some_and(|x| x.fract() != 0.0 || !x.is_finite());
        if let Some(row) = floats.iter().position(broken) {
            return Err(Some(row));
        }
    }
    let converted = to(found, &wanted)?;
    let lost = (0..found.len()).find(|row| found.is_valid(*row) && converted.is_null(*row));
    lost.map_or(Ok(converted), |row| Err(Some(row)))
}

/// What does not convert becomes null.
fn to(found: &ArrayRef, wanted: &DataType) -> std::result::Result<ArrayRef, Option<usize>> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(found, wanted, &options).map_err(|_| None)
}
