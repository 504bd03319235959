//! Counting distinct units without keeping their ids.
//!
//! One 16-byte keyed hash and a count for each unit: about 50 bytes a unit. Two units
//! of a billion share a hash with a chance of one in 10^21; the enclave counts exactly,
//! and would refuse such a dataset.

use std::collections::HashMap;

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray, types};
use cloister_protocol::dataset::{Column, ColumnType, Unit};

/// The units seen so far.
pub struct UnitCounter {
    /// The place of the unit's column; none when each row is a unit.
    column: Option<usize>,
    kind: ColumnType,
    key: [u8; 32],
    rows_of: HashMap<u128, u64>,
    rows: u64,
}

/// What was counted. Rows and units are public; the largest unit is not, and is only
/// compared with the bound that the owner declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Distinct units.
    pub units: u64,
    /// Rows of the unit that has most.
    pub largest: u64,
}

impl UnitCounter {
    /// `key` is random: whoever made the table cannot make hashes collide.
    pub fn new(unit: &Unit, columns: &[Column], key: [u8; 32]) -> Self {
        let column = match unit {
            Unit::Row => None,
            Unit::Column(name) => columns.iter().position(|column| column.name == *name),
        };
        let kind = column.map_or(ColumnType::Text, |place| columns[place].kind);
        Self { column, kind, key, rows_of: HashMap::new(), rows: 0 }
    }

    /// Counts the rows of a checked batch.
    pub fn batch(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        if let Some(place) = self.column {
            let ids = batch.column(place);
            for row in 0..ids.len() {
                let hash = self.hash(ids, row);
                *self.rows_of.entry(hash).or_default() += 1;
            }
        }
    }

    /// The counts of all batches.
    pub fn counts(&self) -> Counts {
        let rows = self.rows;
        match self.column {
            None => Counts { rows, units: rows, largest: rows.min(1) },
            Some(_) => Counts {
                rows,
                units: self.rows_of.len() as u64,
                largest: self.rows_of.values().copied().max().unwrap_or(0),
            },
        }
    }

    fn hash(&self, ids: &ArrayRef, row: usize) -> u128 {
        let hash = match self.kind {
            ColumnType::Text => {
                blake3::keyed_hash(&self.key, ids.as_string::<i32>().value(row).as_bytes())
            }
            ColumnType::I64 => {
                let id = ids.as_primitive::<types::Int64Type>().value(row);
                blake3::keyed_hash(&self.key, &id.to_le_bytes())
            }
            // As the enclave compares them: minus zero is zero.
            ColumnType::F64 => {
                let id = ids.as_primitive::<types::Float64Type>().value(row) + 0.0;
                blake3::keyed_hash(&self.key, &id.to_le_bytes())
            }
        };
        let mut half = [0; 16];
        half.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_le_bytes(half)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn units_are_counted_over_batches() {
        let columns = crate::data::describe::tests::description().columns;
        let mut counter = UnitCounter::new(&Unit::Column("id".into()), &columns[..1], [1; 32]);
        let mut rows = UnitCounter::new(&Unit::Row, &[], [1; 32]);
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
        for ids in [vec!["a", "b", "a"], vec!["a", "c"]] {
            let ids = Arc::new(StringArray::from(ids));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![ids]).unwrap();
            counter.batch(&batch);
            rows.batch(&batch);
        }
        assert_eq!(counter.counts(), Counts { rows: 5, units: 3, largest: 3 });
        assert_eq!(rows.counts(), Counts { rows: 5, units: 5, largest: 1 });
    }

    #[test]
    fn minus_zero_is_zero() {
        let mut columns = crate::data::describe::tests::description().columns;
        columns[0].kind = ColumnType::F64;
        let mut counter = UnitCounter::new(&Unit::Column("id".into()), &columns[..1], [1; 32]);
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Float64, true)]));
        let ids = Arc::new(Float64Array::from(vec![0.0, -0.0, 1.0]));
        counter.batch(&RecordBatch::try_new(schema, vec![ids]).unwrap());
        assert_eq!(counter.counts().units, 2);
    }
}
