//! The committed table is the published one, and its declaration fits it.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

/// SHA-256 of scikit-learn's `breast_cancer.csv`.
const PUBLISHED: &str = "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    name: String,
    unit: String,
    column: Vec<Column>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: String,
    role: String,
    r#type: String,
    lower: Option<f64>,
    upper: Option<f64>,
    typical: Option<f64>,
}

fn read(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data/breast-cancer");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn declaration() -> Declaration {
    toml::from_str(&read("dataset.toml")).unwrap()
}

#[test]
fn undoing_the_conversion_gives_the_published_file() {
    let table = read("patients.csv");
    let mut original = String::from("569,30,malignant,benign\n");
    for (index, line) in table.lines().skip(1).enumerate() {
        let (patient, values) = line.split_once(',').unwrap();
        assert_eq!(patient, format!("P{:03}", index + 1));
        let (features, malignant) = values.rsplit_once(',').unwrap();
        let class = match malignant {
            "1" => "0",
            "0" => "1",
            other => panic!("{patient} has malignant = {other}"),
        };
        original.push_str(features);
        original.push(',');
        original.push_str(class);
        original.push('\n');
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, original.as_bytes());
    assert_eq!(hex::encode(digest), PUBLISHED);
}

#[test]
fn the_declaration_names_the_columns_in_order() {
    let declaration = declaration();
    let names: Vec<&str> = declaration.column.iter().map(|c| c.name.as_str()).collect();
    let table = read("patients.csv");
    let header: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    assert_eq!(names, header);
    assert_eq!(declaration.name, "breast-cancer");

    let with_role = |role: &str| -> Vec<&Column> {
        let columns = declaration.column.iter();
        columns.filter(|column| column.role == role).collect()
    };
    assert_eq!(with_role("unit").len(), 1);
    assert_eq!(with_role("unit")[0].name, declaration.unit);
    assert_eq!(with_role("feature").len(), 30);
    assert_eq!(with_role("label").len(), 1);
}

#[test]
fn every_feature_has_bounds_around_a_typical_value() {
    for column in declaration().column {
        if column.role == "feature" {
            assert_eq!(column.r#type, "f64");
            let (lower, upper) = (column.lower.unwrap(), column.upper.unwrap());
            let typical = column.typical.unwrap();
            assert!(lower < typical && typical < upper, "{}", column.name);
        }
    }
}

#[test]
fn every_value_lies_within_its_bounds() {
    let columns = declaration().column;
    for line in read("patients.csv").lines().skip(1) {
        for (cell, column) in line.split(',').zip(&columns) {
            let (Some(lower), Some(upper)) = (column.lower, column.upper) else {
                assert_eq!(column.role, "unit");
                continue;
            };
            let value: f64 = cell.parse().unwrap();
            assert!((lower..=upper).contains(&value), "{}: {cell}", column.name);
        }
    }
}
