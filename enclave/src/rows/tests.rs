use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use cloister_protocol::{
    Digest, KeyId,
    dataset::{
        BodyHash, CHUNK, ChunkError, ChunkSealer, Column, ColumnType, DataKey, Role, SEALED_CHUNK,
        Unit,
    },
};
use serde_bytes::ByteArray;

use super::*;

fn column(name: &str, role: Role, kind: ColumnType) -> Column {
    let bounds = role != Role::Unit;
    Column {
        name: name.into(),
        role,
        kind,
        lower: bounds.then_some(0.0),
        upper: bounds.then_some(10.0),
        typical: bounds.then_some(4.0),
    }
}

/// Columns: id (the unit), size (f64), age (i64), sick (label).
fn header(unit: ColumnType) -> HeaderCore {
    let key = KeyId::new(Digest::of("test", &[]));
    HeaderCore {
        version: 1,
        dataset: ByteArray::new([7; 16]),
        name: "patients".into(),
        owner: key,
        broker: key,
        population: "patients".into(),
        unit: Unit::Column("id".into()),
        columns: vec![
            column("id", Role::Unit, unit),
            column("size", Role::Feature, ColumnType::F64),
            column("age", Role::Feature, ColumnType::I64),
            column("sick", Role::Label, ColumnType::F64),
        ],
    }
}

fn manifest(rows: u64, units: u64, largest: u64) -> DatasetManifest {
    DatasetManifest {
        header: Digest::of("test", &[]),
        length: 0,
        rows,
        units,
        max_rows_per_unit: largest,
        body: BodyHash(ByteArray::new([0; 32])),
    }
}

type Row<'a> = (Option<&'a str>, Option<f64>, Option<i64>, Option<f64>);

fn batch(rows: &[Row<'_>]) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>())),
        ("size", Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>())),
        ("age", Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>())),
        ("sick", Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn read(bytes: Vec<u8>, counts: (u64, u64, u64)) -> Result<Units, RowsError> {
    let (rows, units, largest) = counts;
    let (header, manifest) = (header(ColumnType::Text), manifest(rows, units, largest));
    table(Plaintext::for_test(bytes), &header, &manifest).map(Table::into_units)
}

fn refused(bytes: Vec<u8>, counts: (u64, u64, u64)) -> RowsError {
    read(bytes, counts).map(|_| ()).unwrap_err()
}

const A: Row<'_> = (Some("a"), Some(4.0), Some(9), Some(1.0));
const B: Row<'_> = (Some("b"), Some(5.0), Some(4), Some(0.0));

#[test]
fn rows_are_grouped_by_unit_in_order_of_first_appearance() {
    // Unit b comes first, and the batches cut through unit a.
    let again = (Some("a"), Some(0.0), Some(0), Some(0.0));
    let units = read(stream(&[batch(&[B, A]), batch(&[again, B])]), (4, 2, 2)).unwrap();
    let [b, a] = units.as_slice() else { panic!("{} units", units.len()) };
    assert_eq!((b.rows, a.rows), (2, 2));
    assert_eq!(b.features, [0.1, 0.0, 0.1, 0.0]);
    assert_eq!(a.features, [0.0, 0.5, -0.4, -0.4]);
    assert_eq!((&b.targets[..], &a.targets[..]), (&[0.0, 0.0][..], &[1.0, 0.0][..]));
    // Exact rooms: rows were written once and never moved.
    assert_eq!(a.features.capacity(), 4);
}

#[test]
fn values_are_repaired_never_refused() {
    let rows = [
        (Some("a"), None, None, None),
        (Some("a"), Some(f64::NAN), Some(i64::MAX), Some(f64::NAN)),
        (Some("a"), Some(f64::INFINITY), Some(i64::MIN), Some(f64::NEG_INFINITY)),
        (Some("a"), Some(-1e300), Some(11), Some(11.0)),
    ];
    let units = read(stream(&[batch(&rows)]), (4, 1, 4)).unwrap();
    let unit = &units.as_slice()[0];
    // Typical is 4, bounds are 0 and 10: relative values are 0, 0.6 and -0.4.
    assert_eq!(unit.features, [0.0, 0.0, 0.0, 0.6, 0.6, -0.4, -0.4, 0.6]);
    assert_eq!(unit.targets, [4.0, 4.0, 0.0, 10.0]);
}

#[test]
fn a_row_without_a_unit_is_refused() {
    let row = (None, Some(1.0), Some(1), Some(1.0));
    assert_eq!(refused(stream(&[batch(&[A, row])]), (2, 2, 1)), RowsError::NullUnit);
}

#[test]
fn counts_have_to_be_the_manifests() {
    let bytes = stream(&[batch(&[A, B, A])]);
    assert!(read(bytes.clone(), (3, 2, 2)).is_ok());
    for counts in [(2, 2, 2), (4, 2, 2), (3, 1, 2), (3, 3, 2), (3, 2, 1)] {
        assert_eq!(refused(bytes.clone(), counts), RowsError::Counts, "{counts:?}");
    }
    // The most rows of a unit is a bound that the owner declares, not what the data has.
    assert!(read(bytes, (3, 2, 3)).is_ok());
}

/// What code can learn of a unit's place among others must not depend on their rows: with
/// slots for streams, unit a's rows would decide which numbers b and c draw.
#[test]
fn streams_follow_from_the_units_own_id() {
    let row = |id| (Some(id), Some(5.0), Some(4), Some(0.0));
    let streams = |ids: &[&'static str]| -> std::collections::BTreeMap<u32, u64> {
        let rows: Vec<Row<'_>> = ids.iter().map(|id| row(*id)).collect();
        let units = read(stream(&[batch(&rows)]), (ids.len() as u64, 3, 3)).unwrap();
        // In these tables each unit is known by how many rows it has.
        units.as_slice().iter().map(|unit| (unit.rows, unit.stream)).collect()
    };
    let first = streams(&["a", "b", "b", "c", "c", "c"]);
    assert_eq!(first.len(), 3);
    assert_eq!(first, streams(&["c", "b", "c", "b", "c", "a"]));
    let distinct: std::collections::BTreeSet<_> = first.values().collect();
    assert_eq!(distinct.len(), 3);
}

#[test]
fn columns_have_to_be_the_headers() {
    let whole = batch(&[A]);
    let project = |columns: &[usize]| stream(&[whole.project(columns).unwrap()]);
    for (what, columns) in [
        ("a column less", &[0, 1, 2][..]),
        ("another order", &[0, 2, 1, 3]),
        ("a column twice", &[0, 1, 1, 3]),
        ("a column more", &[0, 1, 2, 3, 3]),
        ("no unit", &[1, 2, 3]),
    ] {
        assert_eq!(refused(project(columns), (1, 1, 1)), RowsError::Columns, "{what}");
    }
    let wrong_type = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(StringArray::from(vec!["a"])) as ArrayRef),
        ("size", Arc::new(Int64Array::from(vec![1]))),
        ("age", Arc::new(Int64Array::from(vec![1]))),
        ("sick", Arc::new(Float64Array::from(vec![1.0]))),
    ]);
    assert_eq!(refused(stream(&[wrong_type.unwrap()]), (1, 1, 1)), RowsError::Columns);
    let field = |name: &str, kind| Field::new(name, kind, true);
    let renamed = Schema::new(vec![
        field("id", DataType::Utf8),
        field("Size", DataType::Float64),
        field("age", DataType::Int64),
        field("sick", DataType::Float64),
    ]);
    let renamed = RecordBatch::try_new(Arc::new(renamed), whole.columns().to_vec()).unwrap();
    assert_eq!(refused(stream(&[renamed]), (1, 1, 1)), RowsError::Columns);
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    let bytes = stream(&[batch(&[A, B])]);
    assert!(read(bytes.clone(), (2, 2, 1)).is_ok());
    for length in 0..bytes.len() {
        // Arrow lets a stream end between messages: then the counts show it.
        let cut = read(bytes[..length].to_vec(), (2, 2, 1)).map(|_| ());
        let end_marker = bytes.len() - 8;
        if length == end_marker {
            continue;
        }
        assert!(
            matches!(cut, Err(RowsError::Stream | RowsError::Counts)),
            "cut after {length} of {}: {cut:?}",
            bytes.len()
        );
    }
    let longer = [&bytes[..], &[0; 8]].concat();
    assert_eq!(refused(longer, (2, 2, 1)), RowsError::Stream);
}

#[test]
fn a_flipped_bit_is_refused_or_read_but_never_a_panic() {
    let mut refusals = 0;
    let bytes = stream(&[batch(&[A, B])]);
    for position in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut bytes = bytes.clone();
            bytes[position] ^= 1 << bit;
            refusals += u32::from(read(bytes, (2, 2, 1)).is_err());
        }
    }
    assert!(refusals > 0);
}

#[test]
fn units_are_numbers_or_rows_as_well() {
    let numbers = |ids: Vec<Option<f64>>| {
        let rows = ids.len();
        let ones = || Float64Array::from(vec![1.0; rows]);
        RecordBatch::try_from_iter_with_nullable(vec![
            ("id", Arc::new(Float64Array::from(ids)) as ArrayRef, true),
            ("size", Arc::new(ones()), true),
            ("age", Arc::new(Int64Array::from(vec![1; rows])), true),
            ("sick", Arc::new(ones()), true),
        ])
        .unwrap()
    };
    let group = |ids, counts: (u64, u64, u64)| {
        let plaintext = Plaintext::for_test(stream(&[numbers(ids)]));
        let (rows, count, largest) = counts;
        let units = table(plaintext, &header(ColumnType::F64), &manifest(rows, count, largest));
        units.map(|table| table.into_units().len())
    };
    assert_eq!(group(vec![Some(0.0), Some(-0.0), Some(1.0)], (3, 2, 2)), Ok(2));
    assert_eq!(group(vec![Some(f64::NAN)], (1, 1, 1)), Err(RowsError::NullUnit));
    assert_eq!(group(vec![None], (1, 1, 1)), Err(RowsError::NullUnit));

    let mut by_row = header(ColumnType::Text);
    by_row.columns.remove(0);
    by_row.unit = Unit::Row;
    let rows = batch(&[A, A, B]).project(&[1, 2, 3]).unwrap();
    let plaintext = Plaintext::for_test(stream(&[rows]));
    assert_eq!(table(plaintext, &by_row, &manifest(3, 3, 1)).unwrap().into_units().len(), 3);
}

#[test]
fn a_public_set_is_one_unit_with_or_without_ids() {
    let header = header(ColumnType::Text);
    let whole = batch(&[A, B]);
    for columns in [&[0, 1, 2, 3][..], &[1, 2, 3]] {
        let set = public(stream(&[whole.project(columns).unwrap()]), &header).unwrap();
        assert_eq!(set.len(), 1);
        assert_eq!(set.as_slice()[0].rows, 2);
        assert_eq!(set.as_slice()[0].features, [0.0, 0.5, 0.1, 0.0]);
    }
    let less = stream(&[whole.project(&[1, 3]).unwrap()]);
    assert_eq!(public(less, &header).map(|_| ()), Err(RowsError::Columns));
}

mod body {
    use super::*;

    /// A sealed body of `length` bytes, and its manifest.
    fn sealed(length: usize) -> (Vec<u8>, DatasetManifest) {
        let header = Digest::of("test", &[]);
        let (mut sealer, prefix) = ChunkSealer::new(&key(), &[3; 24], &header);
        let plaintext: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut body = prefix.to_vec();
        let full = length / CHUNK;
        for chunk in plaintext[..full * CHUNK].chunks(CHUNK) {
            let mut chunk = chunk.to_vec();
            sealer.seal(&mut chunk).unwrap();
            body.append(&mut chunk);
        }
        let mut last = plaintext[full * CHUNK..].to_vec();
        sealer.seal_last(&mut last).unwrap();
        body.append(&mut last);
        let manifest = describe(&body);
        (body, manifest)
    }

    fn key() -> DataKey {
        DataKey::from_bytes(&[9; 32])
    }

    fn describe(body: &[u8]) -> DatasetManifest {
        let hash = BodyHash(ByteArray::new(*blake3::hash(body).as_bytes()));
        DatasetManifest { length: body.len() as u64, body: hash, ..manifest(1, 1, 1) }
    }

    fn open(body: &[u8], manifest: &DatasetManifest, piece: usize) -> Result<usize, BodyError> {
        let header = Digest::of("test", &[]);
        let mut reader = BodyReader::new(Arc::new(key()), header, manifest)?;
        for bytes in body.chunks(piece) {
            reader.take(bytes)?;
        }
        Ok(reader.finish()?.into_buffer().len())
    }

    #[test]
    fn pieces_of_any_size_give_the_plaintext() {
        for length in [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 5] {
            let (body, manifest) = sealed(length);
            for piece in [7, 1000, SEALED_CHUNK, 28_668, 1 << 20] {
                assert_eq!(open(&body, &manifest, piece), Ok(length));
            }
        }
    }

    #[test]
    fn each_change_has_its_own_error() {
        let (body, manifest) = sealed(2 * CHUNK + 5);
        let chunk = |k: usize| 56 + k * SEALED_CHUNK..56 + (k + 1) * SEALED_CHUNK;
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut body = body.clone();
            change(&mut body);
            open(&body, &manifest, 28_668).unwrap_err()
        };
        let altered = |k| BodyError::Chunk(ChunkError::Chunk(k));
        assert_eq!(with(&|b| b[100] ^= 1), altered(0), "flipped");
        assert_eq!(with(&|b| *b.last_mut().unwrap() ^= 1), altered(2), "flipped in the last");
        let swapped = with(&|b| {
            let second = b[chunk(1)].to_vec();
            b.copy_within(chunk(0), chunk(1).start);
            b[chunk(0)].copy_from_slice(&second);
        });
        assert_eq!(swapped, altered(0), "swapped");
        assert_eq!(with(&|b| b.copy_within(chunk(0), chunk(1).start)), altered(1), "repeated");
        assert_eq!(with(&|b| drop(b.drain(chunk(0)))), altered(0), "left out");
        assert_eq!(with(&|b| b[30] ^= 1), BodyError::Chunk(ChunkError::Commitment));
        let length = body.len() as u64;
        let wrong = |found| BodyError::Length { expected: length, found };
        assert_eq!(with(&|b| b.truncate(b.len() - 1)), wrong(length - 1), "cut off");
        assert_eq!(with(&|b| b.push(0)), wrong(length + 1), "lengthened");
    }

    #[test]
    fn a_signed_length_that_cuts_a_chunk_off_is_refused() {
        let (body, _) = sealed(2 * CHUNK + 5);
        let cut = &body[..56 + 2 * SEALED_CHUNK];
        let error = open(cut, &describe(cut), 1000).unwrap_err();
        assert_eq!(error, BodyError::Chunk(ChunkError::Truncated(2)));
        let error = open(&body[..40], &describe(&body[..40]), 1000).unwrap_err();
        assert_eq!(error, BodyError::Chunk(ChunkError::Truncated(0)));
    }

    #[test]
    fn chunks_that_open_but_were_not_signed_are_refused() {
        // Somebody with the data key has sealed other rows under the same salt.
        let (body, _) = sealed(5);
        let (mut other, manifest) = sealed(CHUNK + 5);
        other.truncate(body.len());
        let signed = DatasetManifest { body: manifest.body, ..describe(&body) };
        assert_eq!(open(&body, &signed, 1000), Err(BodyError::Hash));
    }

    #[test]
    fn an_impossible_length_is_refused_before_memory_is_taken() {
        let (_, manifest) = sealed(5);
        let huge = DatasetManifest { length: u64::MAX, ..manifest };
        let reader = BodyReader::new(Arc::new(key()), Digest::of("test", &[]), &huge);
        assert!(matches!(reader.map(|_| ()), Err(BodyError::Length { .. })));
    }
}
