//! What was measured, for people and for machines.

use std::fmt;

use serde::Serialize;

/// A group as measured.
#[derive(Serialize)]
pub struct Table {
    /// As [`Group::evidence`](crate::Group::evidence).
    pub evidence: String,
    /// As [`Group::id`](crate::Group::id).
    pub id: &'static str,
    /// In the group's order.
    pub rows: Vec<Measured>,
    /// As [`Group::left_out`](crate::Group::left_out).
    pub left_out: Vec<String>,
}

/// A row as measured.
#[derive(Serialize)]
pub struct Measured {
    /// As [`Row::id`](crate::Row::id).
    pub id: &'static str,
    /// As [`Row::what`](crate::Row::what).
    pub what: String,
    /// The processor time of one run: the median.
    pub median_ns: f64,
    /// Where the median is, at 95 percent.
    pub median_95_ns: [f64; 2],
    /// The median of the group's first row in units of this one's: above 1, the first is slower.
    pub first_to_this: f64,
    /// Calls of the allocator in one run, to allocate or to grow.
    pub allocations: usize,
    /// Bytes asked for in them.
    pub allocated_bytes: usize,
}

impl Table {
    /// Sets the ratios.
    #[must_use]
    pub fn with_ratios(mut self) -> Self {
        let first = self.rows.first().map_or(f64::NAN, |row| row.median_ns);
        for row in &mut self.rows {
            row.first_to_this = first / row.median_ns;
        }
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n", self.id, self.evidence)?;
        let first = self.rows.first().map_or("", |row| row.id);
        let ratio = format!("{first} / this");
        writeln!(
            f,
            "{:<44} {:>10}  {:>21} {ratio:>17} {:>12} {:>9}",
            "", "median", "95% of the median", "allocations", "bytes"
        )?;
        for row in &self.rows {
            let [low, high] = row.median_95_ns.map(milliseconds);
            writeln!(
                f,
                "{:<44} {:>7} ms  {:>21} {:>17.2} {:>12} {:>9}",
                row.what,
                milliseconds(row.median_ns),
                format!("{low} to {high}"),
                row.first_to_this,
                row.allocations,
                row.allocated_bytes,
            )?;
        }
        for reason in &self.left_out {
            writeln!(f, "left out: {reason}")?;
        }
        Ok(())
    }
}

fn milliseconds(nanoseconds: f64) -> String {
    format!("{:.3}", nanoseconds / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(id: &'static str, median_ns: f64) -> Measured {
        Measured {
            id,
            what: format!("what {id} is"),
            median_ns,
            median_95_ns: [median_ns - 1e3, median_ns + 1e3],
            first_to_this: f64::NAN,
            allocations: 7,
            allocated_bytes: 70,
        }
    }

    #[test]
    fn ratios_are_of_the_first_row_to_each() {
        let table = Table {
            evidence: "a document".into(),
            id: "nitro",
            rows: vec![measured("ours-cold", 2e6), measured("peer", 8e6)],
            left_out: vec!["another peer: no licence".into()],
        }
        .with_ratios();
        let ratios: Vec<_> = table.rows.iter().map(|row| row.first_to_this).collect();
        assert_eq!(ratios, [1.0, 0.25]);
        let shown = table.to_string();
        for part in ["ours-cold / this", "2.000 ms", "1.999 to 2.001", "0.25", "left out: another"]
        {
            assert!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
    }
}
