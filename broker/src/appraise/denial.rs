//! Every reason for which a broker grants nothing, with a stable code.

use std::fmt;

use cloister_protocol::frames::Refusal;
use thiserror::Error;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $rule:literal, $remedy:literal;)*) => {
        /// A rule that every request is held against.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $rule] $name,)*
        }

        impl Rule {
            /// Every rule, in the order in which they are checked.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable code of its refusal.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The rule in words.
            #[must_use]
            pub fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)* }
            }

            /// What to do when it is broken.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

rules! {
    Transcript = "transcript",
        "The transcript is readable and of this version.",
        "Pass the transcript's bytes as the enclave made them, and update whichever side is older.";
    NonceUnknown = "nonce-unknown",
        "The transcript holds a nonce of this broker, under this broker's key id.",
        "Ask this broker for a challenge, and offer the job to the enclave again.";
    NonceExpired = "nonce-expired",
        "The nonce has not expired by the broker's clock.",
        "Ask for a new challenge, and ask for the grants without delay.";
    NonceUsed = "nonce-used",
        "Each nonce is good for one transcript.",
        "Ask for a new challenge: another transcript is another charge.";
    Evidence = "evidence",
        "The evidence binds this transcript, is recent, and comes from an enclave that the policy approves.",
        "See what failed; approve an enclave with `cloister policy trust-image` only if you know what it runs.";
    JobSignature = "job-signature",
        "The job carries the signature of the key that it names.",
        "Pass the job's bytes as its orchestrator signed them.";
    JobMismatch = "job-mismatch",
        "The job is the one in the transcript.",
        "Pass the job that the enclave was offered.";
    JobRules = "job-rules",
        "The job keeps the rules that every job keeps.",
        "Correct the job and submit it again.";
    PopulationApart = "population-apart",
        "The tables of a population stand next to each other in the job.",
        "Name them one after the other, and they are joined: apart, the same people would count twice.";
    JobOrchestrator = "job-orchestrator",
        "The policy lists the orchestrator that signed the job.",
        "If its jobs are welcome, add its key to [orchestrators] keys and sign the policy.";
    JobExpired = "job-expired",
        "The job has not expired by the broker's clock.",
        "Submit a new job.";
    PolicyExpired = "policy-expired",
        "The policy has not expired by the broker's clock.",
        "If the data may still be used, set [purposes] not-after and sign the policy.";
    JobPurpose = "job-purpose",
        "The policy allows the job's purpose.",
        "State the true purpose; if it is welcome, add it to [purposes] allowed and sign the policy.";
    Recipients = "recipients",
        "The policy allows the job's recipients.",
        "If they may read what leaves, add them to [recipients] allowed and sign the policy.";
    CodeSignature = "code-signature",
        "The code's manifest carries the signature of the key that it names.",
        "Pass the manifest's bytes as its author signed them.";
    CodeMismatch = "code-mismatch",
        "The code is the one in the job and in the transcript.",
        "Pass the code's manifest that the enclave was offered.";
    CodeRules = "code-rules",
        "The code's manifest keeps the rules, and the job's parameters are in its ranges.",
        "Correct the manifest or the job's parameters.";
    CodeNotApproved = "code-not-approved",
        "The policy approves the code.",
        "Read the code, then approve it with `cloister code approve`.";
    DatasetManifest = "dataset-manifest",
        "Each dataset's manifest is signed by its owner, and says what job and transcript say.",
        "Pass headers and manifests in the job's order, as they were sealed.";
    DatasetJoin = "dataset-join",
        "Tables of one population can be joined by unit.",
        "Seal them for one broker, with one type of unit, different columns, and max-rows-per-unit above 1 in one of them at most.";
    DatasetUnknown = "dataset-unknown",
        "The job has a dataset of this broker's owner, and this broker holds its key.",
        "Ask the broker that the dataset's header names; the owner keeps keys where `cloister data seal` put them.";
    DatasetPopulation = "dataset-population",
        "The policy is for the population of the dataset.",
        "Seal the dataset with the population that the policy names.";
    PolicyOutdated = "policy-outdated",
        "The transcript names the newest policy.",
        "Ask for a new challenge: it names the policy in force.";
    CohortOwner = "cohort-owner",
        "The policy lists the owner of every dataset in the job.",
        "If that owner's company is welcome, add its key to [cohort] owners and sign the policy.";
    CohortOwners = "cohort-owners",
        "The job has as many owners as the policy demands.",
        "Find more owners for the job.";
    CohortUnits = "cohort-units",
        "The job has as many units as the policy demands.",
        "Find more data for the job.";
    UnitRow = "unit-row",
        "Rows are units only where the policy says so.",
        "Seal the dataset with a column that says which rows belong together, or set [units] per-row.";
    CostMismatch = "cost-mismatch",
        "The job states what its releases cost.",
        "Plan the job again with `cloister run`, which computes its cost.";
    JobBudget = "job-budget",
        "The job costs no more than the policy allows one job.",
        "Plan the job with a smaller epsilon.";
    JobRepeated = "job-repeated",
        "A job is granted once for each population, in one transcript.",
        "The orchestrator signs a new job and submits that: the host cannot have the same one paid for again.";
    BudgetAccount = "budget-account",
        "A population's account counts as it did at its first grant.",
        "Set [budget] order back to what it was, or leave it out if it was not there, and sign the policy.";
    BudgetExhausted = "budget-exhausted",
        "What is left of the population's budget suffices.",
        "Plan the job with a smaller epsilon; what was spent never comes back.";
}

/// A request was refused: by which rule, what it expects, and what was found instead.
/// All text is safe to log and to send.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} Expected {expected}, found {found}. {}", rule.rule(), rule.remedy())]
pub struct Denial {
    /// The rule.
    pub rule: Rule,
    /// What would have passed.
    pub expected: String,
    /// What the request has.
    pub found: String,
}

impl Denial {
    /// A denial by `rule`.
    pub(crate) fn new(rule: Rule, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        let clean = |text: String| text.chars().filter(|c| !c.is_control()).take(2000).collect();
        Self { rule, expected: clean(expected.to_string()), found: clean(found.to_string()) }
    }
}

impl From<&Denial> for Refusal {
    fn from(denial: &Denial) -> Self {
        Self { code: denial.rule.code().to_owned(), message: denial.to_string() }
    }
}
