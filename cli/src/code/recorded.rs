//! Whether code is recorded, or gets an instance for each unit, and why.

use std::collections::BTreeMap;

use cloister_sandbox::{Compiled, Settings, Trial, UnitRows, Way};
use serde_json::{Value, json};

use super::examine;
use crate::{
    error::{Context, Result},
    ui::{self, Page},
};

/// At most so many numbers of rows are tried, the smallest ones: a recording takes as long as
/// a unit.
const MOST: usize = 64;

/// By how an update is computed: numbers of rows, and units that have them.
pub struct Ways {
    of: BTreeMap<Way, (Vec<u32>, usize)>,
    /// Numbers of rows that were not tried.
    beyond: usize,
}

impl Ways {
    /// Finds out for each number of rows that a unit has. The code is given zeros.
    pub fn find(compiled: &Compiled, settings: &Settings, units: &[UnitRows]) -> Result<Self> {
        let mut counts = BTreeMap::<u32, usize>::new();
        for unit in units {
            *counts.entry(unit.rows).or_default() += 1;
        }
        let trial = Trial::new(compiled, settings.clone()).doing("the code's first model")?;
        let mut of = BTreeMap::<_, (Vec<u32>, usize)>::new();
        for (rows, units) in counts.iter().take(MOST) {
            let (all, sum) = of.entry(trial.way(*rows)).or_default();
            all.push(*rows);
            *sum += units;
        }
        Ok(Self { of, beyond: counts.len().saturating_sub(MOST) })
    }

    /// For a person.
    pub fn page(&self) -> Page {
        let mut page = Page::new().title("How updates are computed");
        for (way, (rows, units)) in &self.of {
            let units = format!("{units} units, rows of each: {}", ui::ranges(rows));
            page = match way {
                Way::Recorded(operations) => {
                    let once = format!("{operations} operations, done for many units at once");
                    page.row("recorded", format!("{once} ({units})"))
                }
                other => page.row("an instance each", format!("{} ({units})", why(*other))),
            };
        }
        if self.beyond > 0 {
            page = page.row("not tried", format!("{} more numbers of rows", self.beyond));
        }
        page
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let one = |(way, (rows, units)): (&Way, &(Vec<u32>, usize))| {
            let (operations, looks, why) = match way {
                Way::Recorded(operations) => (Some(operations), None, None),
                Way::Looks(function) => (None, Some(function), Some(why(*way))),
                other => (None, None, Some(why(*other))),
            };
            json!({
                "rows": rows,
                "units": units,
                "recorded": operations.is_some(),
                "operations": operations,
                "looks": looks,
                "why": why,
            })
        };
        json!(self.of.iter().map(one).collect::<Vec<_>>())
    }
}

/// Why an instance is needed for each unit.
fn why(way: Way) -> String {
    match way {
        Way::Looks(function) => format!("the code calls `{function}`, which shows it an element"),
        Way::Fails(outcome) => {
            format!("given zeros, there is no update: {}", examine::reason(outcome))
        }
        _ => "the code asks for more than is recorded".to_owned(),
    }
}
