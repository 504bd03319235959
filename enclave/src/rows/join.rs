//! Tables of one population, joined by unit.
//!
//! 1. The units are those of the base table, in its order. A unit that only other tables
//!    have is left out.
//! 2. A unit has as many rows as in the table where it has most, and one at least. Only one
//!    table has units of more than one row; where a unit has one row, that is repeated.
//! 3. Where a table has no row of a unit, its features are typical and its targets, too:
//!    what a null becomes.
//!
//! A joined unit follows from that unit's rows alone. How many units were found in which
//! table is about people, so nothing fails here, and it is done when the time of the first
//! release runs already: see [`admission`](crate::admission).
//!
//! # Memory
//!
//! Beside the tables' rows, the joined ones (4 bytes for each number, allocated exactly),
//! for each unit of a table the 32 bytes that it is known by and 24 to find it, and for each
//! unit of the base 8 bytes a table, to say where it is there. A unit's rows are erased and freed as soon as they are joined; the most that
//! this can take is both.

use std::cmp::Ordering;

use cloister_protocol::dataset::HeaderCore;
use cloister_sandbox::UnitRows;
use zeroize::Zeroize;

use super::{Range, Units, id::UnitId};

/// The rows of one table, and what is needed to join them. Erased when dropped.
pub struct Table {
    units: Units,
    /// Of each unit, in the same order; none if this is the only table.
    ids: Vec<UnitId>,
    missing: Missing,
}

/// What stands in a row where a table says nothing about a unit.
struct Missing {
    features: Vec<f32>,
    targets: Vec<f32>,
}

impl Missing {
    #[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
    fn of(header: &HeaderCore) -> Self {
        let feature = |column| Range::of(column).relative(None) as f32;
        let target = |column| Range::of(column).repair(None) as f32;
        Self {
            features: header.features().map(feature).collect(),
            targets: header.targets().map(target).collect(),
        }
    }
}

impl Table {
    pub(super) fn new(units: Units, ids: Vec<UnitId>, header: &HeaderCore) -> Self {
        Self { units, ids, missing: Missing::of(header) }
    }

    /// The units by themselves.
    #[must_use]
    pub fn into_units(self) -> Units {
        self.units
    }

    /// The table as the only one of its population: nothing will be looked for in it.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { ids: Vec::new(), ..self }
    }
}

/// The units of a population, from all its tables, the base first.
#[must_use]
pub fn join(tables: Vec<Table>) -> Units {
    let mut tables = tables.into_iter();
    let Some(mut base) = tables.next() else { return Units::none() };
    if tables.len() == 0 {
        return base.into_units();
    }
    // 1. Where each unit of the base is in the other tables.
    let order = sorted(&base.ids);
    let mut others: Vec<_> =
        tables.map(|table| (places(&base.ids, &order, &table), table)).collect();
    // 2. Its rows, which are taken out of all of them.
    let mut joined = Vec::with_capacity(base.ids.len());
    for (slot, id) in (0..).zip(&base.ids) {
        let mut parts = Vec::with_capacity(1 + others.len());
        parts.push((base.units.take(slot), &base.missing));
        for (places, table) in &mut others {
            let rows = places[slot].and_then(|place| table.units.take(place as usize));
            parts.push((rows, &table.missing));
        }
        joined.push(unit(&parts, id.stream()));
        for (mut rows, _) in parts {
            rows.iter_mut().for_each(erase);
        }
    }
    Units::from_rows(joined)
}

/// A unit's first 64 bits, which almost always decide, and its slot.
type Key = (u64, u32);

/// All units, in the order of their ids.
fn sorted(ids: &[UnitId]) -> Vec<Key> {
    // There are fewer units than rows, whose number fits.
    let mut order: Vec<Key> = ids.iter().map(UnitId::stream).zip(0..).collect();
    order.sort_unstable_by(|one, other| compare(ids, *one, ids, *other));
    order
}

fn compare(ids: &[UnitId], one: Key, other_ids: &[UnitId], other: Key) -> Ordering {
    let whole = || ids[one.1 as usize].cmp(&other_ids[other.1 as usize]);
    one.0.cmp(&other.0).then_with(whole)
}

/// The slot in a table of each unit of the base, if it is there.
fn places(ids: &[UnitId], order: &[Key], table: &Table) -> Vec<Option<u32>> {
    let mut places = vec![None; ids.len()];
    let found = sorted(&table.ids);
    let mut found = found.iter().copied().peekable();
    for unit in order {
        while let Some(next) = found.peek() {
            match compare(&table.ids, *next, ids, *unit) {
                Ordering::Less => _ = found.next(),
                Ordering::Equal => {
                    places[unit.1 as usize] = Some(next.1);
                    break;
                }
                Ordering::Greater => break,
            }
        }
    }
    places
}

/// One unit's rows, from what each table has of it.
fn unit(parts: &[(Option<UnitRows>, &Missing)], stream: u64) -> UnitRows {
    let rows = parts.iter().filter_map(|(unit, _)| unit.as_ref().map(|unit| unit.rows)).max();
    let rows = rows.unwrap_or(0).max(1);
    let width = |of: fn(&Missing) -> &Vec<f32>| -> usize {
        parts.iter().map(|(_, missing)| of(missing).len()).sum()
    };
    let mut joined = UnitRows {
        features: Vec::with_capacity(rows as usize * width(|missing| &missing.features)),
        targets: Vec::with_capacity(rows as usize * width(|missing| &missing.targets)),
        rows,
        stream,
    };
    for row in 0..rows as usize {
        for (unit, missing) in parts {
            let place = match unit {
                Some(UnitRows { rows: 1, .. }) => 0,
                _ => row,
            };
            let values = |of: fn(&UnitRows) -> &Vec<f32>, width: usize| {
                of(unit.as_ref()?).get(place * width..(place + 1) * width)
            };
            let features = values(|unit| &unit.features, missing.features.len());
            joined.features.extend_from_slice(features.unwrap_or(&missing.features));
            let targets = values(|unit| &unit.targets, missing.targets.len());
            joined.targets.extend_from_slice(targets.unwrap_or(&missing.targets));
        }
    }
    joined
}

fn erase(unit: &mut UnitRows) {
    unit.features.zeroize();
    unit.targets.zeroize();
}

#[cfg(test)]
mod tests;
