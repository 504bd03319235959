//! What `cargo xtask bench compute` or `privacy` measured, for people and for machines.

use std::fmt;

use serde::Serialize;

/// Seconds of runs of the same work.
#[derive(Clone, Default, Serialize)]
pub struct Samples {
    /// On the wall.
    pub wall: Vec<f64>,
    /// On processors, of all processes that did the work, where it is known.
    pub processor: Vec<f64>,
}

impl Samples {
    /// The median time on the wall.
    #[must_use]
    pub fn median(&self) -> f64 {
        quantile(&self.wall, 0.5)
    }

    /// Processors in use, on the median: less than threads, if others had the machine.
    #[must_use]
    pub fn busy(&self) -> f64 {
        let shares: Vec<_> = self.processor.iter().zip(&self.wall).map(|(p, w)| p / w).collect();
        quantile(&shares, 0.5)
    }
}

/// A row as measured.
#[derive(Serialize)]
pub struct Measured {
    /// A name for machines, unique in its table.
    pub id: String,
    /// A name for people.
    pub what: String,
    /// Threads that compute, or worker processes.
    pub threads: usize,
    /// Units, or what else its table counts, in one run.
    pub units: usize,
    /// Units a second: the median.
    pub per_second: f64,
    /// Half of the runs were between these.
    pub per_second_quartiles: [f64; 2],
    /// Processors in use.
    pub busy: f64,
    /// Times of all runs.
    pub samples: Samples,
}

impl Measured {
    /// A row from its runs.
    #[must_use]
    pub fn new(id: String, what: String, threads: usize, units: usize, samples: Samples) -> Self {
        let rate = |quantile| units as f64 / quantile;
        Self {
            per_second: rate(samples.median()),
            per_second_quartiles: [0.75, 0.25].map(|part| rate(quantile(&samples.wall, part))),
            busy: samples.busy(),
            id,
            what,
            threads,
            units,
            samples,
        }
    }
}

/// Rows about the same work, ours first.
#[derive(Serialize)]
pub struct Table {
    /// What is computed.
    pub work: String,
    /// A name for machines.
    pub id: &'static str,
    /// What is counted: `units` or `rows`, `samples` or `parameters`.
    pub counted: &'static str,
    /// In the order of the group.
    pub rows: Vec<Measured>,
    /// What would be measured, and why it is not.
    pub left_out: Vec<String>,
    /// What was aimed at.
    pub aims: Vec<Aim>,
}

/// An aim beside what was measured.
#[derive(Serialize)]
pub struct Aim {
    /// What is measured.
    pub what: String,
    /// The aim.
    pub wanted: f64,
    /// Whether more is better.
    pub at_least: bool,
    /// What it is.
    pub found: f64,
}

impl Aim {
    /// An aim that `found` should not be above.
    #[must_use]
    pub fn at_most(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self { what: what.into(), wanted, at_least: false, found }
    }

    /// An aim that `found` should not be below.
    #[must_use]
    pub fn at_least(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self { what: what.into(), wanted, at_least: true, found }
    }
}

impl Table {
    /// How many times as fast as the second row the first is, where both were measured.
    #[must_use]
    pub fn ratio(&self, first: &str, second: &str) -> Option<f64> {
        Some(self.rate(first)? / self.rate(second)?)
    }

    /// Units a second in the row of this name.
    #[must_use]
    pub fn rate(&self, id: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.id == id).map(|row| row.per_second)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n", self.id, self.work)?;
        let first = self.rows.first();
        let rate = format!("{} a second", self.counted);
        let ratio = first.map_or(String::new(), |row| format!("{} / this", row.id));
        writeln!(
            f,
            "{:<50} {:>7} {rate:>16} {:>22} {:>5} {ratio:>15}",
            "", "threads", "half were in", "busy"
        )?;
        for row in &self.rows {
            let [low, high] = row.per_second_quartiles.map(thousands);
            writeln!(
                f,
                "{:<50} {:>7} {:>16} {:>22} {:>5.2} {:>15.2}",
                row.what,
                row.threads,
                thousands(row.per_second),
                format!("{low} to {high}"),
                row.busy,
                first.map_or(f64::NAN, |first| first.per_second / row.per_second),
            )?;
        }
        for reason in &self.left_out {
            writeln!(f, "LEFT OUT: {reason}")?;
        }
        self.aims.iter().try_for_each(|aim| writeln!(f, "aim: {aim}"))
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, wanted, at_least, found } = self;
        let (bound, met) =
            if *at_least { ("least", found >= wanted) } else { ("most", found <= wanted) };
        let verdict = if met { "met" } else { "MISSED" };
        write!(f, "{what}: {found:.2}, at {bound} {wanted}: {verdict}")
    }
}

/// The quantile `part` of `values`, between neighbours in proportion.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = part * sorted.len().saturating_sub(1) as f64;
    let at = |place: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in the list"
        )]
        sorted.get(place as usize).copied().unwrap_or(f64::NAN)
    };
    at(place.floor()) + (at(place.ceil()) - at(place.floor())) * place.fract()
}

/// A number with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(id: &str, wall: &[f64]) -> Measured {
        let processor = wall.iter().map(|wall| wall / 2.0).collect();
        let samples = Samples { wall: wall.to_vec(), processor };
        Measured::new(id.into(), format!("what {id} is"), 1, 4000, samples)
    }

    #[test]
    fn rates_are_of_the_median_run() {
        let row = measured("ours", &[0.5, 9.0, 1.0, 2.0, 0.8]);
        assert_eq!((row.per_second, row.busy), (4000.0, 0.5));
        assert_eq!(row.per_second_quartiles, [2000.0, 5000.0]);
        assert_eq!(quantile(&[4.0, 1.0], 0.5), 2.5);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_table_shows_ratios_and_aims() {
        let mut table = Table {
            work: "a model".into(),
            id: "perceptron",
            counted: "units",
            rows: vec![measured("ours-1", &[2.0]), measured("peer", &[0.001])],
            left_out: vec!["JAX: no network".into()],
            aims: Vec::new(),
        };
        assert_eq!(table.ratio("ours-1", "peer"), Some(0.0005));
        assert_eq!(table.ratio("ours-1", "jax"), None);
        table.aims = vec![Aim::at_least("speed", 0.7, 0.0005), Aim::at_most("memory", 64.0, 1.0)];
        let shown = table.to_string();
        for part in [
            "ours-1 / this",
            "4,000,000",
            "2,000 to 2,000",
            "0.50",
            "LEFT OUT: JAX: no network",
            "aim: speed: 0.00, at least 0.7: MISSED",
            "aim: memory: 1.00, at most 64: met",
        ] {
            assert!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
    }
}
