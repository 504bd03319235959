//! Logs of grants, which an owner hands to auditors: the entries, by whoever signs them.
#![no_main]

use cloister_broker::ledger::GrantLog;
use cloister_protocol::{cbor, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(log) = cbor::decode::<GrantLog>(bytes, limits::GRANT_LOG) else { return };
    let Ok(read) = log.check() else { return };
    // What was read is written as the same bytes, with the same head.
    let entries = read.entries.iter().map(|(entry, _)| entry);
    let again = GrantLog::new(read.owner, read.made, entries).expect("it is no longer than it was");
    assert_eq!(cbor::encode(&again), bytes);
    assert_eq!(again.check().expect("what was written is read").head, read.head);
});
