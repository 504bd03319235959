//! What a broker's ledger never writes, whatever it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use cloister_broker::ledger::{CLOCK_SLACK, Event};
use cloister_privacy::Accounting;

use super::{
    gap::{Code, Gap},
    logs::Log,
};
use crate::{budget::amount, ui};

/// Each entry that no broker would have written behind those before it.
pub(super) fn broken(log: &Log) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let (mut policy, mut before, mut jobs) = (None, 0, BTreeSet::new());
    let mut orders = BTreeMap::new();
    let counted = |order| amount::counted(Accounting::of(order));
    for entry in log.entries() {
        let mut broken = |code, what: String| gaps.push(Gap::new(code, log.place(entry.seq), what));
        match &entry.event {
            Event::Policy { version, policy: digest } => {
                let newest = policy.map_or(0, |(newest, _)| newest);
                if *version <= newest {
                    broken(
                        Code::PolicyOrder,
                        format!("version {version} of the policy came into force after {newest}"),
                    );
                }
                policy = Some((newest.max(*version), *digest));
            }
            Event::Reserved(one) => {
                if policy.map(|(_, digest)| digest) != Some(one.policy) {
                    let what = format!(
                        "granted under policy {:?}, which was not in force then",
                        one.policy
                    );
                    broken(Code::PolicyNotInForce, what);
                }
                if !jobs.insert((one.job, &one.population)) {
                    let what =
                        format!("job {:?} was paid for before: no broker does that", one.job);
                    broken(Code::JobRepeated, what);
                }
                let first = *orders.entry(&one.population).or_insert(one.order);
                if first != one.order {
                    let (now, first) = (counted(one.order), counted(first));
                    let what = format!("counted {now}, where the first grant was counted {first}");
                    broken(Code::BudgetAccount, what);
                }
                if entry.time.saturating_add(CLOCK_SLACK) < before {
                    let (made, before) = (ui::time(entry.time), ui::time(before));
                    broken(
                        Code::ClockBack,
                        format!("made at {made}, and the one before it at {before}"),
                    );
                }
            }
        }
        before = entry.time;
    }
    gaps
}
