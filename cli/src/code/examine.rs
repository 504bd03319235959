//! What every unit's update is at one model: the author's own rows, so nothing is hidden.

use std::collections::BTreeMap;

use cloister_sandbox::{Outcome, Pool};
use serde_json::{Value, json};

use crate::{
    error::{Context, Result},
    ui::{self, Page, Ui},
};

/// At most so many units are looked at, spread over all.
const MOST: u32 = 5000;

/// What was found.
pub struct Findings {
    units: u32,
    clipped: u32,
    /// Sorted.
    norms: Vec<f64>,
    /// Sorted.
    fuel: Vec<u64>,
    memory: u64,
    failures: BTreeMap<&'static str, u32>,
}

/// Looks at the units of a pool one by one.
pub fn all(
    pool: &mut Pool,
    round: u32,
    model: &[f32],
    clip: f64,
    ui: Ui,
    go_on: impl Fn() -> Result<()>,
) -> Result<Findings> {
    let all = pool.units();
    let units = all.min(MOST);
    let bar = ui.bar(units.into(), "looking at updates");
    let mut found = Findings {
        units,
        clipped: 0,
        norms: Vec::new(),
        fuel: Vec::new(),
        memory: 0,
        failures: BTreeMap::new(),
    };
    for place in 0..units {
        go_on()?;
        let unit = u64::from(place) * u64::from(all) / u64::from(units);
        let unit = u32::try_from(unit).doing("a unit's number")?;
        let one = pool.examine(round, model, unit).doing("a worker")?;
        found.fuel.push(one.fuel);
        found.memory = found.memory.max(one.memory);
        if one.outcome == Outcome::Update {
            let norm = one.update.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            found.clipped += u32::from(norm > clip);
            found.norms.push(norm);
        } else {
            *found.failures.entry(reason(one.outcome)).or_default() += 1;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    found.norms.sort_by(f64::total_cmp);
    found.fuel.sort_unstable();
    Ok(found)
}

/// Why a unit has no update, and what to do.
pub(super) fn reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Update => "has an update",
        Outcome::DoesNotFit => "its rows are too many: at most 4 Mi numbers",
        Outcome::Panicked => "the code panicked",
        Outcome::OutOfFuel => "out of fuel: raise limits.fuel, or compute less",
        Outcome::StackOverflow => "calls were nested too deeply",
        Outcome::OutOfMemory => "tensors took more than half of limits.memory",
        Outcome::KernelShape => "a kernel was given shapes that do not fit",
        Outcome::KernelRange => "an index was out of range",
        Outcome::KernelOutput => {
            "a kernel was to write to its input, or to read-only rows or model"
        }
        Outcome::UpdateShape => "the update has another shape than the model",
        Outcome::NotFinite => "the update has NaN or infinity",
        Outcome::Died => "it ended its worker",
        _ => "the code trapped: out of linear memory, a bad handle or a bad address",
    }
}

impl Findings {
    /// For a person.
    pub fn page(&self, when: &str, clip: f64, limit: u64) -> Page {
        let share = |count: u32| {
            format!(
                "{count} of {} ({:.1}%)",
                self.units,
                100.0 * f64::from(count) / f64::from(self.units.max(1))
            )
        };
        let [norm_median, norm_most] = [0.5, 0.9].map(|q| quantile(&self.norms, q));
        let mut page = Page::new().title(format!("Updates at the {when} model"));
        if let (Some(median), Some(most)) = (norm_median, norm_most) {
            page = page
                .row("norm", format!("median {median:.4}, nine of ten at most {most:.4}"))
                .row(format!("clipped at {clip}"), share(self.clipped));
        }
        let [median, most] = [0.5, 1.0].map(|q| quantile(&self.fuel, q).unwrap_or(0));
        page = page
            .row("fuel", format!("median {median}, at most {most} of {limit}"))
            .row("linear memory", ui::bytes(self.memory));
        if self.failures.is_empty() {
            return page.row("without an update", "none");
        }
        for (reason, count) in &self.failures {
            page = page.bad(format!("{}: {reason}", share(*count)));
        }
        page
    }

    /// For a program.
    pub fn json(&self) -> Value {
        json!({
            "units": self.units,
            "clipped": self.clipped,
            "norm": { "median": quantile(&self.norms, 0.5), "p90": quantile(&self.norms, 0.9) },
            "fuel": { "median": quantile(&self.fuel, 0.5), "most": self.fuel.last() },
            "memory": self.memory,
            "failures": self.failures,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in the list, from a share between 0 and 1"
)]
fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let place = (share * sorted.len() as f64) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_elements() {
        assert_eq!(quantile(&[1, 2, 3, 4], 0.5), Some(3));
        assert_eq!(quantile(&[1, 2, 3, 4], 1.0), Some(4));
        assert_eq!(quantile::<u64>(&[], 0.5), None);
    }
}
