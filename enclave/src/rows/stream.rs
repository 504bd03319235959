//! An Arrow IPC stream whose columns are a header's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::{DataType, Schema};
use cloister_protocol::dataset::{Column, ColumnType, HeaderCore, Role};

use super::RowsError;

/// Whether the unit's column has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitColumn {
    /// In a dataset.
    Required,
    /// In a public set.
    Optional,
}

/// All record batches, as views into `bytes`.
///
/// Arrow's reader answers some malformed streams with a panic, which is a refusal here like
/// its errors. Nothing of it is used afterwards, so no broken invariant is met.
pub(super) fn batches(
    bytes: Buffer,
    header: &HeaderCore,
    unit: UnitColumn,
) -> Result<Vec<RecordBatch>, RowsError> {
    catch_unwind(AssertUnwindSafe(|| decode(bytes, header, unit))).unwrap_or(Err(RowsError::Stream))
}

fn decode(
    mut bytes: Buffer,
    header: &HeaderCore,
    unit: UnitColumn,
) -> Result<Vec<RecordBatch>, RowsError> {
    // Without alignment arrow would copy, and the copy would not be erased.
    let mut decoder = StreamDecoder::new().with_require_alignment(true);
    let mut batches = Vec::new();
    let mut checked = false;
    while !bytes.is_empty() {
        let batch = decoder.decode(&mut bytes).map_err(|_| RowsError::Stream)?;
        if !checked && let Some(schema) = decoder.schema() {
            check(&schema, header, unit)?;
            checked = true;
        }
        batches.extend(batch);
    }
    decoder.finish().map_err(|_| RowsError::Stream)?;
    if checked { Ok(batches) } else { Err(RowsError::Stream) }
}

fn check(schema: &Schema, header: &HeaderCore, unit: UnitColumn) -> Result<(), RowsError> {
    let fields = schema.fields();
    let expected = |with_unit: bool| {
        let columns = header.columns.iter().filter(move |c| with_unit || c.role != Role::Unit);
        columns.map(|column| (column.name.as_str(), data_type(column)))
    };
    let found = || fields.iter().map(|field| (field.name().as_str(), field.data_type().clone()));
    let without = unit == UnitColumn::Optional && found().eq(expected(false));
    if without || found().eq(expected(true)) { Ok(()) } else { Err(RowsError::Columns) }
}

fn data_type(column: &Column) -> DataType {
    match column.kind {
        ColumnType::F64 => DataType::Float64,
        ColumnType::I64 => DataType::Int64,
        ColumnType::Text => DataType::Utf8,
    }
}

/// A numeric column of one batch.
pub(super) enum Numbers<'a> {
    F64(&'a Float64Array),
    I64(&'a Int64Array),
}

impl<'a> Numbers<'a> {
    /// The batch's column of this name; [`check`] has seen its type.
    pub(super) fn of(batch: &'a RecordBatch, name: &str) -> Result<Self, RowsError> {
        let array = batch.column_by_name(name).ok_or(RowsError::Columns)?.as_any();
        if let Some(array) = array.downcast_ref() {
            return Ok(Self::F64(array));
        }
        array.downcast_ref().map(Self::I64).ok_or(RowsError::Columns)
    }

    /// The value in a row, or nothing for a null.
    pub(super) fn get(&self, row: usize) -> Option<f64> {
        match self {
            Self::F64(array) => array.is_valid(row).then(|| array.value(row)),
            Self::I64(array) => array.is_valid(row).then(|| array.value(row) as f64),
        }
    }
}
