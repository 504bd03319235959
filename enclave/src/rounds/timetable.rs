//! When releases happen.

use std::time::{Duration, Instant};

use cloister_protocol::job::Schedule;

/// The times of a job's releases: number n is due at `start + first + n * interval`.
///
/// Admission has checked that the work of a release fits between the one before and its
/// time, by the fuel that the code may use. Work is late nevertheless when the host does not give
/// the enclave its processors; then this release and all later ones slip by as many whole
/// intervals as it takes. The host causes such a slip and learns nothing from it that
/// it did not do itself.
#[derive(Clone, Copy, Debug)]
pub struct Timetable {
    start: Instant,
    schedule: Schedule,
    slipped: u32,
}

impl Timetable {
    /// A timetable that begins now or then.
    #[must_use]
    pub fn new(start: Instant, schedule: Schedule) -> Self {
        Self { start, schedule, slipped: 0 }
    }

    /// When a release whose work was done at `ready` happens: never before `ready`.
    pub fn due(&mut self, number: u32, ready: Instant) -> Instant {
        let planned = self.planned(number);
        let late = ready.saturating_duration_since(planned);
        if late > Duration::ZERO {
            let interval = Duration::from_millis(self.schedule.interval_ms.max(1));
            let missed = late.as_nanos().div_ceil(interval.as_nanos());
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            self.slipped = self.slipped.saturating_add(missed);
        }
        self.planned(number)
    }

    fn planned(&self, number: u32) -> Instant {
        let intervals = u64::from(number) + u64::from(self.slipped);
        let milliseconds = intervals
            .saturating_mul(self.schedule.interval_ms)
            .saturating_add(self.schedule.first_ms);
        self.start + Duration::from_millis(milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_on_time_or_slip_by_whole_intervals() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut times = Timetable::new(start, Schedule { first_ms: 50, interval_ms: 100 });
        assert_eq!(times.due(0, at(1)), at(50));
        assert_eq!(times.due(1, at(150)), at(150));
        assert_eq!(times.due(2, at(251)), at(350), "late by 1 ms");
        assert_eq!(times.due(3, at(400)), at(450), "the slip stays");
        assert_eq!(times.due(4, at(750)), at(750), "late by exactly two intervals");
        assert_eq!(times.due(5, at(760)), at(850));
    }
}
