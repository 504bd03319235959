//! What is spent and left, by a ledger whose chain holds.

use cloister_broker::{
    Ledger, Policy,
    ledger::{Entry, Event, LedgerError, Reservation},
};
use cloister_privacy::{Accounting, Zcdp};
use cloister_protocol::Digest;

use super::amount::counted;
use crate::error::{Context, Error, Result};

/// A ledger at one moment, and what it says of a policy's people.
pub struct Balance {
    /// The log, whose chain was verified.
    pub entries: Vec<(Entry, Digest)>,
    /// The digest of its last entry.
    pub head: Digest,
    /// What all reservations cost.
    pub spent: Zcdp,
    /// What the policy's total leaves.
    pub left: Zcdp,
}

impl Balance {
    /// Verifies the log, also that it was kept in the policy's account, and adds up what was
    /// spent on the policy's people.
    pub fn read(ledger: &Ledger, policy: &Policy) -> Result<Self> {
        let (entries, head) = ledger.verified().map_err(Error::failed)?;
        let mut spent = Zcdp::ZERO;
        let now = policy.budget.accounting();
        for (_, _, one) in reservations(&entries, policy) {
            let then = Accounting::of(one.order);
            if then != now {
                return Err(Error::failed(format!(
                    "the policy counts {}, and what was granted was counted {}: an account \
                     counts as it did at its first grant; set [budget] order back",
                    counted(now),
                    counted(then)
                )));
            }
            spent = spent.checked_add(Zcdp::from_pico(one.cost)).doing("what was spent")?;
        }
        let left = policy.budget.total.rho.checked_sub(spent).unwrap_or(Zcdp::ZERO);
        Ok(Self { entries, head, spent, left })
    }

    /// The reservations on the policy's people, oldest first.
    pub fn reservations<'a>(
        &'a self,
        policy: &'a Policy,
    ) -> impl Iterator<Item = (&'a Entry, &'a Digest, &'a Reservation)> {
        reservations(&self.entries, policy)
    }

    /// The newest version of the policy that was in force.
    pub fn newest_policy(&self) -> Option<u64> {
        let version = |(entry, _): &(Entry, Digest)| match entry.event {
            Event::Policy { version, .. } => Some(version),
            Event::Reserved(_) => None,
        };
        self.entries.iter().rev().find_map(version)
    }
}

fn reservations<'a>(
    entries: &'a [(Entry, Digest)],
    policy: &'a Policy,
) -> impl Iterator<Item = (&'a Entry, &'a Digest, &'a Reservation)> {
    entries.iter().filter_map(|(entry, digest)| match &entry.event {
        Event::Reserved(one) if one.population == policy.population => {
            Some((entry, digest, &**one))
        }
        _ => None,
    })
}

/// The log as far as it can be believed.
pub(super) struct Log {
    pub(super) entries: Vec<(Entry, Digest)>,
    /// Its head, or why it ends where it does.
    pub(super) end: std::result::Result<Digest, String>,
}

impl Log {
    pub(super) fn read(ledger: &Ledger) -> Result<Self> {
        let error = match ledger.verified() {
            Ok((entries, head)) => return Ok(Self { entries, end: Ok(head) }),
            Err(error) => error,
        };
        let LedgerError::Altered { seq, .. } = error else { return Err(Error::failed(error)) };
        let mut entries = match ledger.history() {
            Err(LedgerError::Altered { .. }) => Vec::new(),
            read => read.map_err(Error::failed)?,
        };
        entries.retain(|(entry, _)| entry.seq < seq);
        Ok(Self { entries, end: Err(error.to_string()) })
    }
}
