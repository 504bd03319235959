//! How long each exchange may take.

use std::time::Duration;

/// How long each exchange may take. Every one has a bound: a peer that stalls is
/// dropped, and the job it stalled ends with a reason.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// One request to a broker, its answer included.
    pub broker: Duration,
    /// A broker that cannot be reached is tried again for this long.
    pub broker_retry: Duration,
    /// One frame from or to the enclave. Checking an offer compiles its code, and
    /// while following a heartbeat comes every second.
    pub frame: Duration,
    /// The whole load of one dataset, for each GiB that it has begun.
    pub load_per_gib: Duration,
    /// A starting enclave until it answers.
    pub start: Duration,
    /// A job waits this long for an enclave that is not up.
    pub enclave: Duration,
    /// A release may be late by ten of its intervals, and by no less than this.
    pub late: Duration,
    /// An enclave that runs an abandoned job has this long to end it, which it does at
    /// the next release; then it is started anew.
    pub vacate: Duration,
}

impl Deadlines {
    /// How long the load of `length` bytes may take.
    #[must_use]
    pub fn load(&self, length: u64) -> Duration {
        let begun = u32::try_from((length >> 30) + 1).unwrap_or(u32::MAX);
        self.load_per_gib.saturating_mul(begun)
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            broker: Duration::from_secs(30),
            broker_retry: Duration::from_mins(2),
            frame: Duration::from_secs(30),
            load_per_gib: Duration::from_mins(2),
            start: Duration::from_secs(30),
            enclave: Duration::from_mins(5),
            late: Duration::from_mins(10),
            vacate: Duration::from_secs(10),
        }
    }
}
