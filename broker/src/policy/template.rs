//! The policy that `cloister owner init` writes, for its owner to change.

use cloister_protocol::KeyId;

/// What the template is filled with.
#[derive(Clone, Debug)]
pub struct Template<'a> {
    /// The owner's own key: the first member of the cohort.
    pub owner: KeyId,
    /// The owner's name, for a comment.
    pub name: &'a str,
    /// Whom the data is about.
    pub population: &'a str,
    /// The last day of validity, as `2027-12-31`.
    pub not_after: &'a str,
}

/// The text of a first policy: every section, each explained, nothing approved yet
/// but the owner itself. It compiles once an enclave is trusted.
#[must_use]
pub fn template(with: &Template<'_>) -> String {
    let Template { owner, name, population, not_after } = with;
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let (population, name) = (quoted(population), name.replace(char::is_control, " "));
    format!(
        r#"# The data policy of {name}.
#
# It says for what, by whom and at what cost your data may be used. Your broker
# refuses everything that is not allowed here; a missing section is an error.
# After each change count `version` up, then:
#     cloister policy check
#     cloister policy explain
#     cloister policy sign

[policy]
version = 1

[population]
# Whom the data is about. The budget belongs to these people: sealing their data
# again, or in another file, does not give a new one.
name = {population}

[budget]
# How much may become known about any one of them, by all jobs together, for ever.
# Smaller epsilon is safer; delta stays well below one over the number of people.
total = {{ epsilon = 2.0, delta = 1e-5 }}
# ... and by one job.
per-job = {{ epsilon = 1.0, delta = 1e-5 }}
# With an order, jobs whose rounds sample units cost less. `cloister budget plan --epsilon 2`
# names a good one for your total. It cannot be changed after the first grant.
# order = 12

[purposes]
# The purposes that a job may state, word for word.
allowed = ["research"]
# The last day on which anything is granted.
not-after = {not_after}

[code]
# Components that may see rows, by digest (`cloister show CODE`).
components = []
# Whether code that you approved with `cloister code approve` may, too.
approvals = true

[orchestrators]
# Whose jobs are accepted, by key (`cloister show ENROLMENT`). Empty: nobody's.
keys = []

[recipients]
# Who may read what leaves. What leaves is noised, and "anyone" is safe by the budget.
allowed = ["anyone"]

[cohort]
# The owners that may be in a job with you, by key (`cloister show ENROLMENT`).
# The first is your own.
owners = [
    "{owner}",
]
# The fewest of them in one job.
minimum-owners = 1
# The fewest units (patients) in one job, all owners together.
minimum-units = 100

[units]
# Whether datasets may take each row for a unit of its own. Say true only if nobody
# has two rows.
per-row = false

[evidence]
# How old an enclave's proof of what it runs may be.
max-age-seconds = 300

# The enclaves that may open your data. Add one with
#     cloister policy trust-image measurements.toml
"#,
        owner = owner.digest().to_hex(),
    )
}
