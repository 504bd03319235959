//! The part of a sealed dataset that everyone may read.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use thiserror::Error;

use crate::{cbor, digest::Digest, keys::KeyId, limits};

/// The people a dataset is about, as their owner calls them. The privacy budget
/// belongs to (owner, population).
pub type Population = String;

/// Header-core: schema and origin. Nothing in it depends on the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderCore {
    /// Always 1.
    pub version: u32,
    /// Chosen at random when the dataset was sealed.
    pub dataset: ByteArray<16>,
    /// A name for people.
    pub name: String,
    /// The owner, who signs the manifest.
    pub owner: KeyId,
    /// The broker that grants the data key and signs the grant.
    pub broker: KeyId,
    /// Whom the rows are about.
    pub population: Population,
    /// What one unit of privacy is.
    pub unit: Unit,
    /// The columns, in the order of the plaintext.
    pub columns: Vec<Column>,
}

/// What one unit of privacy is: whose removal the noise hides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// All rows with the same value in this column, usually a patient.
    Column(String),
    /// Each row for itself. A policy has to allow it.
    Row,
}

/// One column: its type, role and public bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The name, unique in the dataset.
    pub name: String,
    /// What training may do with it.
    pub role: Role,
    /// The type of its values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// The least value there can be; public knowledge, never computed from rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// The greatest value there can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// A typical value, if the owner can say one; else the middle of the bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typical: Option<f64>,
}

/// What training may do with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An input.
    Feature,
    /// What is to be predicted.
    Label,
    /// A duration, for survival analysis.
    Time,
    /// Whether the duration ended in the event, for survival analysis.
    Event,
    /// The unit of privacy; code never sees it.
    Unit,
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// 64-bit floating point.
    F64,
    /// 64-bit integer.
    I64,
    /// UTF-8 text; only for the unit.
    Text,
}

/// Why a header was refused.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum HeaderError {
    /// A version of the format that this build does not read.
    #[error("dataset format version {0}; this build reads version 1")]
    Version(u32),
    /// A name is empty, too long or holds control characters.
    #[error("{0:?} is not a usable name: 1 to {max} printable characters", max = limits::NAME)]
    Name(String),
    /// Too many columns.
    #[error("{0} columns, at most {max} are allowed", max = limits::COLUMNS)]
    TooManyColumns(usize),
    /// Two columns with one name.
    #[error("two columns are called {0:?}")]
    DuplicateColumn(String),
    /// The unit's column is missing or has another role.
    #[error("the unit is column {0:?}, and exactly that column must have role \"unit\"")]
    UnitColumn(String),
    /// Rows are the units, but a column claims to be the unit.
    #[error("the unit is the row, so column {0:?} cannot have role \"unit\"")]
    UnitRow(String),
    /// No feature.
    #[error("no column has role \"feature\"")]
    NoFeature,
    /// Text that is not the unit.
    #[error("column {0:?} is text; only the unit's column may be")]
    Text(String),
    /// Bounds missing, unordered or not finite.
    #[error("column {0:?} needs finite public bounds with lower < upper")]
    Bounds(String),
    /// Whole numbers between bounds that have none between them.
    #[error("column {0:?} has type i64, and no whole number lies within its bounds")]
    NoWholeNumber(String),
    /// A typical value outside the bounds.
    #[error("column {0:?}: the typical value must lie within the bounds")]
    Typical(String),
}

impl HeaderCore {
    /// The digest that the manifest signs and that the chunks are bound to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of("dataset-header", &[&cbor::encode(self)])
    }

    /// The feature columns, in order.
    pub fn features(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.role == Role::Feature)
    }

    /// The columns that are neither feature nor unit, in order: what is predicted.
    pub fn targets(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| !matches!(c.role, Role::Feature | Role::Unit))
    }

    /// Checks every rule on the header. Call it on whatever was read.
    pub fn validate(&self) -> Result<(), HeaderError> {
        if self.version != 1 {
            return Err(HeaderError::Version(self.version));
        }
        check_name(&self.name)?;
        check_name(&self.population)?;
        if self.columns.len() > limits::COLUMNS {
            return Err(HeaderError::TooManyColumns(self.columns.len()));
        }
        let mut names = HashSet::new();
        for column in &self.columns {
            column.validate()?;
            if !names.insert(&column.name) {
                return Err(HeaderError::DuplicateColumn(column.name.clone()));
            }
        }
        let mut units = self.columns.iter().filter(|column| column.role == Role::Unit);
        match (&self.unit, units.next(), units.next()) {
            (Unit::Column(name), Some(column), None) if column.name == *name => {}
            (Unit::Column(name), ..) => return Err(HeaderError::UnitColumn(name.clone())),
            (Unit::Row, None, None) => {}
            (Unit::Row, ..) => return Err(HeaderError::UnitRow(self.name.clone())),
        }
        if self.features().next().is_none() {
            return Err(HeaderError::NoFeature);
        }
        Ok(())
    }

    /// Whether `other`'s rows mean the same: features and targets with equal names,
    /// roles and bounds, in the same order. Populations of one job have to agree, each as its
    /// tables are together: see [`Joined`](super::Joined).
    #[must_use]
    pub fn same_schema(&self, other: &Self) -> bool {
        self.features().eq(other.features()) && self.targets().eq(other.targets())
    }
}

impl Column {
    fn validate(&self) -> Result<(), HeaderError> {
        check_name(&self.name)?;
        if self.role == Role::Unit {
            return Ok(());
        }
        if self.kind == ColumnType::Text {
            return Err(HeaderError::Text(self.name.clone()));
        }
        let (Some(lower), Some(upper)) = (self.lower, self.upper) else {
            return Err(HeaderError::Bounds(self.name.clone()));
        };
        if !(lower.is_finite() && upper.is_finite() && lower < upper && (upper - lower).is_finite())
        {
            return Err(HeaderError::Bounds(self.name.clone()));
        }
        if self.kind == ColumnType::I64 && lower.ceil() > upper.floor() {
            return Err(HeaderError::NoWholeNumber(self.name.clone()));
        }
        match self.typical {
            Some(typical) if !(lower..=upper).contains(&typical) => {
                Err(HeaderError::Typical(self.name.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Lower bound, upper bound and typical value of a validated numeric column.
    #[must_use]
    pub fn range(&self) -> (f64, f64, f64) {
        let lower = self.lower.unwrap_or(0.0);
        let upper = self.upper.unwrap_or(1.0);
        (lower, upper, self.typical.unwrap_or(f64::midpoint(lower, upper)))
    }
}

/// Names are for people: printable, not empty, of bounded length.
pub(crate) fn check_name(name: &str) -> Result<(), HeaderError> {
    let usable =
        !name.is_empty() && name.len() <= limits::NAME && !name.chars().any(char::is_control);
    if usable { Ok(()) } else { Err(HeaderError::Name(name.chars().take(40).collect())) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{HeaderError as E, *};

    pub(crate) fn column(name: &str, role: Role) -> Column {
        Column {
            name: name.into(),
            role,
            kind: if role == Role::Unit { ColumnType::Text } else { ColumnType::F64 },
            lower: (role != Role::Unit).then_some(0.0),
            upper: (role != Role::Unit).then_some(10.0),
            typical: None,
        }
    }

    pub(crate) fn header() -> HeaderCore {
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
                column("id", Role::Unit),
                column("size", Role::Feature),
                column("sick", Role::Label),
            ],
        }
    }

    #[test]
    fn each_rule_refuses_its_own_mistake() {
        assert_eq!(header().validate(), Ok(()));
        let mutated = |mutate: fn(&mut HeaderCore)| {
            let mut header = header();
            mutate(&mut header);
            header.validate().unwrap_err()
        };
        assert_eq!(mutated(|h| h.version = 2), E::Version(2));
        assert_eq!(mutated(|h| h.name.clear()), E::Name(String::new()));
        assert_eq!(mutated(|h| h.population = "a\nb".into()), E::Name("a\nb".into()));
        assert_eq!(
            mutated(|h| h.columns[2].name = "size".into()),
            E::DuplicateColumn("size".into())
        );
        assert_eq!(mutated(|h| h.unit = Unit::Column("x".into())), E::UnitColumn("x".into()));
        assert_eq!(mutated(|h| h.unit = Unit::Row), E::UnitRow("patients".into()));
        assert_eq!(mutated(|h| h.columns[1].role = Role::Label), E::NoFeature);
        assert_eq!(mutated(|h| h.columns[1].kind = ColumnType::Text), E::Text("size".into()));
        assert_eq!(mutated(|h| h.columns[1].lower = None), E::Bounds("size".into()));
        assert_eq!(mutated(|h| h.columns[1].upper = Some(0.0)), E::Bounds("size".into()));
        assert_eq!(mutated(|h| h.columns[1].upper = Some(f64::NAN)), E::Bounds("size".into()));
        assert_eq!(mutated(|h| h.columns[1].typical = Some(11.0)), E::Typical("size".into()));
        let between = mutated(|h| {
            let column = &mut h.columns[1];
            (column.kind, column.lower, column.upper) = (ColumnType::I64, Some(0.2), Some(0.8));
        });
        assert_eq!(between, E::NoWholeNumber("size".into()));
        assert_eq!(
            mutated(|h| h.columns = vec![h.columns[0].clone(); limits::COLUMNS + 1]),
            E::TooManyColumns(limits::COLUMNS + 1)
        );
    }

    #[test]
    fn survives_encoding() {
        let bytes = cbor::encode(&header());
        assert_eq!(cbor::decode::<HeaderCore>(&bytes, 4096).unwrap(), header());
    }
}
