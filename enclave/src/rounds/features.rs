//! What happens to features between rows and code.

use cloister_sandbox::UnitRows;

use crate::rows::Units;

/// `clamp(scale * (x - centre))`, column by column, computed in doubles.
pub(super) struct Standardise {
    pub(super) centre: Vec<f64>,
    pub(super) scale: f64,
    pub(super) clamp: f64,
}

impl Standardise {
    /// Changes every row in place.
    pub(super) fn apply(&self, units: &mut Units) {
        for row in units.feature_rows(self.centre.len()) {
            self.row(row);
        }
    }

    /// A changed copy of public rows.
    pub(super) fn applied(&self, public: &Units) -> UnitRows {
        let mut copy = public.as_slice().first().cloned().unwrap_or_default();
        for row in copy.features.chunks_exact_mut(self.centre.len().max(1)) {
            self.row(row);
        }
        copy
    }

    #[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
    fn row(&self, row: &mut [f32]) {
        for (x, centre) in row.iter_mut().zip(&self.centre) {
            let z = self.scale * (f64::from(*x) - centre);
            *x = z.clamp(-self.clamp, self.clamp) as f32;
        }
    }
}

/// The mean of a unit's rows, feature by feature.
#[expect(clippy::cast_possible_truncation, reason = "the gate takes singles")]
pub(super) fn mean(unit: &UnitRows, columns: usize) -> Vec<f32> {
    let mut total = vec![0.0_f64; columns];
    for row in unit.features.chunks_exact(columns.max(1)) {
        for (sum, x) in total.iter_mut().zip(row) {
            *sum += f64::from(*x);
        }
    }
    let rows = f64::from(unit.rows.max(1));
    total.into_iter().map(|sum| (sum / rows) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(features: &[f32], rows: u32) -> UnitRows {
        UnitRows { features: features.to_vec(), rows, ..UnitRows::default() }
    }

    #[test]
    fn means_are_taken_over_a_units_own_rows() {
        assert_eq!(mean(&unit(&[1.0, 2.0, 3.0, 6.0], 2), 2), [2.0, 4.0]);
        assert_eq!(mean(&unit(&[], 0), 2), [0.0, 0.0]);
    }

    #[test]
    fn features_are_centred_scaled_and_clamped() {
        let standardise = Standardise { centre: vec![0.5, 0.0], scale: 10.0, clamp: 3.0 };
        let mut units = Units::from_rows(vec![unit(&[0.75, 0.1, 0.0, 9.0], 2)]);
        let copy = standardise.applied(&units);
        standardise.apply(&mut units);
        assert_eq!(units.as_slice()[0].features, [2.5, 1.0, -3.0, 3.0]);
        assert_eq!(copy.features, units.as_slice()[0].features);
    }

    #[test]
    fn a_clamp_that_is_huge_stays_finite() {
        let standardise = Standardise { centre: vec![1e300], scale: 1e300, clamp: 1e300 };
        let mut units = Units::from_rows(vec![unit(&[1.0], 1)]);
        standardise.apply(&mut units);
        // The code gets an infinity that the job asked for; the gate makes it harmless.
        assert!(units.as_slice()[0].features[0].is_infinite());
    }
}
