//! Counting values.

use cloister_compute::Params;

/// Equal bins of a range. Each includes its beginning; the last one its end, too.
pub struct Histogram {
    /// Where the first bin begins.
    pub lower: f32,
    /// Where the last bin ends.
    pub upper: f32,
    /// How many.
    pub bins: u32,
}

impl Histogram {
    /// The one that a job's parameters ask for.
    pub fn of_job(params: &Params) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1024")]
        let bins = params.get("bins") as u32;
        Self { lower: params.get_f32("lower"), upper: params.get_f32("upper"), bins }
    }

    /// Adds a row's values, and 1 to the bin of each, to `statistics`: a row of sums, then
    /// a row for each bin, of which these columns begin at `first`.
    pub fn count(&self, values: &[f32], first: usize, columns: usize, statistics: &mut [f32]) {
        for (column, value) in (first..).zip(values) {
            let value = value.max(self.lower).min(self.upper);
            statistics[column] += value;
            statistics[(1 + self.bin(value)) * columns + column] += 1.0;
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below bins")]
    fn bin(&self, value: f32) -> usize {
        let position = (value - self.lower) / (self.upper - self.lower) * self.bins as f32;
        (position as usize).min(self.bins as usize - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_include_their_beginning_and_the_last_its_end() {
        let histogram = Histogram { lower: -1.0, upper: 1.0, bins: 4 };
        let bins = [-1.0, -0.51, -0.5, 0.0, 0.99, 1.0].map(|value| histogram.bin(value));
        assert_eq!(bins, [0, 0, 1, 2, 3, 3]);
    }

    #[test]
    fn values_are_clamped_and_counted_in_their_own_column() {
        let histogram = Histogram { lower: 0.0, upper: 1.0, bins: 2 };
        let mut statistics = [0.0; 9];
        histogram.count(&[0.25, 7.0], 0, 3, &mut statistics);
        histogram.count(&[-7.0], 2, 3, &mut statistics);
        assert_eq!(statistics[..3], [0.25, 1.0, 0.0]);
        assert_eq!(statistics[3..6], [1.0, 0.0, 1.0]);
        assert_eq!(statistics[6..], [0.0, 1.0, 0.0]);
    }
}
