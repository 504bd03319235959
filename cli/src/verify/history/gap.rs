//! What does not fit, and what was not given.

use serde_json::{Value, json};

/// One thing that does not fit, or is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Which rule it breaks.
    pub(super) code: Code,
    /// The file, or the entry.
    pub(super) place: String,
    /// What is wrong, and what to do.
    pub(super) what: String,
}

/// The rules, by the names that machines have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// A log is not whole, or not signed by its owner.
    LogUnusable,
    /// A log is of somebody whom the verifier did not name.
    LogOwner,
    /// Two logs of one owner differ.
    LogFork,
    /// A policy came into force after a newer one.
    PolicyOrder,
    /// A reservation under a policy that was not in force.
    PolicyNotInForce,
    /// One job was paid for twice.
    JobRepeated,
    /// A population's account that counts otherwise than before.
    BudgetAccount,
    /// A reservation from before the entry that it follows.
    ClockBack,
    /// A grant that the log does not know.
    GrantMissing,
    /// The same, where the log was exported before the grant can have been made.
    LogOlder,
    /// The same, where the log went on without the grant.
    LogForked,
    /// A grant that the log has behind other entries than its own head says.
    LogRewritten,
    /// The entry at a grant's head is not its reservation.
    EntryDiffers,
    /// A reservation that does not cost what its job costs.
    CostDiffers,
    /// Two grants for one job, in receipts.
    GrantsDiverge,
    /// A reservation without a receipt.
    NoReceipt,
    /// A job without all of its releases.
    ReleasesMissing,
    /// An owner whose log was not given.
    NoLog,
}

impl Code {
    /// The name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::LogUnusable => "log-unusable",
            Self::LogOwner => "log-owner",
            Self::LogFork => "log-fork",
            Self::PolicyOrder => "policy-order",
            Self::PolicyNotInForce => "policy-not-in-force",
            Self::JobRepeated => "job-repeated",
            Self::BudgetAccount => "budget-account",
            Self::ClockBack => "clock-back",
            Self::GrantMissing => "grant-missing",
            Self::LogOlder => "log-older",
            Self::LogForked => "log-forked",
            Self::LogRewritten => "log-rewritten",
            Self::EntryDiffers => "entry-differs",
            Self::CostDiffers => "cost-differs",
            Self::GrantsDiverge => "grants-diverge",
            Self::NoReceipt => "no-receipt",
            Self::ReleasesMissing => "releases-missing",
            Self::NoLog => "no-log",
        }
    }
}

impl Gap {
    pub(super) fn new(code: Code, place: impl ToString, what: impl ToString) -> Self {
        Self { code, place: place.to_string(), what: what.to_string() }
    }

    /// In a line.
    pub(super) fn words(&self) -> String {
        let Self { code, place, what } = self;
        format!("{place}: {what} [{}]", code.name())
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        json!({ "code": self.code.name(), "place": self.place, "what": self.what })
    }
}
