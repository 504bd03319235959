//! Every value against what was declared: bounds, and which values may be missing.

use std::{path::Path, sync::Arc};

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, cast::AsArray, types};
use cloister_protocol::dataset::{Column, ColumnType, Role};

use crate::error::{Context, Error, Result};

/// What happens to a value outside its public bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// The table is refused.
    Refuse,
    /// The value becomes the bound that it exceeds.
    Clamp,
}

/// Checks the values of a table, batch by batch.
pub struct Checker<'a> {
    path: &'a Path,
    columns: &'a [Column],
    outside: Outside,
    rows: u64,
    /// Values that were moved to a bound.
    pub clamped: u64,
    /// Features that had no value.
    pub missing: u64,
}

impl<'a> Checker<'a> {
    /// Begins with the first row.
    pub fn new(path: &'a Path, columns: &'a [Column], outside: Outside) -> Self {
        Self { path, columns, outside, rows: 0, clamped: 0, missing: 0 }
    }

    /// Checks the next batch and returns what is to be kept of it: values within their
    /// bounds, and nulls in features alone.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, array) in self.columns.iter().zip(batch.columns()) {
            arrays.push(match (column.role, column.kind) {
                (Role::Unit, _) => self.unit(column, array)?,
                (_, ColumnType::I64) => self.integers(column, array)?,
                (..) => self.floats(column, array)?,
            });
        }
        self.rows += batch.num_rows() as u64;
        RecordBatch::try_new(batch.schema(), arrays).with_path(self.path)
    }

    fn unit(&self, column: &Column, array: &ArrayRef) -> Result<ArrayRef> {
        let missing = |row: &usize| {
            let nan = array.as_primitive_opt::<types::Float64Type>();
            array.is_null(*row) || nan.is_some_and(|values| values.value(*row).is_nan())
        };
        match (0..array.len()).find(missing) {
            None => Ok(Arc::clone(array)),
            Some(row) => Err(self.wrong(
                row,
                column,
                "no unit id: a row must say whose it is; leave it out of the table",
            )),
        }
    }

    fn floats(&mut self, column: &Column, array: &ArrayRef) -> Result<ArrayRef> {
        let (lower, upper, _) = column.range();
        let values: &Float64Array = array.as_primitive();
        let mut kept = Vec::with_capacity(values.len());
        for (row, value) in values.iter().enumerate() {
            kept.push(match value.filter(|x| !x.is_nan()) {
                Some(x) if (lower..=upper).contains(&x) => Some(x),
                Some(x) => {
                    self.outside(row, column)?;
                    Some(x.clamp(lower, upper))
                }
                None => self.missing(row, column)?,
            });
        }
        Ok(Arc::new(Float64Array::from(kept)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a bound of i64 values, rounded inward")]
    fn integers(&mut self, column: &Column, array: &ArrayRef) -> Result<ArrayRef> {
        let (lower, upper, _) = column.range();
        let (lower, upper) = (lower.ceil() as i64, upper.floor() as i64);
        if lower > upper {
            let path = self.path.display();
            return Err(Error::failed(format!(
                "{path}: no whole number lies within the bounds of column {:?}",
                column.name
            )));
        }
        let values: &Int64Array = array.as_primitive();
        let mut kept = Vec::with_capacity(values.len());
        for (row, value) in values.iter().enumerate() {
            kept.push(match value {
                Some(x) if (lower..=upper).contains(&x) => Some(x),
                Some(x) => {
                    self.outside(row, column)?;
                    Some(x.clamp(lower, upper))
                }
                None => self.missing(row, column)?,
            });
        }
        Ok(Arc::new(Int64Array::from(kept)))
    }

    fn outside(&mut self, row: usize, column: &Column) -> Result<()> {
        if self.outside == Outside::Refuse {
            let (lower, upper, _) = column.range();
            let complaint = format!(
                "outside the public bounds {lower} to {upper}: correct the table or the bounds, \
                 or accept it with --clamp"
            );
            return Err(self.wrong(row, column, &complaint));
        }
        self.clamped += 1;
        Ok(())
    }

    fn missing<T>(&mut self, row: usize, column: &Column) -> Result<Option<T>> {
        if column.role != Role::Feature {
            return Err(self.wrong(row, column, "no value: only features may be empty"));
        }
        self.missing += 1;
        Ok(None)
    }

    fn wrong(&self, row: usize, column: &Column, complaint: &str) -> Error {
        let (path, row) = (self.path.display(), self.rows + row as u64 + 1);
        Error::failed(format!("{path}: row {row}, column {:?}: {complaint}", column.name))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::StringArray;

    use super::*;
    use crate::data::{describe::tests::description, table::schema};

    fn check(
        outside: Outside,
        ids: Vec<Option<&str>>,
        sizes: Vec<Option<f64>>,
        sick: Vec<Option<i64>>,
    ) -> Result<(RecordBatch, u64, u64)> {
        let columns = description().columns;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(ids)),
            Arc::new(Float64Array::from(sizes)),
            Arc::new(Int64Array::from(sick)),
        ];
        let batch = RecordBatch::try_new(schema(&columns), arrays).unwrap();
        let mut checker = Checker::new(Path::new("t.csv"), &columns, outside);
        let kept = checker.batch(&batch)?;
        Ok((kept, checker.clamped, checker.missing))
    }

    #[test]
    fn values_within_bounds_pass_and_missing_features_are_counted() {
        let (kept, clamped, missing) = check(
            Outside::Refuse,
            vec![Some("a"), Some("b")],
            vec![Some(10.0), Some(f64::NAN)],
            vec![Some(0), Some(1)],
        )
        .unwrap();
        assert_eq!((kept.num_rows(), clamped, missing), (2, 0, 1));
        assert!(kept.column(1).is_null(1));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        let refused = |ids, sizes, sick| {
            let error = check(Outside::Refuse, ids, sizes, sick).unwrap_err().to_string();
            assert!(!error.contains("12.75") && !error.contains('7'), "{error}");
            error
        };
        let error =
            refused(vec![Some("a"), Some("b")], vec![Some(1.0), Some(12.75)], vec![Some(0); 2]);
        assert!(error.contains("row 2, column \"size\": outside the public bounds 0 to 10"));
        let error = refused(vec![Some("a")], vec![Some(f64::INFINITY)], vec![Some(0)]);
        assert!(error.contains("outside the public bounds"));
        let error = refused(vec![Some("a")], vec![Some(1.0)], vec![Some(7)]);
        assert!(error.contains("column \"sick\": outside"));
        let error = refused(vec![Some("a")], vec![Some(1.0)], vec![None]);
        assert!(error.contains("column \"sick\": no value"));
        let error = refused(vec![None], vec![Some(1.0)], vec![Some(0)]);
        assert!(error.contains("row 1, column \"id\": no unit id"));
    }

    #[test]
    fn clamping_is_chosen_and_counted() {
        let (kept, clamped, _) = check(
            Outside::Clamp,
            vec![Some("a"), Some("a")],
            vec![Some(-1.0), Some(f64::INFINITY)],
            vec![Some(9), Some(0)],
        )
        .unwrap();
        assert_eq!(clamped, 3);
        let sizes: &Float64Array = kept.column(1).as_primitive();
        assert_eq!(sizes.values(), &[0.0, 10.0]);
        let sick: &Int64Array = kept.column(2).as_primitive();
        assert_eq!(sick.values(), &[1, 0]);
    }
}
