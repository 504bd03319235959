//! Small tables of patients that do not exist, and their description.

use std::fmt::Write as _;

/// `dataset.toml` of every table here.
pub const DESCRIPTION: &str = r#"name = "visits"
unit = "patient"
max-rows-per-unit = 50

[[column]]
name = "patient"
role = "unit"
type = "text"

[[column]]
name = "size"
role = "feature"
type = "f64"
lower = 0.0
upper = 10.0

[[column]]
name = "shape"
role = "feature"
type = "f64"
lower = 0.0
upper = 10.0

[[column]]
name = "shade"
role = "feature"
type = "f64"
lower = 0.0
upper = 10.0

[[column]]
name = "sick"
role = "label"
type = "f64"
lower = 0.0
upper = 1.0
"#;

/// A table to be written.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// How many patients.
    pub patients: u32,
    /// How many rows each of them has.
    pub visits: u32,
    /// Another number, other patients.
    pub seed: u32,
    /// The patient whose label is [`crate::guests::MARK`], if there is one.
    pub marked: Option<u32>,
}

impl Table {
    /// The table as CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = String::from("patient,size,shape,shade,sick\n");
        let mut state = self.seed.wrapping_mul(2_654_435_761).max(1);
        let mut number = || {
            // Marsaglia's xorshift: any numbers do, as long as they are the same each time.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            f64::from(state % 10_000) / 1000.0
        };
        for patient in 0..self.patients {
            for _ in 0..self.visits {
                let (size, shape, shade) = (number(), number(), number());
                let sick = if self.marked == Some(patient) {
                    f64::from(crate::guests::MARK)
                } else {
                    f64::from(u8::from(size + shape > 10.0))
                };
                let seed = self.seed;
                // Writing to a String cannot fail.
                let _ = writeln!(text, "P{seed:03}-{patient:05},{size},{shape},{shade},{sick}");
            }
        }
        text
    }
}
