//! The one verdict that every platform gives.

mod page;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{nitro, snp};

/// Whose hardware, if any, vouches for the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Platform {
    /// AWS Nitro enclaves, under AWS's root.
    Nitro,
    /// An instance with a `NitroTPM`, not an enclave, under AWS's root.
    NitroTpm,
    /// AMD SEV-SNP, under AMD's roots.
    SevSnp,
    /// No hardware: documents of the Nitro shape under a throw-away root.
    Simulated,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nitro => "AWS Nitro",
            Self::NitroTpm => "AWS NitroTPM (an instance, not an enclave)",
            Self::SevSnp => "AMD SEV-SNP",
            Self::Simulated => "SIMULATED (no hardware protects anything here)",
        })
    }
}

/// A rule that evidence is held against: what a check is, before any evidence is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A stable name, for machines and for talking about it.
    pub name: &'static str,
    /// The rule in words.
    pub rule: &'static str,
    /// What to do if it fails.
    pub remedy: &'static str,
}

/// Declares the rules of a platform: `NAME = "name", "rule", "remedy";`.
macro_rules! rules {
    ($($id:ident = $name:literal, $rule:literal, $remedy:literal;)*) => {
        $(pub(crate) const $id: $crate::Rule = $crate::Rule { name: $name, rule: $rule, remedy: $remedy };)*

        /// Every rule, so that a test can see that each has a mutation that only it refuses.
        pub const RULES: &[$crate::Rule] = &[$($id),*];
    };
}
pub(crate) use rules;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The rule holds.
    Passed,
    /// The rule does not hold: the evidence is denied.
    Failed,
    /// The caller chose not to rely on the rule.
    OptedOut,
}

/// One rule, applied to one piece of evidence. All text is safe to log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The rule's stable name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// The rule in words.
    pub rule: &'static str,
    /// What would have passed.
    pub expected: String,
    /// What the evidence has.
    pub found: String,
    /// What to do if it failed.
    pub remedy: &'static str,
}

/// What evidence says, under a signature that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Claims {
    /// A document of the Nitro shape, simulated ones included.
    Nitro(nitro::Claims),
    /// A `NitroTPM` document.
    NitroTpm(nitro::tpm::Claims),
    /// An SEV-SNP report.
    SevSnp(Box<snp::Claims>),
}

/// The result of verifying one piece of evidence.
///
/// It cannot be made outside this crate. Its `Display` is a page that a person reads, its
/// `Serialize` the same for machines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "evidence that is not accepted must not be relied on"]
pub struct Verdict {
    platform: Platform,
    checks: Vec<Check>,
    claims: Option<Claims>,
}

impl Verdict {
    /// Collects what the checks said; `claims` only if chain and signature hold.
    pub(crate) fn new(platform: Platform, checks: Checks, claims: Option<Claims>) -> Self {
        Self { platform, checks: checks.0, claims }
    }

    /// This verdict, and one more rule.
    pub(crate) fn with(self, rule: &Rule, outcome: Outcome, expected: &str, found: &str) -> Self {
        let mut checks = Checks(self.checks);
        checks.push(rule, outcome, expected.to_owned(), found.to_owned());
        Self { checks: checks.0, ..self }
    }

    /// Whether every rule holds, or was visibly opted out of.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.claims.is_some() && self.failed().next().is_none()
    }

    /// The claims if [accepted](Self::accepted), or an error that lists every failed check.
    ///
    /// # Errors
    ///
    /// [`Denial`], with the whole verdict inside.
    pub fn accept(self) -> Result<Claims, Denial> {
        if self.failed().next().is_some() {
            return Err(Denial(Box::new(self)));
        }
        match self.claims {
            Some(claims) => Ok(claims),
            None => Err(Denial(Box::new(self))),
        }
    }

    /// The platform whose roots the caller named.
    #[must_use]
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// Every check that was made, in order.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.with_outcome(Outcome::Failed)
    }

    /// The checks that the caller opted out of.
    pub fn opted_out(&self) -> impl Iterator<Item = &Check> {
        self.with_outcome(Outcome::OptedOut)
    }

    /// What the evidence says, even if it was denied afterwards. None if its chain, its
    /// signature or its structure is wrong, as then it says nothing.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    fn with_outcome(&self, outcome: Outcome) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.outcome == outcome)
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            accepted: bool,
            platform: Platform,
            checks: &'a [Check],
            claims: Option<&'a Claims>,
        }
        Json {
            accepted: self.accepted(),
            platform: self.platform,
            checks: &self.checks,
            claims: self.claims.as_ref(),
        }
        .serialize(serializer)
    }
}

/// Evidence was denied. Its message lists every failed check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Denial(Box<Verdict>);

impl Denial {
    /// The verdict behind the denial.
    pub fn verdict(&self) -> &Verdict {
        &self.0
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[evidence-denied] {} evidence was denied", self.0.platform)?;
        for check in self.0.failed() {
            write!(
                f,
                "; {}: expected {}, found {}; {}",
                check.name, check.expected, check.found, check.remedy
            )?;
        }
        Ok(())
    }
}

/// A check failed on which everything after it depends.
#[derive(Debug)]
pub(crate) struct Stop(());

impl Stop {
    /// For a failure that has been recorded.
    pub(crate) fn now() -> Self {
        Self(())
    }
}

/// The checks made so far.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

impl Checks {
    /// Records whether `rule` holds, and says so.
    pub(crate) fn judge(
        &mut self,
        rule: &Rule,
        holds: bool,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> bool {
        let outcome = if holds { Outcome::Passed } else { Outcome::Failed };
        self.push(rule, outcome, expected.into(), found.into());
        holds
    }

    /// Records that `rule` holds.
    pub(crate) fn pass(
        &mut self,
        rule: &Rule,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.push(rule, Outcome::Passed, expected.into(), found.into());
    }

    /// Records that `rule` does not hold and nothing can follow.
    pub(crate) fn stop(
        &mut self,
        rule: &Rule,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Stop {
        self.push(rule, Outcome::Failed, expected.into(), found.into());
        Stop(())
    }

    /// Records whether `rule` holds; if not, nothing can follow.
    pub(crate) fn require(
        &mut self,
        rule: &Rule,
        holds: bool,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Result<(), Stop> {
        if self.judge(rule, holds, expected, found) { Ok(()) } else { Err(Stop(())) }
    }

    /// Records that the caller opted out of `rule`.
    pub(crate) fn opt_out(
        &mut self,
        rule: &Rule,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.push(rule, Outcome::OptedOut, expected.into(), found.into());
    }

    /// Ends a step: nothing follows if any check so far has failed.
    pub(crate) fn end_of_step(&self) -> Result<(), Stop> {
        if self.failures() > 0 { Err(Stop(())) } else { Ok(()) }
    }

    /// How many have failed.
    pub(crate) fn failures(&self) -> usize {
        self.0.iter().filter(|check| check.outcome == Outcome::Failed).count()
    }

    /// How many were opted out of.
    pub(crate) fn opt_outs(&self) -> usize {
        self.0.iter().filter(|check| check.outcome == Outcome::OptedOut).count()
    }

    /// Whether this rule has failed.
    pub(crate) fn has_failed(&self, rule: &Rule) -> bool {
        self.0.iter().any(|one| one.name == rule.name && one.outcome == Outcome::Failed)
    }

    /// Takes over the checks that another part made.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    fn push(&mut self, rule: &Rule, outcome: Outcome, expected: String, found: String) {
        self.0.push(Check {
            name: rule.name,
            outcome,
            rule: rule.rule,
            expected,
            found,
            remedy: rule.remedy,
        });
    }
}
