//! The rows of one privacy unit, as plain numbers.

/// The rows of one privacy unit: `rows` times the job's features and targets.
///
/// It holds what nobody may see, so it has no `Debug`.
#[derive(Clone, Default, PartialEq)]
pub struct UnitRows {
    /// Row after row, `rows` x features.
    pub features: Vec<f32>,
    /// Row after row, `rows` x targets.
    pub targets: Vec<f32>,
    /// Number of rows; 0 for an empty unit.
    pub rows: u32,
    /// Which stream of the code's random numbers is this unit's. It has to follow from the
    /// unit alone: a position among other units would tell the code about their rows.
    pub stream: u64,
}

impl UnitRows {
    /// Whether the vectors are as long as `rows` says, and within the limit.
    pub(crate) fn fits(&self, features: u32, targets: u32) -> bool {
        let expected = |columns: u32| u64::from(self.rows) * u64::from(columns);
        self.features.len() as u64 == expected(features)
            && self.targets.len() as u64 == expected(targets)
            && self.features.len() + self.targets.len() <= crate::MAX_UNIT_ELEMENTS
    }
}
