//! The owner's data policy: what enclaves, code, purposes and cohorts, at what cost.
//!
//! A person writes TOML ([`from_toml`](Policy::from_toml)); the owner signs its
//! compiled form, [`Policy`], and the broker serves nothing else. Every section has
//! to be there: leaving one out denies, and says which.

mod edit;
mod enclaves;
mod explain;
mod template;
mod text;

use cloister_attestation::{Measurements, MeasurementsError};
use cloister_privacy::{Accounting, Order, Zcdp};
use cloister_protocol::{
    Digest, KeyId, Kind, Signed, SigningKey,
    dataset::Population,
    job::Recipients,
    keys::KeyError,
    signed::{SignedError, Verified},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use edit::trust_image;
pub use enclaves::{Enclave, Section, Unprotected, enclaves, warnings};
pub use explain::{explain, odds};
pub use template::{Template, template};

/// The sections that every policy has, enclaves apart.
pub const SECTIONS: [&str; 10] = [
    "policy",
    "population",
    "budget",
    "purposes",
    "code",
    "orchestrators",
    "recipients",
    "cohort",
    "units",
    "evidence",
];

/// A policy as its owner signs it. One policy belongs to one population.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Format of this structure: always 1.
    pub format: u32,
    /// A name for people, if the owner gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Grows with every change. A broker never goes back to a smaller one.
    pub version: u64,
    /// Whom the data is about.
    pub population: Population,
    /// What may be spent.
    pub budget: Budget,
    /// What for, and until when.
    pub purposes: Purposes,
    /// Which code.
    pub code: Code,
    /// Whose jobs.
    pub orchestrators: Vec<KeyId>,
    /// Who may read what leaves.
    pub recipients: Vec<Recipients>,
    /// In whose company.
    pub cohort: Cohort,
    /// Whether single rows may be the units of privacy.
    pub per_row: bool,
    /// How old evidence may be, in seconds.
    pub evidence_max_age: u32,
    /// Which enclaves.
    pub enclaves: Measurements,
}

impl Kind for Policy {
    const KIND: &'static str = "policy";
}

/// What may be spent on the people in the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// By all jobs together, for ever.
    pub total: Amount,
    /// By one job.
    pub per_job: Amount,
    /// The order of Rényi divergence at which the account is kept, if it is one. Sampling of
    /// units then makes jobs cheaper. It cannot be changed after the first grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

impl Budget {
    /// How the account counts.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        Accounting::of(self.order)
    }
}

/// An amount of privacy: as a person says it, and as the ledger counts it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Epsilon.
    pub epsilon: f64,
    /// Delta.
    pub delta: f64,
    /// The most that guarantees this (epsilon, delta) in the policy's account, rounded down.
    pub rho: Zcdp,
}

/// What the data may be used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purposes {
    /// The purposes, in the words that jobs use.
    pub allowed: Vec<String>,
    /// After this time (seconds since 1970) nothing is granted.
    pub not_after: u64,
}

/// Which code may see rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Components by their digest.
    pub components: Vec<Digest>,
    /// Whether code that the owner signed an approval for counts, too.
    pub approvals: bool,
}

/// Who has to be in a job for this data to be in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// The owners that may take part, this one included.
    pub owners: Vec<KeyId>,
    /// The fewest of them.
    pub minimum_owners: u32,
    /// The fewest units of all datasets together.
    pub minimum_units: u64,
}

/// Why a policy was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not TOML, or keys that no policy has.
    #[error("[policy-format] the policy cannot be read: {0}")]
    Format(#[from] toml::de::Error),
    /// A section is missing, and nothing is assumed in its place.
    #[error(
        "[policy-section] the policy has no section [{0}], and nothing is assumed: \
         `cloister owner init` writes a template with every section"
    )]
    MissingSection(&'static str),
    /// No enclave is approved.
    #[error(
        "[policy-enclave] the policy approves no enclave: add one with \
         `cloister policy trust-image measurements.toml`"
    )]
    NoEnclave,
    /// The section of an enclave is wrong.
    #[error("{0}")]
    Measurements(#[from] MeasurementsError),
    /// A value that makes no sense.
    #[error("[policy-value] [{section}] {key} is {found}; {rule}")]
    Value {
        /// The section.
        section: &'static str,
        /// The key in it.
        key: &'static str,
        /// The value found.
        found: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// Measurements name an enclave that protects nothing, and nobody asked for one.
    #[error(
        "[policy-unprotected] the measurements have a [[{section}]] section ({name:?}), an enclave \
         whose operator can read the data: take it out, or say {flag} if that is meant"
    )]
    Unprotected {
        /// The section.
        section: &'static str,
        /// What its operator calls it.
        name: String,
        /// The option that allows it.
        flag: &'static str,
    },
    /// The enclave's section cannot be appended to this text.
    #[error(
        "[policy-edit] the enclave cannot be appended to this policy: write each enclave as its \
         own [[nitro]] or [[simulated]] section, not as an inline array"
    )]
    Edit,
    /// The signature is wrong.
    #[error("[policy-signature] {0}: sign it with `cloister policy sign`")]
    Signed(#[from] SignedError),
    /// The key could not sign.
    #[error("[policy-signing] {0}")]
    Key(#[from] KeyError),
}

impl Policy {
    /// Compiles what a person wrote.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], which names the section.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        text::compile(text)
    }

    /// Signs the policy as its owner.
    ///
    /// # Errors
    ///
    /// When the policy breaks a rule, or the system has no random numbers.
    pub fn sign(&self, owner: &SigningKey) -> Result<Signed<Self>, PolicyError> {
        self.validate()?;
        Ok(Signed::sign(self, owner)?)
    }

    /// Opens a policy signed by `owner`, and checks every rule on it again.
    ///
    /// # Errors
    ///
    /// [`PolicyError`].
    pub fn open(signed: &Signed<Self>, owner: &KeyId) -> Result<Verified<Self>, PolicyError> {
        let policy = signed.open_by(owner)?;
        policy.value.validate()?;
        Ok(policy)
    }

    /// Checks every rule that needs nothing but the policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Value`].
    pub fn validate(&self) -> Result<(), PolicyError> {
        // Exhaustive, so that a new field cannot be forgotten here.
        let Self {
            format,
            id: _,
            version,
            population,
            budget,
            purposes,
            code: _,
            orchestrators: _,
            recipients: _,
            cohort,
            per_row: _,
            evidence_max_age,
            enclaves: _, // values of this type always approve something
        } = self;
        require(*format == 1, "policy", "format", format, "this build reads format 1")?;
        require(*version > 0, "policy", "version", version, "count from 1")?;
        let rule = "1 to 128 printable characters are needed";
        require(is_name(population), "population", "name", population, rule)?;
        for purpose in &purposes.allowed {
            require(is_name(purpose), "purposes", "allowed", purpose, rule)?;
        }
        let accounting = budget.accounting();
        budget.total.validate(accounting, "total")?;
        budget.per_job.validate(accounting, "per-job")?;
        let (job, total) = (budget.per_job.rho, budget.total.rho);
        let rule = "one job may not cost more rho than the total allows";
        require(job <= total, "budget", "per-job", &job, rule)?;
        let owners = &cohort.owners;
        let rule = "each owner may be listed once";
        for (index, owner) in owners.iter().enumerate() {
            require(!owners[..index].contains(owner), "cohort", "owners", owner, rule)?;
        }
        let least = cohort.minimum_owners;
        let possible = least >= 1 && usize::try_from(least).is_ok_and(|n| n <= owners.len());
        let rule = "from 1 up to the number of owners listed is possible";
        require(possible, "cohort", "minimum-owners", &least, rule)?;
        let rule = "at least 1 is needed";
        require(cohort.minimum_units >= 1, "cohort", "minimum-units", &cohort.minimum_units, rule)?;
        let rule = "1 to 10800 (three hours, the life of a certificate) is allowed";
        let sensible = (1..=10_800).contains(evidence_max_age);
        require(sensible, "evidence", "max-age-seconds", evidence_max_age, rule)
    }
}

impl Amount {
    /// Converts (epsilon, delta) to the zCDP that guarantees it (Canonne, Kamath and
    /// Steinke 2020), rounded down.
    ///
    /// # Errors
    ///
    /// [`cloister_privacy::Error`] when either is out of its range.
    pub fn new(epsilon: f64, delta: f64) -> Result<Self, cloister_privacy::Error> {
        Self::of(Accounting::AllOrders, epsilon, delta)
    }

    /// The same in any account.
    ///
    /// # Errors
    ///
    /// As for [`Accounting::budget_for`].
    pub fn of(
        accounting: Accounting,
        epsilon: f64,
        delta: f64,
    ) -> Result<Self, cloister_privacy::Error> {
        Ok(Self { epsilon, delta, rho: accounting.budget_for(epsilon, delta)? })
    }

    /// The signed rho never grants more than epsilon and delta say.
    fn validate(&self, accounting: Accounting, key: &'static str) -> Result<(), PolicyError> {
        let Self { epsilon, delta, rho } = *self;
        let most = Self::of(accounting, epsilon, delta).map_err(|error| PolicyError::Value {
            section: "budget",
            key,
            found: format!("{{ epsilon = {epsilon}, delta = {delta} }}"),
            rule: budget_rule(&error),
        })?;
        let rule = "epsilon and delta allow less rho than that";
        require(rho <= most.rho, "budget", key, &rho, rule)?;
        require(rho > Zcdp::ZERO, "budget", key, &rho, "that is less than the ledger can count")
    }
}

fn budget_rule(error: &cloister_privacy::Error) -> &'static str {
    match error {
        cloister_privacy::Error::DeltaOutOfRange { .. } => "delta lies between 0 and 1",
        cloister_privacy::Error::OrderTooSmall { .. } => {
            "at [budget] order nothing has so small an epsilon: take a larger order"
        }
        _ => "epsilon is a number above 0, usually 0.1 to 10",
    }
}

/// Names are for people: printable, not empty, of bounded length.
fn is_name(name: &str) -> bool {
    let limit = cloister_protocol::limits::NAME;
    !name.is_empty() && name.len() <= limit && !name.chars().any(char::is_control)
}

fn require(
    holds: bool,
    section: &'static str,
    key: &'static str,
    found: &(impl ToString + ?Sized),
    rule: &'static str,
) -> Result<(), PolicyError> {
    if holds {
        return Ok(());
    }
    let found = found.to_string().chars().filter(|c| !c.is_control()).take(80).collect();
    Err(PolicyError::Value { section, key, found, rule })
}

#[cfg(test)]
mod tests;
