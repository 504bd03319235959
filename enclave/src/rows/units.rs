//! Grouping rows by unit.

use std::{collections::HashMap, hash::Hash};

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use cloister_protocol::{
    dataset::{ColumnType, DatasetManifest, HeaderCore, Unit},
    digest::Hasher,
};
use cloister_sandbox::UnitRows;
use zeroize::Zeroize;

use super::{Range, RowsError, Table, id::UnitId, stream::Numbers};

/// The rows of every unit of a dataset or a job. Erased when dropped.
pub struct Units(Vec<UnitRows>);

impl Units {
    /// No units yet.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Units made elsewhere: synthetic ones of a benchmark, say. Features are those of
    /// [`Range::relative`].
    #[must_use]
    pub fn from_rows(units: Vec<UnitRows>) -> Self {
        Self(units)
    }

    /// Takes over the units of another dataset, behind these.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The rows of the unit in a slot, taken out, to be erased by whoever takes them.
    pub(super) fn take(&mut self, slot: usize) -> Option<UnitRows> {
        self.0.get_mut(slot).map(std::mem::take)
    }

    /// The units themselves, to be erased by whoever takes them.
    pub(crate) fn into_rows(mut self) -> Vec<UnitRows> {
        std::mem::take(&mut self.0)
    }

    /// The units, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[UnitRows] {
        &self.0
    }

    /// Their number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every feature of every row, to be changed in place: slices of one row each.
    pub(crate) fn feature_rows(&mut self, columns: usize) -> impl Iterator<Item = &mut [f32]> {
        self.0.iter_mut().flat_map(move |unit| unit.features.chunks_exact_mut(columns.max(1)))
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        for unit in &mut self.0 {
            unit.features.zeroize();
            unit.targets.zeroize();
        }
    }
}

/// Groups all rows and compares their counts with the manifest's.
pub(super) fn group(
    batches: &[RecordBatch],
    header: &HeaderCore,
    manifest: &DatasetManifest,
) -> Result<Table, RowsError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows as u64 != manifest.rows {
        return Err(RowsError::Counts);
    }
    // 1. The slot of each row, in order of first appearance, and the size of each slot.
    let Slots { of_rows: slots, ids } = slots(batches, header, manifest)?;
    let mut sizes = vec![0_u32; ids.len()];
    for slot in &slots {
        sizes[*slot as usize] += 1;
    }
    let largest = sizes.iter().copied().max().unwrap_or(0);
    if sizes.len() as u64 != manifest.units || u64::from(largest) > manifest.max_rows_per_unit {
        return Err(RowsError::Counts);
    }
    // 2. Room for each unit, exactly, so that rows are never moved.
    let (features, targets) = (header.features().count(), header.targets().count());
    let room = |(rows, id): (&u32, &UnitId)| UnitRows {
        features: Vec::with_capacity(*rows as usize * features),
        targets: Vec::with_capacity(*rows as usize * targets),
        rows: 0,
        stream: id.stream(),
    };
    let mut units = Units(sizes.iter().zip(&ids).map(room).collect());
    // 3. The rows, in their order.
    let mut slots = slots.into_iter();
    read_rows(batches, header, |row, columns| {
        let slot = slots.next().ok_or(RowsError::Counts)?;
        columns.push(row, &mut units.0[slot as usize]);
        Ok(())
    })?;
    Ok(Table::new(units, ids, header))
}

/// All rows as if they were one unit.
pub(super) fn ungrouped(batches: &[RecordBatch], header: &HeaderCore) -> Result<Units, RowsError> {
    let mut all = UnitRows::default();
    read_rows(batches, header, |row, columns| {
        columns.push(row, &mut all);
        Ok(())
    })?;
    Ok(Units(vec![all]))
}

/// Features and targets of one batch, with their bounds.
struct Columns<'a> {
    features: Vec<(Numbers<'a>, Range)>,
    targets: Vec<(Numbers<'a>, Range)>,
}

impl Columns<'_> {
    #[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
    fn push(&self, row: usize, unit: &mut UnitRows) {
        let relative =
            |(numbers, range): &(Numbers, Range)| range.relative(numbers.get(row)) as f32;
        let repaired = |(numbers, range): &(Numbers, Range)| range.repair(numbers.get(row)) as f32;
        unit.features.extend(self.features.iter().map(relative));
        unit.targets.extend(self.targets.iter().map(repaired));
        unit.rows += 1;
    }
}

fn read_rows(
    batches: &[RecordBatch],
    header: &HeaderCore,
    mut take: impl FnMut(usize, &Columns<'_>) -> Result<(), RowsError>,
) -> Result<(), RowsError> {
    for batch in batches {
        let read = |column: &cloister_protocol::dataset::Column| {
            Ok((Numbers::of(batch, &column.name)?, Range::of(column)))
        };
        let columns = Columns {
            features: header.features().map(read).collect::<Result<_, _>>()?,
            targets: header.targets().map(read).collect::<Result<_, _>>()?,
        };
        for row in 0..batch.num_rows() {
            take(row, &columns)?;
        }
    }
    Ok(())
}

/// Which unit each row belongs to.
struct Slots {
    /// The slot of each row, in the order of the rows.
    of_rows: Vec<u32>,
    /// The unit in each slot.
    ids: Vec<UnitId>,
}

/// Slots are numbered as units first appear, which nobody but this module learns: what
/// code can see of a unit's place is its stream, and that follows from its id alone.
fn slots(
    batches: &[RecordBatch],
    header: &HeaderCore,
    manifest: &DatasetManifest,
) -> Result<Slots, RowsError> {
    let rows = u32::try_from(manifest.rows).map_err(|_| RowsError::Counts)?;
    let Unit::Column(name) = &header.unit else {
        let ids = (0..rows).map(|row| UnitId::of(header, &row.to_be_bytes()));
        return Ok(Slots { of_rows: (0..rows).collect(), ids: ids.collect() });
    };
    let counts = [rows, u32::try_from(manifest.units).unwrap_or(rows).min(rows)];
    let column = header.columns.iter().find(|c| c.name == *name).ok_or(RowsError::Columns)?;
    let kind = column.kind;
    let arrays = batches
        .iter()
        .map(|batch| batch.column_by_name(name).map(AsRef::as_ref).ok_or(RowsError::Columns));
    match kind {
        ColumnType::Text => slots_by::<StringArray, _>(
            arrays,
            counts,
            |array, row| Some(array.value(row)),
            |id| UnitId::of(header, id.as_bytes()),
        ),
        ColumnType::I64 => slots_by::<Int64Array, _>(
            arrays,
            counts,
            |array, row| Some(array.value(row)),
            |id| UnitId::of(header, &id.to_be_bytes()),
        ),
        // Equal numbers are one unit: minus zero is zero, and NaN is no id.
        ColumnType::F64 => slots_by::<Float64Array, _>(
            arrays,
            counts,
            |array, row| {
                let id = array.value(row) + 0.0;
                (!id.is_nan()).then_some(id.to_bits())
            },
            |id| UnitId::of(header, &id.to_be_bytes()),
        ),
    }
}

/// The first 64 bits of a digest.
pub(super) fn number(hasher: Hasher) -> u64 {
    let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = *hasher.finish().as_bytes();
    u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7])
}

fn slots_by<'a, A: Array + 'static, K: Eq + Hash + Copy>(
    arrays: impl Iterator<Item = Result<&'a dyn Array, RowsError>>,
    [rows, units]: [u32; 2],
    id: impl Fn(&'a A, usize) -> Option<K>,
    known_by: impl Fn(K) -> UnitId,
) -> Result<Slots, RowsError> {
    let mut numbers = HashMap::new();
    // Never moved, so that no copy of an id is left.
    let (of_rows, ids) = (Vec::with_capacity(rows as usize), Vec::with_capacity(units as usize));
    let mut slots = Slots { of_rows, ids };
    for array in arrays {
        let array: &'a A = array?.as_any().downcast_ref().ok_or(RowsError::Columns)?;
        for row in 0..array.len() {
            let id = array.is_valid(row).then(|| id(array, row)).flatten();
            let id = id.ok_or(RowsError::NullUnit)?;
            // There are no more units than rows, whose number fits.
            let next = u32::try_from(numbers.len()).map_err(|_| RowsError::Counts)?;
            let slot = *numbers.entry(id).or_insert(next);
            if slot == next {
                if next == units {
                    return Err(RowsError::Counts);
                }
                slots.ids.push(known_by(id));
            }
            slots.of_rows.push(slot);
        }
    }
    Ok(slots)
}
