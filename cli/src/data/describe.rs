//! `dataset.toml`: what an owner says in public about a table.

use std::path::Path;

use cloister_protocol::{
    KeyId,
    dataset::{Column, HeaderCore, Population, Role, Unit},
};
use serde::Deserialize;
use serde_bytes::ByteArray;

use crate::{
    error::{Context, Error, Result, toml_error},
    files,
};

/// The description of a table: its columns, their roles and public bounds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Description {
    /// A name for people.
    pub name: String,
    /// The column that says whose row it is; or `row`, when no column is called that,
    /// and each row is a unit for itself.
    pub unit: String,
    /// The most rows that one unit may have. Public, so it is declared and never counted:
    /// the number of the unit that has most is something about one person.
    #[serde(default = "one")]
    pub max_rows_per_unit: u32,
    /// Columns of the table that are left out on purpose.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// The columns that are kept, in their order in the sealed dataset.
    #[serde(rename = "column")]
    pub columns: Vec<Column>,
}

impl Description {
    /// Reads and checks a description.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        let description: Self =
            toml::from_str(&text).map_err(|error| toml_error(path, &text, &error))?;
        let nobody = KeyId::new(cloister_protocol::Digest::from_bytes([0; 64]));
        let header = description.header([0; 16], nobody, nobody, description.name.clone());
        header.validate().with_path(path)?;
        if description.max_rows_per_unit == 0 {
            let path = path.display();
            return Err(Error::failed(format!("{path}: max-rows-per-unit is at least 1")));
        }
        for name in &description.ignore {
            if description.columns.iter().any(|column| column.name == *name) {
                let path = path.display();
                return Err(Error::failed(format!(
                    "{path}: column {name:?} is both described and ignored; choose one"
                )));
            }
        }
        Ok(description)
    }

    /// The header of a dataset of this kind.
    pub fn header(
        &self,
        dataset: [u8; 16],
        owner: KeyId,
        broker: KeyId,
        population: Population,
    ) -> HeaderCore {
        HeaderCore {
            version: 1,
            dataset: ByteArray::new(dataset),
            name: self.name.clone(),
            owner,
            broker,
            population,
            unit: self.unit(),
            columns: self.columns.clone(),
        }
    }

    /// What one unit of privacy is.
    pub fn unit(&self) -> Unit {
        let column = self.columns.iter().any(|column| column.name == self.unit);
        if self.unit == "row" && !column { Unit::Row } else { Unit::Column(self.unit.clone()) }
    }

    /// The description without the unit's column: that of a public set.
    #[must_use]
    pub fn without_unit(mut self) -> Self {
        let (unit, kept) = self.columns.into_iter().partition(|c| c.role == Role::Unit);
        self.columns = kept;
        let unit: Vec<Column> = unit;
        self.ignore.extend(unit.into_iter().map(|column| column.name));
        self
    }
}

fn one() -> u32 {
    1
}

#[cfg(test)]
impl Description {
    /// Three columns: `id`, `size` and `sick`.
    pub fn of_test() -> Self {
        tests::description()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const TEXT: &str = r#"
        name = "patients"
        unit = "id"
        ignore = ["note"]
        [[column]]
        name = "id"
        role = "unit"
        type = "text"
        [[column]]
        name = "size"
        role = "feature"
        type = "f64"
        lower = 0
        upper = 10.0
        typical = 3.0
        [[column]]
        name = "sick"
        role = "label"
        type = "i64"
        lower = 0
        upper = 1
    "#;

    pub fn description() -> Description {
        toml::from_str(TEXT).unwrap()
    }

    fn read(text: &str) -> Result<Description> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Description::read(file.path())
    }

    #[test]
    fn reads_columns_and_unit() {
        let description = read(TEXT).unwrap();
        assert_eq!(description.unit(), Unit::Column("id".into()));
        assert_eq!(description.columns[1].range(), (0.0, 10.0, 3.0));
        let public = description.without_unit();
        assert_eq!(public.columns.len(), 2);
        assert_eq!(public.ignore, ["note", "id"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, complaint) in [
            ("ignore = [\"note\"]", "ignore = [\"size\"]", "both described and ignored"),
            ("unit = \"id\"", "unit = \"it\"", "the unit is column \"it\""),
            ("upper = 10.0", "upper = -1.0", "finite public bounds"),
            ("role = \"label\"", "role = \"lable\"", "lable"),
            ("typical = 3.0", "mean = 3.0", "mean"),
        ] {
            let error = read(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn each_row_can_be_a_unit() {
        let mut description = description();
        description.unit = "row".into();
        assert_eq!(description.unit(), Unit::Row);
    }
}
