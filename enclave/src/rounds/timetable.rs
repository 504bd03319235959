//! When releases happen.

use std::time::{Duration, Instant};

use cloister_protocol::job::Schedule;

/// The times of a job's releases: `start + first`, and then every interval.
///
/// Admission has checked that the work of a release fits between the one before and its
/// time, by the fuel that the code may use. Work is late nevertheless when the host does not give
/// the enclave its processors, and then lateness could tell how long the work took. So the
/// interval doubles until the work is in time, and stays so for the rest of the job: in a
/// whole job there are no more outcomes than doublings, whatever the code and the host do.
#[derive(Clone, Copy, Debug)]
pub struct Timetable {
    /// When the last release was due, or the start.
    last: Instant,
    /// From there to the next one.
    step: Duration,
    interval: Duration,
}

impl Timetable {
    /// A timetable that begins now or then.
    #[must_use]
    pub fn new(start: Instant, schedule: Schedule) -> Self {
        let step = Duration::from_millis(schedule.first_ms);
        let interval = Duration::from_millis(schedule.interval_ms.max(1));
        Self { last: start, step, interval }
    }

    /// When the next release, whose work was done at `ready`, happens: never before that.
    pub fn due(&mut self, ready: Instant) -> Instant {
        let planned = self.last + self.step;
        let mut due = planned;
        while due < ready {
            self.interval *= 2;
            due = planned + self.interval;
        }
        self.last = due;
        self.step = self.interval;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_on_time_or_the_interval_doubles() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut times = Timetable::new(start, Schedule { first_ms: 50, interval_ms: 100 });
        assert_eq!(times.due(at(1)), at(50));
        assert_eq!(times.due(at(150)), at(150), "just in time");
        assert_eq!(times.due(at(251)), at(450), "late by 1 ms: 200 ms from now on");
        assert_eq!(times.due(at(500)), at(650));
        assert_eq!(times.due(at(2000)), at(2450), "850 was planned; 400, 800, 1600 ms");
        assert_eq!(times.due(at(2451)), at(4050));
    }

    /// However late each release is, there are few times at which it can happen.
    #[test]
    fn lateness_has_few_outcomes() {
        let start = Instant::now();
        let mut outcomes = std::collections::BTreeSet::new();
        for late in 0..60_000 {
            let mut times = Timetable::new(start, Schedule { first_ms: 100, interval_ms: 100 });
            outcomes.insert(times.due(start + Duration::from_millis(late)));
        }
        assert!(outcomes.len() <= 11, "{}", outcomes.len());
    }
}
