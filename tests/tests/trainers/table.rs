//! The tables in `data/`, as an enclave has them after unsealing.

use std::{env, fs};

use anyhow::{Context, Result, ensure};
use cloister_enclave::rows::{Range, Shape};
use cloister_protocol::dataset::{Column, Role};
use cloister_sandbox::UnitRows;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::Deserialize;

use crate::root;

/// A table, every row a unit.
pub struct Table {
    /// What its columns mean.
    pub shape: Shape,
    /// Its rows, in their order.
    pub units: Vec<UnitRows>,
}

/// What is needed here of a `dataset.toml`.
#[derive(Deserialize)]
struct Description {
    column: Vec<Column>,
}

impl Table {
    /// Reads a table as one of its descriptions has it.
    pub fn read(table: &str, description: &str) -> Result<Self> {
        let text = |name: &str| fs::read_to_string(root()?.join("data").join(name)).context("data");
        let Description { column: columns } = toml::from_str(&text(description)?)?;
        let text = text(table)?;
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().context("an empty table")?;
        let chosen = |wanted: fn(Role) -> bool| {
            let mut found = Vec::new();
            for column in columns.iter().filter(|column| wanted(column.role)) {
                let place = header.iter().position(|name| *name == column.name);
                found.push((place.with_context(|| column.name.clone())?, Range::of(column)));
            }
            anyhow::Ok(found)
        };
        let features = chosen(|role| role == Role::Feature)?;
        let targets = chosen(|role| !matches!(role, Role::Feature | Role::Unit))?;
        let value = |line: &[&str], place: usize| line[place].parse::<f64>().ok();
        let unit = |(stream, line): (usize, Vec<&str>)| UnitRows {
            features: singles(features.iter().map(|(at, of)| of.relative(value(&line, *at)))),
            targets: singles(targets.iter().map(|(at, of)| of.repair(value(&line, *at)))),
            rows: 1,
            stream: stream as u64,
        };
        let units = lines.enumerate().map(unit).collect();
        let ranges = |columns: &[(usize, Range)]| columns.iter().map(|column| column.1).collect();
        let shape = Shape { features: ranges(&features), targets: ranges(&targets) };
        Ok(Self { shape, units })
    }

    /// The images of `data/mnist`; nothing, said aloud, where `cargo xtask test` could not get
    /// them.
    pub fn mnist() -> Result<Option<Self>> {
        let Some(path) = env::var_os("CLOISTER_MNIST") else {
            println!("SKIPPED: MNIST: CLOISTER_MNIST is not set; `cargo xtask test` sets it");
            return Ok(None);
        };
        let up_to = |upper: f64| {
            let rest =
                "name = \"\"\nrole = \"feature\"\ntype = \"f64\"\nlower = 0.0\ntypical = 0.0";
            let column: Column = toml::from_str(&format!("{rest}\nupper = {upper:?}"))?;
            anyhow::Ok(Range::of(&column))
        };
        let (pixel, class) = (up_to(255.0)?, up_to(1.0)?);
        let shape = Shape { features: vec![pixel; 784], targets: vec![class; 10] };
        let mut units = Vec::new();
        for (stream, line) in fs::read_to_string(path)?.lines().enumerate() {
            let numbers: Vec<f64> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
            let (digit, pixels) = numbers.split_last().context("an empty line")?;
            ensure!(pixels.len() == 784, "{} pixels", pixels.len());
            units.push(UnitRows {
                features: singles(pixels.iter().map(|value| pixel.relative(Some(*value)))),
                targets: (0..10_u8).map(|class| f32::from(f64::from(class) == *digit)).collect(),
                rows: 1,
                stream: stream as u64,
            });
        }
        ensure!(units.len() == 5000, "{} images", units.len());
        Ok(Some(Self { shape, units }))
    }

    /// A random fifth of the rows for a test, and the others.
    pub fn split_by(&self, seed: u64) -> (Vec<UnitRows>, Vec<UnitRows>) {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let mut keyed: Vec<_> =
            self.units.iter().map(|unit| (random.next_u64(), unit.clone())).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let mut units: Vec<_> = keyed.into_iter().map(|(_, unit)| unit).collect();
        let training = units.split_off(units.len() / 5);
        (units, training)
    }

    /// Every fifth row for a test, the first among them, and the others.
    pub fn split(&self) -> (Vec<UnitRows>, Vec<UnitRows>) {
        let numbered = self.units.iter().cloned().enumerate();
        let (test, training): (Vec<_>, Vec<_>) = numbered.partition(|(row, _)| row % 5 == 0);
        let rows = |part: Vec<(usize, UnitRows)>| part.into_iter().map(|(_, unit)| unit).collect();
        (rows(test), rows(training))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
fn singles(values: impl Iterator<Item = f64>) -> Vec<f32> {
    values.map(|value| value as f32).collect()
}

/// All rows of several units as those of one, as an enclave has a public set.
pub fn together(units: &[UnitRows]) -> UnitRows {
    UnitRows {
        features: units.iter().flat_map(|unit| unit.features.iter().copied()).collect(),
        targets: units.iter().flat_map(|unit| unit.targets.iter().copied()).collect(),
        rows: units.iter().map(|unit| unit.rows).sum(),
        stream: 0,
    }
}
