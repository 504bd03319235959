//! Several tables of one population, as one table.
//!
//! A unit of the population is a unit of the base table, the first. Beside each of its rows
//! stands what the other tables say about it, and where one says nothing, values are
//! missing. Only one table may have several rows of a unit; the others' rows are repeated
//! beside each of those. What follows from that for columns and counts is public, and is
//! worked out here, for whoever has headers and manifests but no row.

use thiserror::Error;

use super::{DatasetManifest, HeaderCore, HeaderError, Role, Unit};

/// The tables of one population in one job, as one; of a single table, that table.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// The base table's header with the other tables' columns behind its own, in their
    /// order, but for their units.
    pub header: HeaderCore,
    /// How many tables there are.
    pub tables: usize,
    /// Units of all tables together: what has to be matched.
    pub matched: u64,
    /// Units of the base table: those of the population.
    pub units: u64,
    /// The most rows that there can be.
    pub rows: u64,
    /// The most rows of one unit.
    pub max_rows_per_unit: u64,
}

/// Why tables cannot be joined. Nothing in it depends on rows.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum JoinError {
    /// No table.
    #[error("a population without a table")]
    Nothing,
    /// Tables about different people.
    #[error("tables {0:?} and {1:?} are not about one owner's population")]
    People(String, String),
    /// Tables whose keys two brokers have.
    #[error("tables {0:?} and {1:?} were sealed for two brokers: seal both for the one in force")]
    Broker(String, String),
    /// Rows cannot be matched.
    #[error("table {0:?} has rows for units, which cannot be found in another table")]
    UnitRow(String),
    /// The units are numbers in one table and text in another, say.
    #[error("the units of {0:?} and {1:?} have different types: seal one of them again")]
    UnitType(String, String),
    /// Two tables with several rows of a unit.
    #[error(
        "tables {0:?} and {1:?} may both have several rows of a unit, and which belong together \
         nobody says: seal one of them with max-rows-per-unit = 1"
    )]
    ManyRows(String, String),
    /// The columns do not make one table.
    #[error("the tables' columns together: {0}")]
    Columns(#[from] HeaderError),
}

impl Joined {
    /// Joins what is public of validated tables, the base first.
    pub fn of<'a>(
        tables: impl IntoIterator<Item = (&'a HeaderCore, &'a DatasetManifest)>,
    ) -> Result<Self, JoinError> {
        let mut tables = tables.into_iter();
        let (base, manifest) = tables.next().ok_or(JoinError::Nothing)?;
        let DatasetManifest { rows, units, max_rows_per_unit, .. } = *manifest;
        let header = base.clone();
        let mut joined = Self { header, tables: 1, matched: units, units, rows, max_rows_per_unit };
        let mut many = (max_rows_per_unit > 1).then(|| base.name.clone());
        for (header, manifest) in tables {
            fits(base, header)?;
            if manifest.max_rows_per_unit > 1 {
                if let Some(other) = many.replace(header.name.clone()) {
                    return Err(JoinError::ManyRows(other, header.name.clone()));
                }
                joined.max_rows_per_unit = manifest.max_rows_per_unit;
                // Units that are not in it have one row all the same.
                let most = units.saturating_mul(manifest.max_rows_per_unit);
                joined.rows = units.saturating_add(manifest.rows).min(most);
            }
            joined.tables += 1;
            joined.matched = joined.matched.saturating_add(manifest.units);
            let columns = header.columns.iter().filter(|column| column.role != Role::Unit);
            joined.header.columns.extend(columns.cloned());
        }
        if joined.tables > 1 {
            fits(base, base)?;
            joined.header.validate()?;
        }
        Ok(joined)
    }

    /// Features and targets of a row.
    #[must_use]
    pub fn columns(&self) -> u64 {
        (self.header.features().count() + self.header.targets().count()) as u64
    }
}

/// Whether a table's units can be found in the base.
fn fits(base: &HeaderCore, table: &HeaderCore) -> Result<(), JoinError> {
    let names = || (base.name.clone(), table.name.clone());
    let refuse = |error: fn(String, String) -> JoinError| {
        let (base, table) = names();
        Err(error(base, table))
    };
    if (base.owner, &base.population) != (table.owner, &table.population) {
        return refuse(JoinError::People);
    }
    if base.broker != table.broker {
        return refuse(JoinError::Broker);
    }
    if table.unit == Unit::Row {
        return Err(JoinError::UnitRow(table.name.clone()));
    }
    let kind = |header: &HeaderCore| {
        header.columns.iter().find(|column| column.role == Role::Unit).map(|column| column.kind)
    };
    if kind(base) != kind(table) {
        return refuse(JoinError::UnitType);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteArray;

    use super::*;
    use crate::{
        dataset::{BodyHash, Column, ColumnType},
        digest::{Digest, Id},
        limits,
    };

    /// A table of `patients`, each with up to `most` rows.
    struct Table {
        header: HeaderCore,
        manifest: DatasetManifest,
    }

    fn column(name: &str, role: Role) -> Column {
        Column {
            name: name.into(),
            role,
            kind: ColumnType::F64,
            lower: Some(0.0),
            upper: Some(1.0),
            typical: None,
        }
    }

    fn table(name: &str, columns: &[&str], rows: u64, units: u64, most: u64) -> Table {
        let unit = Column { kind: ColumnType::Text, ..column("patient", Role::Unit) };
        let features = columns.iter().map(|name| column(name, Role::Feature));
        let header = HeaderCore {
            version: 1,
            dataset: ByteArray::new([1; 16]),
            name: name.into(),
            owner: Id::new(Digest::of("owner", &[])),
            broker: Id::new(Digest::of("broker", &[])),
            population: "patients".into(),
            unit: Unit::Column("patient".into()),
            columns: [unit].into_iter().chain(features).collect(),
        };
        let manifest = DatasetManifest {
            header: header.digest(),
            length: 1,
            rows,
            units,
            max_rows_per_unit: most,
            body: BodyHash(ByteArray::new([0; 32])),
        };
        Table { header, manifest }
    }

    fn join(tables: &[&Table]) -> Result<Joined, JoinError> {
        Joined::of(tables.iter().map(|table| (&table.header, &table.manifest)))
    }

    fn clinic() -> Table {
        table("clinic", &["age", "size"], 10, 10, 1)
    }

    fn laboratory() -> Table {
        table("laboratory", &["sugar"], 40, 8, 6)
    }

    #[test]
    fn one_table_is_itself() {
        let alone = laboratory();
        let joined = join(&[&alone]).unwrap();
        assert_eq!(joined.header, alone.header);
        let Joined { tables, matched, units, rows, max_rows_per_unit, .. } = joined;
        assert_eq!((tables, matched, units, rows, max_rows_per_unit), (1, 8, 8, 40, 6));
        // Rows as units are fine as long as nobody looks for them elsewhere.
        let mut by_row = laboratory();
        by_row.header.unit = Unit::Row;
        by_row.header.columns.remove(0);
        assert!(join(&[&by_row]).is_ok());
        assert_eq!(join(&[]), Err(JoinError::Nothing));
    }

    #[test]
    fn columns_and_counts_follow_from_the_tables() {
        let mut third = table("registry", &["smokes"], 500, 500, 1);
        third.header.columns.push(column("died", Role::Label));
        let joined = join(&[&clinic(), &laboratory(), &third]).unwrap();
        let names: Vec<_> = joined.header.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["patient", "age", "size", "sugar", "smokes", "died"]);
        assert_eq!((joined.units, joined.matched, joined.columns()), (10, 518, 5));
        // Ten patients of whom each has one row at least: 40 rows, and two that have none.
        assert_eq!((joined.rows, joined.max_rows_per_unit), (50, 6));
        // The other way round each of the eight keeps its rows.
        let joined = join(&[&laboratory(), &clinic()]).unwrap();
        assert_eq!((joined.units, joined.rows, joined.max_rows_per_unit), (8, 40, 6));
        let few = table("few", &["a"], 3, 3, 1);
        assert_eq!(join(&[&few, &laboratory()]).unwrap().rows, 18, "six each at most");
    }

    #[test]
    fn a_wide_table_has_the_schema_of_narrow_ones() {
        let wide = table("wide", &["age", "size", "sugar"], 5, 5, 1);
        let joined = join(&[&clinic(), &laboratory()]).unwrap();
        assert!(joined.header.same_schema(&wide.header));
        let turned = join(&[&laboratory(), &clinic()]).unwrap();
        assert!(!turned.header.same_schema(&wide.header));
    }

    #[test]
    fn each_rule_refuses_its_own_mistake() {
        let mutated = |mutate: fn(&mut Table)| {
            let mut second = laboratory();
            mutate(&mut second);
            join(&[&clinic(), &second]).unwrap_err()
        };
        let names = || ("clinic".to_owned(), "laboratory".to_owned());
        let other = |name: &str| -> String { name.into() };
        let (one, two) = names();
        assert_eq!(
            mutated(|t| t.header.population = "staff".into()),
            JoinError::People(one.clone(), two.clone())
        );
        assert_eq!(
            mutated(|t| t.header.owner = Id::new(Digest::of("other", &[]))),
            JoinError::People(one.clone(), two.clone())
        );
        assert_eq!(
            mutated(|t| t.header.broker = Id::new(Digest::of("other", &[]))),
            JoinError::Broker(one.clone(), two.clone())
        );
        let by_row: fn(&mut Table) = |t| {
            t.header.unit = Unit::Row;
            t.header.columns.remove(0);
        };
        assert_eq!(mutated(by_row), JoinError::UnitRow(two.clone()));
        let mut base = clinic();
        by_row(&mut base);
        assert!(matches!(join(&[&base, &laboratory()]), Err(JoinError::UnitType(..))));
        let mut third = table("third", &["x"], 1, 1, 1);
        by_row(&mut third);
        assert_eq!(join(&[&base, &third]), Err(JoinError::UnitRow(other("third"))));
        assert_eq!(
            mutated(|t| t.header.columns[0].kind = ColumnType::I64),
            JoinError::UnitType(one, two)
        );
        let twice = HeaderError::DuplicateColumn("age".into());
        assert_eq!(mutated(|t| t.header.columns[1].name = "age".into()), twice.into());
        let unit = HeaderError::DuplicateColumn("patient".into());
        let renamed: fn(&mut Table) = |t| {
            t.header.columns[0].name = "case".into();
            t.header.unit = Unit::Column("case".into());
            t.header.columns[1].name = "patient".into();
        };
        assert_eq!(mutated(renamed), unit.into());
        let many = (0..limits::COLUMNS).map(|n| format!("c{n}")).collect::<Vec<_>>();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let wide = table("wide", &many, 1, 1, 1);
        let found = join(&[&clinic(), &wide]);
        assert_eq!(found, Err(HeaderError::TooManyColumns(limits::COLUMNS + 3).into()));
    }

    #[test]
    fn two_tables_with_many_rows_are_refused_wherever_they_stand() {
        let visits = table("visits", &["pulse"], 30, 10, 3);
        let refused = |tables: &[&Table]| matches!(join(tables), Err(JoinError::ManyRows(..)));
        assert!(refused(&[&visits, &laboratory()]));
        assert!(refused(&[&clinic(), &laboratory(), &visits]));
        assert!(refused(&[&laboratory(), &clinic(), &visits]));
    }
}
