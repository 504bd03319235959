//! How well predictions fit labels.

/// How well a model's predictions fit the labels of some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The share of rows predicted right. With one target, prediction and label have to
    /// be on the same side of one half; with several, their largest has to be the same.
    pub accuracy: f64,
    /// The mean squared difference of predictions and labels.
    pub loss: f64,
}

impl Score {
    /// Nothing to compare.
    pub const NONE: Self = Self { accuracy: f64::NAN, loss: f64::NAN };

    /// Compares predictions with labels, both row after row of `targets` numbers.
    #[must_use]
    pub fn of(predictions: &[f32], labels: &[f32], targets: usize) -> Self {
        let rows = labels.len() / targets.max(1);
        if rows == 0 || predictions.len() != labels.len() {
            return Self::NONE;
        }
        let pairs = predictions.chunks_exact(targets).zip(labels.chunks_exact(targets));
        let right = pairs.filter(|(found, expected)| class(found) == class(expected)).count();
        let squares =
            predictions.iter().zip(labels).map(|(p, y)| (f64::from(*p) - f64::from(*y)).powi(2));
        Self {
            accuracy: right as f64 / rows as f64,
            loss: squares.sum::<f64>() / labels.len() as f64,
        }
    }
}

/// The class of one row: the place of its first largest number.
fn class(row: &[f32]) -> usize {
    if let [one] = row {
        return usize::from(*one >= 0.5);
    }
    let mut best = 0;
    for (place, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = place;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_is_split_at_one_half() {
        let found = Score::of(&[0.9, 0.5, 0.4, 0.1], &[1.0, 1.0, 1.0, 0.0], 1);
        assert_eq!(found.accuracy, 0.75);
        assert!((found.loss - (0.01 + 0.25 + 0.36 + 0.01) / 4.0).abs() < 1e-7);
    }

    #[test]
    fn several_targets_go_by_the_largest() {
        let found = Score::of(&[0.2, 0.8, 0.6, 0.4], &[0.0, 1.0, 0.0, 1.0], 2);
        assert_eq!(found.accuracy, 0.5);
    }

    #[test]
    fn nothing_to_compare_is_not_a_number() {
        assert!(Score::of(&[], &[], 1).accuracy.is_nan());
        assert!(Score::of(&[1.0], &[1.0, 0.0], 1).loss.is_nan());
        assert!(Score::of(&[], &[], 0).accuracy.is_nan());
    }
}
