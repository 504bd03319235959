//! Joined rows are those of a naive join, and each unit's follow from its own rows alone.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use cloister_protocol::{
    Digest, KeyId,
    dataset::{BodyHash, Column, ColumnType, DatasetManifest, Role, Unit},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_bytes::ByteArray;

use super::*;
use crate::rows::grouped;

/// Rows of one table: a unit's number, and a value for each column.
#[derive(Clone, Debug)]
struct Plain {
    /// Feature columns, and whether there is a label.
    features: usize,
    label: bool,
    rows: Vec<(u32, Vec<Option<f64>>)>,
}

impl Plain {
    fn columns(&self) -> usize {
        self.features + usize::from(self.label)
    }

    /// A header whose names do not matter: typical is 4 and bounds are 0 and 10.
    fn header(&self) -> HeaderCore {
        let column = |name: String, role, kind| {
            let of = |value: f64| (role != Role::Unit).then_some(value);
            let (lower, upper, typical) = (of(0.0), of(10.0), of(4.0));
            Column { name, role, kind, lower, upper, typical }
        };
        let mut columns = vec![column("unit".into(), Role::Unit, ColumnType::Text)];
        for place in 0..self.features {
            columns.push(column(format!("f{place}"), Role::Feature, ColumnType::F64));
        }
        if self.label {
            columns.push(column("label".into(), Role::Label, ColumnType::F64));
        }
        let nobody = KeyId::new(Digest::of("test", &[]));
        HeaderCore {
            version: 1,
            dataset: ByteArray::new([7; 16]),
            name: "table".into(),
            owner: nobody,
            broker: nobody,
            population: "patients".into(),
            unit: Unit::Column("unit".into()),
            columns,
        }
    }

    /// The table as it comes out of a plaintext.
    fn table(&self) -> Table {
        let ids: StringArray =
            self.rows.iter().map(|(unit, _)| Some(format!("patient {unit}"))).collect();
        let column = |place: usize| -> ArrayRef {
            Arc::new(self.rows.iter().map(|(_, row)| row[place]).collect::<Float64Array>())
        };
        let header = self.header();
        let arrays = [Arc::new(ids) as ArrayRef].into_iter().chain((0..self.columns()).map(column));
        let names = header.columns.iter().map(|column| (column.name.clone(), true));
        let columns = names.zip(arrays).map(|((name, null), array)| (name, array, null));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        let by_unit = self.by_unit();
        let largest = by_unit.values().map(Vec::len).max().unwrap_or(0);
        let manifest = DatasetManifest {
            header: header.digest(),
            length: 0,
            rows: self.rows.len() as u64,
            units: by_unit.len() as u64,
            max_rows_per_unit: largest as u64,
            body: BodyHash(ByteArray::new([0; 32])),
        };
        grouped(writer.into_inner().unwrap(), &header, &manifest).unwrap()
    }

    fn by_unit(&self) -> BTreeMap<u32, Vec<&[Option<f64>]>> {
        let mut units = BTreeMap::<u32, Vec<&[Option<f64>]>>::new();
        for (unit, row) in &self.rows {
            units.entry(*unit).or_default().push(row);
        }
        units
    }

    fn without(&self, unit: u32) -> Self {
        let mut less = self.clone();
        less.rows.retain(|(other, _)| *other != unit);
        less
    }
}

/// What a unit has in the end: features and targets, row after row, as bits.
type Seen = (Vec<u32>, Vec<u32>, u32);

fn seen(unit: &UnitRows) -> Seen {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    (bits(&unit.features), bits(&unit.targets), unit.rows)
}

/// The join as one would write it down, row by row.
#[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
fn naive(tables: &[Plain]) -> Vec<Seen> {
    let by_unit: Vec<_> = tables.iter().map(Plain::by_unit).collect();
    let mut order = Vec::new();
    for (unit, _) in &tables[0].rows {
        if !order.contains(unit) {
            order.push(*unit);
        }
    }
    let joined = |unit: &u32| {
        let of = |table: usize| by_unit[table].get(unit).cloned().unwrap_or_default();
        let rows = (0..tables.len()).map(|table| of(table).len()).max().unwrap().max(1);
        let (mut features, mut targets) = (Vec::new(), Vec::new());
        for row in 0..rows {
            for (place, table) in tables.iter().enumerate() {
                let mine = of(place);
                let mine = if mine.len() == 1 { mine.first() } else { mine.get(row) };
                for column in 0..table.columns() {
                    let value = mine.and_then(|row| row[column]).unwrap_or(4.0).clamp(0.0, 10.0);
                    if column < table.features {
                        features.push((((value - 4.0) / 10.0) as f32).to_bits());
                    } else {
                        targets.push((value as f32).to_bits());
                    }
                }
            }
        }
        (features, targets, u32::try_from(rows).unwrap())
    };
    order.iter().map(joined).collect()
}

/// Tables of which one may have several rows of a unit; who is in which is chance.
fn tables(seed: u64) -> Vec<Plain> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut below = move |n: u32| rng.next_u32() % n;
    let count = below(3) + 1;
    let many = below(count);
    let units = below(12) + 1;
    let table = |place: u32| {
        let (features, label) = (below(3) as usize + 1, below(2) == 0);
        let mut rows = Vec::new();
        for unit in 0..units {
            let most = if place == many { below(4) } else { below(2) };
            for _ in 0..most {
                let columns = features + usize::from(label);
                let mut value = || match below(8) {
                    0 => None,
                    _ => Some(f64::from(below(1400)) / 100.0 - 2.0),
                };
                rows.push((unit, (0..columns).map(|_| value()).collect()));
            }
        }
        // In any order.
        for place in (1..rows.len()).rev() {
            rows.swap(place, below(u32::try_from(place).unwrap() + 1) as usize);
        }
        Plain { features, label, rows }
    };
    (0..count).map(table).collect()
}

fn joined(tables: &[Plain]) -> Units {
    join(tables.iter().map(Plain::table).collect())
}

#[test]
fn joined_rows_are_those_of_a_naive_join() {
    let mut several = 0;
    for seed in 0..400 {
        let tables = tables(seed);
        let found = joined(&tables);
        let found: Vec<_> = found.as_slice().iter().map(seen).collect();
        assert_eq!(found, naive(&tables), "seed {seed}: {tables:?}");
        several += usize::from(tables.len() > 1 && found.iter().any(|(_, _, rows)| *rows > 1));
    }
    assert!(several > 100, "{several} cases joined units of several rows");
}

/// Neighbouring inputs: one unit's rows in all tables, replaced by nothing.
#[test]
fn a_units_rows_in_all_tables_change_that_unit_alone() {
    let by_stream = |tables: &[Plain]| -> BTreeMap<u64, Seen> {
        joined(tables).as_slice().iter().map(|unit| (unit.stream, seen(unit))).collect()
    };
    let mut compared = 0;
    for seed in 0..200 {
        let tables = tables(seed);
        let before = by_stream(&tables);
        assert_eq!(before.len(), tables[0].by_unit().len(), "streams differ");
        for unit in 0..12 {
            let less: Vec<_> = tables.iter().map(|table| table.without(unit)).collect();
            let after = by_stream(&less);
            let gone = before.len() - after.len();
            assert_eq!(gone, usize::from(tables[0].by_unit().contains_key(&unit)));
            let same = after.iter().all(|(stream, seen)| before.get(stream) == Some(seen));
            assert!(same, "seed {seed}: unit {unit} changed another");
            compared += after.len();
        }
    }
    assert!(compared > 1000);
}

/// A unit that only another table has is left out, and one that only the base has keeps a row.
#[test]
fn units_are_those_of_the_base_table() {
    let base = Plain { features: 1, label: true, rows: vec![(1, vec![Some(9.0), Some(1.0)])] };
    let other = |unit| Plain { features: 1, label: false, rows: vec![(unit, vec![Some(0.0)])] };
    let rows = |tables: &[Plain]| {
        let units = joined(tables);
        let [one] = units.as_slice() else { panic!("{} units", units.len()) };
        (one.features.clone(), one.targets.clone(), one.rows)
    };
    assert_eq!(rows(&[base.clone(), other(1)]), (vec![0.5, -0.4], vec![1.0], 1));
    assert_eq!(rows(&[base.clone(), other(2)]), (vec![0.5, 0.0], vec![1.0], 1));
    // A target that is missing is typical, as a null is.
    assert_eq!(rows(&[other(2), base.clone()]), (vec![-0.4, 0.0], vec![4.0], 1));
    // Rooms are exact: rows were written once and never moved.
    let units = joined(&[base, other(1)]);
    assert_eq!(units.as_slice()[0].features.capacity(), 2);
}

/// Whoever may choose ids can find two with the same 64 bits. Matched by those, which are
/// a unit's stream, rows of one person would stand beside another's.
#[test]
fn units_with_the_same_stream_are_not_joined() {
    let id = |last: u8| {
        let mut id = [7; UnitId::BYTES];
        id[UnitId::BYTES - 1] = last;
        UnitId::for_test(id)
    };
    assert_eq!(id(1).stream(), id(2).stream());
    let table = |value: f32, last: u8| {
        let unit = UnitRows { features: vec![value], targets: vec![], rows: 1, stream: 0 };
        let missing = Missing { features: vec![0.0], targets: vec![] };
        Table { units: Units::from_rows(vec![unit]), ids: vec![id(last)], missing }
    };
    let both = |last: u8| join(vec![table(0.25, 1), table(0.5, last)]).into_rows().remove(0);
    assert_eq!(both(1).features, [0.25, 0.5]);
    assert_eq!(both(2).features, [0.25, 0.0]);
}

#[test]
fn a_table_that_is_alone_keeps_nothing_to_find_units_by() {
    let rows = tables(3).remove(0);
    let table = rows.table().alone();
    assert!(table.ids.is_empty());
    let alone: Vec<_> = join(vec![table]).as_slice().iter().map(seen).collect();
    assert_eq!(alone, naive(&[rows]));
    assert!(join(Vec::new()).is_empty());
}
