//! Several tables of one population are reserved once, and ledgers from before that read.

use super::*;

/// A job of `COST` on so many tables of one population.
fn on_tables(bench: &Bench, n: u8, tables: u8, total: u64) -> Appraised {
    let mut appraised = bench.appraised(n, total);
    appraised.charges[0].datasets = (0..tables).map(|table| id("dataset", table)).collect();
    appraised
}

fn reservations(ledger: &Ledger) -> Vec<Reservation> {
    let reserved = |(entry, _): (Entry, Digest)| match entry.event {
        Event::Reserved(one) => Some(*one),
        Event::Policy { .. } => None,
    };
    ledger.history().unwrap().into_iter().filter_map(reserved).collect()
}

#[test]
fn tables_of_one_population_are_reserved_once() {
    let (bench, mut ledger) = Bench::new();
    issue(&mut ledger, 1).unwrap();
    // Exactly what one job costs: a second charge would not fit.
    let appraised = on_tables(&bench, 1, 3, COST);
    let response = bench.grant(&mut ledger, &appraised).unwrap();
    assert_eq!(ledger.spent("patients").unwrap(), COST);
    let [one] = &reservations(&ledger)[..] else { panic!("not one reservation") };
    assert!(one.datasets().eq(&appraised.charges[0].datasets));
    assert_eq!(one.cost, COST);

    // Each table has a grant with its own key, and each names the one entry of the log.
    let GrantResponse { grants } = cbor::decode(&response, 1 << 20).unwrap();
    let head = ledger.head().unwrap();
    assert_eq!(grants.len(), 3);
    for (sealed, dataset) in grants.iter().zip(&appraised.charges[0].datasets) {
        let expected = GrantExpectation {
            transcript: appraised.transcript,
            dataset: *dataset,
            policy: appraised.policy,
            charges: charges(COST),
            broker: bench.broker.id(),
        };
        let (grant, _) = sealed.open(&expected, &bench.enclave).unwrap();
        assert_eq!(grant.value.ledger_head, head);
    }
    ledger.verify_chain().unwrap();

    // The same job in another transcript, with fewer tables or other ones, is paid for.
    issue(&mut ledger, 2).unwrap();
    for tables in 1..=2 {
        let mut again = on_tables(&bench, 2, tables, 99 * COST);
        again.job = appraised.job;
        again.charges[0].datasets.reverse();
        assert_eq!(denied(bench.grant(&mut ledger, &again)), Rule::JobRepeated);
    }
    assert_eq!(ledger.spent("patients").unwrap(), COST);
}

#[test]
fn a_key_for_each_table_or_no_grant() {
    let (bench, mut ledger) = Bench::new();
    issue(&mut ledger, 1).unwrap();
    let key = || (DataKey::from_bytes(&[8; 32]), [5; 16]);
    for (tables, keys) in [(2, 1), (1, 2), (0, 0)] {
        let appraised = on_tables(&bench, 1, tables, COST);
        let keys: Vec<_> = (0..keys).map(|_| key()).collect();
        let (appraised, broker) = (&appraised, &bench.broker);
        let issue = Issue { appraised, keys: &keys, broker, now: NOW };
        assert!(matches!(ledger.grant(&issue), Err(LedgerError::Number(_))), "{tables} tables");
    }
    assert_eq!(ledger.spent("patients").unwrap(), 0);
}

/// A reservation as ledgers had it before tables could be joined, or accounts kept at one order.
#[derive(serde::Serialize)]
struct Before {
    grant: ByteArray<16>,
    transcript: cloister_protocol::transcript::TranscriptId,
    job: Id<cloister_protocol::job::Job>,
    purpose: String,
    orchestrator: KeyId,
    code: Id<cloister_protocol::code::CodeManifest>,
    dataset: Id<cloister_protocol::dataset::DatasetManifest>,
    population: String,
    policy: Digest,
    cost: u64,
}

/// Digests in the chain are over encodings, so those of one table must not have changed.
#[test]
fn a_reservation_of_one_table_is_encoded_as_ever() {
    let (_, ledger) = Bench::with_grants(1);
    let one = reservations(&ledger).remove(0);
    assert!(one.joined.is_empty() && one.order.is_none());
    let now = cbor::encode(&one);
    let Reservation {
        grant,
        transcript,
        job,
        purpose,
        orchestrator,
        code,
        dataset,
        joined: _,
        population,
        policy,
        cost,
        order: _,
    } = one.clone();
    let before = Before {
        grant,
        transcript,
        job,
        purpose,
        orchestrator,
        code,
        dataset,
        population,
        policy,
        cost,
    };
    assert_eq!(cbor::encode(&before), now);
    assert_eq!(cbor::decode::<Reservation>(&now, 4096).unwrap(), one);
    // There is one way to say that nothing was joined.
    let mut entry = one;
    entry.joined.push(id("dataset", 7));
    let mut empty = cbor::encode(&entry);
    let list = empty.windows(8).position(|bytes| bytes == b"\x66joined\x81").unwrap() + 7;
    let end = list + cbor::encode(&vec![id::<u8>("dataset", 7)]).len();
    empty.splice(list..end, [0x80]);
    assert!(cbor::decode::<Reservation>(&empty, 4096).is_err());
}
