//! From the TOML that a person writes to the policy that the owner signs.

use cloister_attestation::Measurements;
use cloister_privacy::{Accounting, Order};
use cloister_protocol::{Digest, KeyId, job::Recipients};
use serde::Deserialize;
use toml::{Table, Value, value::Datetime};

use super::{Amount, Budget, Code, Cohort, Policy, PolicyError, Purposes, SECTIONS, budget_rule};

/// The tables that approve enclaves and take approval back, as [`Measurements`] reads them.
pub(super) const ENCLAVES: [&str; 5] = ["nitro", "snp", "simulated", "nitro-debug", "revoked"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    policy: PolicySection,
    population: PopulationSection,
    budget: BudgetSection,
    purposes: PurposesSection,
    code: CodeSection,
    orchestrators: OrchestratorsSection,
    recipients: RecipientsSection,
    cohort: CohortSection,
    units: UnitsSection,
    evidence: EvidenceSection,
    nitro: Option<Value>,
    snp: Option<Value>,
    simulated: Option<Value>,
    nitro_debug: Option<Value>,
    revoked: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicySection {
    id: Option<String>,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PopulationSection {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BudgetSection {
    total: AmountText,
    per_job: AmountText,
    order: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountText {
    epsilon: f64,
    delta: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PurposesSection {
    allowed: Vec<String>,
    not_after: Datetime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeSection {
    components: Vec<String>,
    approvals: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrchestratorsSection {
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipientsSection {
    allowed: Vec<Recipients>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CohortSection {
    owners: Vec<String>,
    minimum_owners: u32,
    minimum_units: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UnitsSection {
    per_row: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EvidenceSection {
    max_age_seconds: u32,
}

/// Compiles the text of a policy and checks it.
pub(super) fn compile(text: &str) -> Result<Policy, PolicyError> {
    // 1. Every section is there: the first one missing is named.
    let table: Table = toml::from_str(text)?;
    for section in SECTIONS {
        if !table.contains_key(section) {
            return Err(PolicyError::MissingSection(section));
        }
    }
    // 2. Every key is known and there.
    let document: Document = toml::from_str(text)?;
    // 3. At least one enclave.
    let enclaves = enclaves([
        document.nitro,
        document.snp,
        document.simulated,
        document.nitro_debug,
        document.revoked,
    ])?
    .ok_or(PolicyError::NoEnclave)?;
    // 4. The values make sense.
    let keys = |section, key, texts: &[String]| -> Result<Vec<KeyId>, PolicyError> {
        texts.iter().map(|text| digest(section, key, text).map(KeyId::new)).collect()
    };
    let components = document.code.components.iter();
    let policy = Policy {
        format: 1,
        id: document.policy.id,
        version: document.policy.version,
        population: document.population.name,
        budget: budget(&document.budget)?,
        purposes: Purposes {
            allowed: document.purposes.allowed,
            not_after: seconds(document.purposes.not_after)?,
        },
        code: Code {
            components: components
                .map(|text| digest("code", "components", text))
                .collect::<Result<_, _>>()?,
            approvals: document.code.approvals,
        },
        orchestrators: keys("orchestrators", "keys", &document.orchestrators.keys)?,
        recipients: document.recipients.allowed,
        cohort: Cohort {
            owners: keys("cohort", "owners", &document.cohort.owners)?,
            minimum_owners: document.cohort.minimum_owners,
            minimum_units: document.cohort.minimum_units,
        },
        per_row: document.units.per_row,
        evidence_max_age: document.evidence.max_age_seconds,
        enclaves,
    };
    policy.validate()?;
    Ok(policy)
}

/// The enclaves that the tables of a policy approve, in the order of [`ENCLAVES`].
pub(super) fn enclaves(sections: [Option<Value>; 5]) -> Result<Option<Measurements>, PolicyError> {
    let tables: Table = ENCLAVES
        .into_iter()
        .zip(sections)
        .filter_map(|(name, section)| Some((name.to_owned(), section?)))
        .collect();
    if tables.is_empty() {
        return Ok(None);
    }
    Ok(Some(Measurements::deserialize(tables)?))
}

fn budget(text: &BudgetSection) -> Result<Budget, PolicyError> {
    let order = text.order.map(Order::new).transpose().map_err(|_| PolicyError::Value {
        section: "budget",
        key: "order",
        found: format!("{:?}", text.order),
        rule: "a whole number from 2 to 512 is allowed; leave it out to count at all orders",
    })?;
    let accounting = Accounting::of(order);
    Ok(Budget {
        total: amount(accounting, "total", text.total)?,
        per_job: amount(accounting, "per-job", text.per_job)?,
        order,
    })
}

fn amount(
    accounting: Accounting,
    key: &'static str,
    text: AmountText,
) -> Result<Amount, PolicyError> {
    let AmountText { epsilon, delta } = text;
    Amount::of(accounting, epsilon, delta).map_err(|error| PolicyError::Value {
        section: "budget",
        key,
        found: format!("{{ epsilon = {epsilon}, delta = {delta} }}"),
        rule: budget_rule(&error),
    })
}

fn digest(section: &'static str, key: &'static str, text: &str) -> Result<Digest, PolicyError> {
    Digest::from_hex(text).ok_or_else(|| PolicyError::Value {
        section,
        key,
        found: format!("{:?}", text.chars().take(20).collect::<String>()),
        rule: "128 hexadecimal digits are expected, as `cloister show FILE` prints them",
    })
}

/// A date counts until its end in UTC; a time needs its offset.
fn seconds(found: Datetime) -> Result<u64, PolicyError> {
    let refuse = || PolicyError::Value {
        section: "purposes",
        key: "not-after",
        found: found.to_string(),
        rule: "a date (2027-12-31) or a time with offset (2027-12-31T12:00:00Z) is expected",
    };
    let text = match found {
        Datetime { date: Some(date), time: None, offset: None } => format!("{date}T23:59:59Z"),
        Datetime { date: Some(_), time: Some(_), offset: Some(_) } => found.to_string(),
        _ => return Err(refuse()),
    };
    let time: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
    u64::try_from(time.as_second()).map_err(|_| refuse())
}
