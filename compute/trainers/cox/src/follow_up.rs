//! Times, cut into intervals.

use cloister_compute::Params;

/// Equal intervals from zero to a horizon. Each includes its end and not its beginning.
pub struct FollowUp {
    /// How many.
    pub intervals: u32,
    /// How long each is.
    width: f32,
}

impl FollowUp {
    /// Those that a job's parameters ask for.
    pub fn of_job(params: &Params) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 256")]
        let intervals = params.get("intervals") as u32;
        Self { intervals, width: params.get_f32("horizon") / intervals as f32 }
    }

    /// The share of each interval in which a row was observed.
    pub fn observed(&self, time: f32) -> impl Iterator<Item = f32> {
        let end = time / self.width;
        (0..self.intervals).map(move |interval| (end - interval as f32).clamp(0.0, 1.0))
    }

    /// 1 for the interval in which the event happened, 0 for the others.
    pub fn events(&self, time: f32, event: f32) -> impl Iterator<Item = f32> {
        let end = (time / self.width).ceil().max(1.0);
        let happened = event >= 0.5;
        (1..=self.intervals).map(move |interval| {
            let here = happened && end == interval as f32;
            f32::from(u8::from(here))
        })
    }

    /// The expected time up to the horizon, and the probability of the event by then, for
    /// these hazards.
    pub fn outlook(&self, hazards: &[f32]) -> [f32; 2] {
        let (mut surviving, mut time) = (1.0, 0.0);
        for hazard in hazards {
            let dying = -surviving * (-hazard).exp_m1();
            time += self.width * dying / hazard;
            surviving -= dying;
        }
        [time, 1.0 - surviving]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: FollowUp = FollowUp { intervals: 3, width: 2.0 };

    fn observed(time: f32) -> Vec<f32> {
        YEARS.observed(time).collect()
    }

    fn events(time: f32, event: f32) -> Vec<f32> {
        YEARS.events(time, event).collect()
    }

    #[test]
    fn intervals_are_observed_in_part() {
        assert_eq!(observed(0.0), [0.0, 0.0, 0.0]);
        assert_eq!(observed(2.5), [1.0, 0.25, 0.0]);
        assert_eq!(observed(9.0), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn an_event_is_in_one_interval_or_after_the_horizon() {
        assert_eq!(events(2.5, 1.0), [0.0, 1.0, 0.0]);
        assert_eq!(events(2.5, 0.0), [0.0, 0.0, 0.0]);
        assert_eq!(events(2.0, 1.0), [1.0, 0.0, 0.0], "an interval includes its end");
        assert_eq!(events(0.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(events(6.5, 1.0), [0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_constant_hazard_is_an_exponential_time() {
        let [time, event] = YEARS.outlook(&[0.4; 3]);
        let surviving = (-1.2_f32).exp();
        assert!((event - (1.0 - surviving)).abs() < 1e-6, "{event}");
        assert!((time - (1.0 - surviving) / 0.2).abs() < 1e-5, "{time}");
        let [time, event] = YEARS.outlook(&[1e-9; 3]);
        assert!((time - 6.0).abs() < 1e-5 && event < 1e-6);
    }
}
