//! What the columns of a job's datasets mean, without their names.

use cloister_protocol::dataset::{Column, HeaderCore};

/// The public bounds of a numeric column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    lower: f64,
    upper: f64,
    typical: f64,
}

/// Features and targets of a job, in the header's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// What is trained on.
    pub features: Vec<Range>,
    /// What is to be predicted.
    pub targets: Vec<Range>,
}

impl Shape {
    /// The shape of a validated header.
    #[must_use]
    pub fn of(header: &HeaderCore) -> Self {
        Self {
            features: header.features().map(Range::of).collect(),
            targets: header.targets().map(Range::of).collect(),
        }
    }
}

impl Range {
    /// The range of a validated numeric column.
    #[must_use]
    pub fn of(column: &Column) -> Self {
        let (lower, upper, typical) = column.range();
        Self { lower, upper, typical }
    }

    /// A value within the bounds, whatever was there.
    #[must_use]
    pub fn repair(&self, value: Option<f64>) -> f64 {
        match value {
            Some(x) if !x.is_nan() => x.clamp(self.lower, self.upper),
            _ => self.typical,
        }
    }

    /// The repaired value's distance from the typical one, in units of the whole range.
    #[must_use]
    pub fn relative(&self, value: Option<f64>) -> f64 {
        (self.repair(value) - self.typical) / (self.upper - self.lower)
    }
}
