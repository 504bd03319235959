//! From shares to survival.

use cloister_compute::Params;

/// Equal intervals from zero to a horizon. Each includes its end and not its beginning.
pub struct Curve {
    /// How many.
    pub intervals: u32,
    /// How long each is.
    width: f32,
}

impl Curve {
    /// The one that a job's parameters ask for.
    pub fn of_job(params: &Params) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1024")]
        let intervals = params.get("intervals") as u32;
        Self { intervals, width: params.get_f32("horizon") / intervals as f32 }
    }

    /// The interval of a time, unless it is after the horizon.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below intervals")]
    pub fn interval(&self, time: f32) -> Option<u32> {
        let end = (time / self.width).ceil().max(1.0);
        (end <= self.intervals as f32).then(|| end as u32 - 1)
    }

    /// The expected time up to the horizon, and the probability of the event by then.
    /// Noise may leave nobody at risk; then survival stays as it is.
    pub fn outlook(&self, events: &[f32], censored: &[f32]) -> [f32; 2] {
        let (mut risk, mut surviving, mut time) = (1.0_f32, 1.0_f32, 0.0);
        for (event, censored) in events.iter().zip(censored) {
            let before = surviving;
            if risk > 0.0 {
                surviving *= (1.0 - event / risk).clamp(0.0, 1.0);
            }
            risk -= event + censored;
            time += self.width * 0.5 * (before + surviving);
        }
        [time, 1.0 - surviving]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: Curve = Curve { intervals: 3, width: 2.0 };

    #[test]
    fn times_are_in_intervals_or_after_the_horizon() {
        let intervals = [0.0, 2.0, 2.1, 6.0, 6.1].map(|time| YEARS.interval(time));
        assert_eq!(intervals, [Some(0), Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn survival_is_a_product_over_those_at_risk() {
        let [time, event] = YEARS.outlook(&[0.2, 0.15, 0.0], &[0.5, 0.0, 0.0]);
        // 1, then 0.8 of whom 0.3 are left to watch, half of whom have the event.
        assert!((event - 0.6).abs() < 1e-6, "{event}");
        assert!((time - (1.8 + 1.2 + 0.8)).abs() < 1e-5, "{time}");
    }

    #[test]
    fn noise_makes_no_nonsense() {
        let [time, event] = YEARS.outlook(&[-0.1, 1.5, 0.3], &[0.2, 0.0, 0.0]);
        assert!((0.0..=6.0).contains(&time) && event == 1.0);
    }
}
