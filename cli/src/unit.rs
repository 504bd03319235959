//! Whom a cost is for: what one unit of privacy is, in words.

use cloister_protocol::dataset::{HeaderCore, Unit};

/// Whose privacy the epsilon of a job on these datasets is about. A row is not a person:
/// who has several rows loses more than epsilon.
pub fn for_each<'a>(headers: impl IntoIterator<Item = &'a HeaderCore>) -> &'static str {
    if headers.into_iter().any(|header| header.unit == Unit::Row) {
        "for each row (NOT each person)"
    } else {
        "for each person"
    }
}

/// A header's unit, for machines.
pub fn name(header: &HeaderCore) -> String {
    match &header.unit {
        Unit::Row => "row".into(),
        Unit::Column(column) => format!("column {column}"),
    }
}

#[cfg(test)]
mod tests {
    use cloister_protocol::{Digest, Id};
    use serde_bytes::ByteArray;

    use super::*;

    #[test]
    fn one_dataset_of_rows_makes_it_a_cost_of_rows() {
        let header = |unit| HeaderCore {
            version: 1,
            dataset: ByteArray::new([1; 16]),
            name: "patients".into(),
            owner: Id::new(Digest::of("test", &[])),
            broker: Id::new(Digest::of("test", &[])),
            population: "people".into(),
            unit,
            columns: vec![],
        };
        let (people, rows) = (header(Unit::Column("id".into())), header(Unit::Row));
        assert_eq!(for_each([&people, &people]), "for each person");
        assert_eq!(for_each([&people, &rows]), "for each row (NOT each person)");
        assert_eq!((name(&people), name(&rows)), ("column id".into(), "row".into()));
    }
}
