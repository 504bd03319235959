//! How far a job is.

use std::fmt;

use serde::Serialize;

/// How far a job is. It only moves down this list, and always ends in one of the
/// last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// Challenges are fetched, the enclave checks the offer and attests. Nothing is
    /// charged; a restart begins again here.
    Preparing,
    /// The brokers are asked. From here on budget may be spent, and the job is never
    /// tried again by itself.
    Granting,
    /// The sealed data goes to the enclave.
    Loading,
    /// Rounds run and releases arrive.
    Running,
    /// All releases are here.
    Done,
    /// It ended with a reason.
    Failed,
}

impl JobState {
    const ALL: [Self; 7] = [
        Self::Queued,
        Self::Preparing,
        Self::Granting,
        Self::Loading,
        Self::Running,
        Self::Done,
        Self::Failed,
    ];

    /// The state as the API and the database write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Granting => "granting",
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether brokers may have reserved budget for the job that is in this state.
    #[must_use]
    pub const fn may_have_cost(self) -> bool {
        matches!(self, Self::Granting | Self::Loading | Self::Running)
    }

    /// Whether the job has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
