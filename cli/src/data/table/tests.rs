use std::{io::Write as _, path::PathBuf};

use ::parquet::arrow::ArrowWriter;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, StringArray, cast::AsArray};

use super::*;
use crate::data::describe::tests::description;

fn written(suffix: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("table.{suffix}"));
    File::create(&path).unwrap().write_all(bytes).unwrap();
    (folder, path)
}

fn all(path: &Path) -> Result<Vec<RecordBatch>> {
    let mut table = Table::open(path, &description())?;
    let mut batches = Vec::new();
    while let Some(batch) = table.next()? {
        batches.push(batch);
    }
    Ok(batches)
}

fn csv(text: &str) -> Result<Vec<RecordBatch>> {
    let (_folder, path) = written("csv", text.as_bytes());
    all(&path)
}

fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<RecordBatch>> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let (_folder, path) = written("parquet", &writer.into_inner().unwrap());
    all(&path)
}

fn ids() -> ArrayRef {
    Arc::new(StringArray::from(vec!["a", "b"]))
}

fn numbers() -> ArrayRef {
    Arc::new(Float64Array::from(vec![1.5, 2.0]))
}

#[test]
fn csv_columns_are_taken_by_name() {
    let batches = csv("note,sick,size,id\nx,1,2.5,a\ny,0,,b\n").unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].schema(), schema(&description().columns));
    let sizes: &Float64Array = batches[0].column(1).as_primitive();
    assert_eq!(sizes.iter().collect::<Vec<_>>(), [Some(2.5), None]);
}

#[test]
fn long_tables_come_in_batches() {
    let rows = batch_rows(3) + 5;
    let mut text = "id,size,sick,note\n".to_owned();
    text.extend((0..rows).map(|row| format!("u{row},1.0,0,\n")));
    let batches = csv(&text).unwrap();
    let counts: Vec<_> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(counts, [batch_rows(3), 5]);
}

#[test]
fn columns_must_be_complete_and_known() {
    let refused = |text: &str| csv(text).unwrap_err().to_string();
    let error = refused("id,size\na,1\n");
    assert!(error.contains("column \"sick\" of the description is not in the table"), "{error}");
    let error = refused("id,size,sick,age\na,1,0,3\n");
    assert!(error.contains("column \"age\" is not in the description"), "{error}");
    assert!(error.contains("ignore = [\"age\"]"), "{error}");
    let error = refused("id,size,sick,size\na,1,0,3\n");
    assert!(error.contains("two columns are called \"size\""), "{error}");
}

#[test]
fn a_wrong_value_is_named_and_not_shown() {
    for (row, column, text) in
        [(1, "size", "id,size,sick\na,secret,0\n"), (2, "sick", "id,size,sick\na,1,0\nb,1,0.25\n")]
    {
        let error = csv(text).unwrap_err().to_string();
        assert!(error.contains(&format!("row {row}, column {column:?}")), "{error}");
        assert!(!error.contains("secret") && !error.contains("0.25"), "{error}");
    }
    let error = csv("id,size,sick\na,secret\n").unwrap_err().to_string();
    assert!(error.contains("line 2: 2 fields, where the header has 3"), "{error}");
}

#[test]
fn parquet_columns_are_converted_when_nothing_is_lost() {
    let sick: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let size: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let batches = parquet_file(vec![("sick", sick), ("size", size), ("id", ids())]).unwrap();
    assert_eq!(batches[0].schema(), schema(&description().columns));
    let sizes: &Float64Array = batches[0].column(1).as_primitive();
    assert_eq!(sizes.iter().collect::<Vec<_>>(), [Some(1.0), None]);
}

#[test]
fn parquet_columns_of_another_kind_are_refused() {
    let columns = vec![("sick", numbers()), ("size", numbers()), ("id", ids())];
    let error = parquet_file(columns).unwrap_err().to_string();
    assert!(error.contains("row 1, column \"sick\": not a whole number"), "{error}");
    let columns = vec![("sick", ids()), ("size", numbers()), ("id", ids())];
    let error = parquet_file(columns).unwrap_err().to_string();
    assert!(error.contains("does not convert"), "{error}");
}

#[test]
fn other_files_are_refused() {
    let (_folder, path) = written("xlsx", b"x");
    let error = all(&path).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let (_folder, path) = written("parquet", b"not parquet");
    assert!(all(&path).is_err());
}
