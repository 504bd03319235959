//! `cloister budget`: what may become known about people, what has, and what is left.
//!
//! These commands only read the policy and the ledger, also while a broker holds it open.
//! Amounts are added in rho, as the ledger adds them. An epsilon is made of a sum and never
//! added to another, and is rounded so that nobody is promised more than there is.

pub mod amount;
mod balance;
mod export;
mod history;
mod noise;
mod plan;
mod plot;
mod receipts;
mod show;
mod svg;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cloister_broker::{
    Ledger, Vault,
    policy::{self as rules},
    vault::VaultError,
};
use cloister_privacy::{Accounting, Zcdp};
use cloister_protocol::dataset::Population;
use serde_json::{Value, json};

use crate::{
    error::{Context, Error, Result},
    files,
    home::OwnerHome,
    ui::{Page, Report},
};

pub use balance::Balance;

/// Commands about what is spent and left.
#[derive(Debug, Subcommand)]
pub enum Budget {
    /// Say what is spent, what is left, and what that buys
    ///
    /// The total and the limit of one job are those of the signed policy, or of policy.toml
    /// as long as none is signed. What is spent is the sum over the ledger, whose chain is
    /// verified first.
    #[command(after_help = "Example:
  cloister budget show --home hospital-a")]
    Show(OfHome),
    Plan(plan::Plan),
    /// List what was ever reserved, oldest first, and say whether the log is unbroken
    ///
    /// With --results, also whether each grant that those releases carry is in it: a ledger
    /// that was put back from an old copy does not know the newest. With --export, the log is
    /// written to a file that you sign, for auditors: they hold it against releases with
    /// `cloister verify --log`.
    #[command(after_help = "Examples:
  cloister budget history --home hospital-a
  cloister budget history --home hospital-a --results results --json
  cloister budget history --home hospital-a --export hospital-a.log")]
    History(History),
}

/// Whose budget.
#[derive(Args, Debug)]
pub struct OfHome {
    /// The owner's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
}

/// Whose history, and what to hold it against.
#[derive(Args, Debug)]
pub struct History {
    #[command(flatten)]
    of: OfHome,
    /// Receipts of releases, or folders of them
    #[arg(long, value_name = "DIR", num_args = 1..)]
    results: Vec<PathBuf>,
    /// Also write the log to this file, signed, for auditors
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

impl Budget {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        match self {
            Self::Show(of) => show::show(&of.home),
            Self::Plan(plan) => plan.run(),
            Self::History(history) => history::history(history),
        }
    }
}

/// What the policy of a home allows, and the ledger of what was spent.
struct Account {
    owner: OwnerHome,
    population: Population,
    policy: rules::Policy,
    signed: bool,
    ledger: Ledger,
}

impl Account {
    /// Opens the account of an owner's home.
    fn open(path: &Path) -> Result<Self> {
        let owner = OwnerHome::open(path)?;
        let population = owner.population()?;
        let vault = Vault::new(path);
        let (policy, signed) = match vault.policy(owner.home.id()) {
            Ok(policy) => (policy.value, true),
            Err(VaultError::NoPolicy(_)) => {
                let draft = owner.home.file("policy.toml");
                let text = files::read_text(&draft)?;
                (rules::Policy::from_toml(&text).with_path(&draft)?, false)
            }
            Err(error) => return Err(Error::failed(error)),
        };
        if policy.population != population {
            return Err(Error::failed(format!(
                "{}: its policy is about {:?}, and this home about {population:?}: write and \
                 sign one about {population:?}",
                path.display(),
                policy.population
            )));
        }
        let ledger = Ledger::open(&vault.ledger(), *owner.home.id()).map_err(Error::failed)?;
        Ok(Self { owner, population, policy, signed, ledger })
    }

    fn balance(&self) -> Result<Balance> {
        Balance::read(&self.ledger, &self.policy)
    }

    /// Where the numbers come from, in words.
    fn source(&self) -> String {
        let version = self.policy.version;
        if self.signed {
            format!("version {version} of the policy")
        } else {
            format!("policy.toml, version {version}, not signed")
        }
    }

    /// The same for machines.
    fn source_json(&self) -> Value {
        json!({ "version": self.policy.version, "signed": self.signed })
    }

    /// What must not be overlooked about the policy.
    fn warnings(&self) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        if !self.signed {
            warnings.push("Nothing is granted before `cloister policy sign`.".to_owned());
        }
        let newest = self.ledger.newest_policy().map_err(Error::failed)?;
        if let Some((newest, _)) = newest.filter(|(newest, _)| *newest > self.policy.version) {
            warnings.push(format!(
                "Version {newest} of the policy was in force: nothing is granted under an older \
                 one. Count `version` up and sign again."
            ));
        }
        Ok(warnings)
    }
}

/// Whether this is less than anybody can ask for. A job costs a little less than its limit,
/// so that of a budget that is spent something like that remains.
fn is_next_to_nothing(rho: Zcdp, delta: f64, accounting: Accounting) -> bool {
    accounting.epsilon_upper(rho, delta).is_ok_and(|epsilon| epsilon < 1e-4)
}

/// What is said then.
const NOTHING_LEFT: &str = "Nothing is left: the broker grants nothing more on these people.";

/// The warnings, line by line.
fn loud(warnings: &[String]) -> Page {
    warnings.iter().fold(Page::new(), Page::loud)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_of_a_spent_budget_is_nothing() {
        for (pico, nothing) in [(0, true), (640, true), (1_000_000, false)] {
            assert_eq!(
                is_next_to_nothing(Zcdp::from_pico(pico), 1e-5, Accounting::AllOrders),
                nothing,
                "{pico}"
            );
        }
    }
}
