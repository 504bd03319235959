//! The rules that only the ledger can apply.

use super::*;

#[test]
fn the_total_is_reached_and_not_passed() {
    let (bench, mut ledger) = Bench::new();
    for n in 1..=3 {
        issue(&mut ledger, n).unwrap();
    }
    let total = 2 * COST + COST - 1;
    bench.grant(&mut ledger, &bench.appraised(1, total)).unwrap();
    bench.grant(&mut ledger, &bench.appraised(2, total)).unwrap();
    let error = bench.grant(&mut ledger, &bench.appraised(3, total)).unwrap_err();
    assert!(error.to_string().contains("999"), "{error}");
    assert_eq!(denied(Err(error)), Rule::BudgetExhausted);
    assert!(matches!(ledger.nonce(&nonce(3)).unwrap(), NonceState::Open { .. }));
    assert_eq!(ledger.spent("patients").unwrap(), 2 * COST);
}

#[test]
fn an_older_policy_never_comes_back() {
    let scene = Scene::new();
    let signed = |version, per_row| {
        let policy = Policy { version, per_row, ..scene.policy.clone() };
        Signed::sign(&policy, &scene.owner).unwrap().open_by_anyone().unwrap()
    };
    let (bench, mut ledger) = Bench::empty();
    ledger.adopt(&signed(3, false), NOW).unwrap();
    ledger.adopt(&signed(3, false), NOW).unwrap();
    assert_eq!(ledger.history().unwrap().len(), 1, "the same policy is adopted once");
    ledger.adopt(&signed(5, false), NOW).unwrap();
    let rollback = |ledger: &mut Ledger, policy| {
        matches!(ledger.adopt(&policy, NOW), Err(LedgerError::PolicyRollback { newest: 5, .. }))
    };
    assert!(rollback(&mut ledger, signed(4, false)));
    assert!(rollback(&mut ledger, signed(3, false)), "one that was in force before");
    assert!(rollback(&mut ledger, signed(5, true)), "the same version with other contents");
    assert!(rollback(&mut bench.open(), signed(4, false)), "after a restart");
    assert_eq!(ledger.newest_policy().unwrap().unwrap().0, 5);
    ledger.adopt(&signed(6, true), NOW).unwrap();
    ledger.verify_chain().unwrap();
}

#[test]
fn a_job_is_paid_for_once_by_each_population() {
    // An honest job, challenged and granted again and again by a host that abandons it.
    let (bench, mut ledger) = Bench::with_grants(1);
    issue(&mut ledger, 2).unwrap();
    let again = Appraised { job: id("job", 1), ..bench.appraised(2, 99 * COST) };
    let error = bench.grant(&mut ledger, &again).unwrap_err();
    assert!(error.to_string().contains("signs a new job"), "{error}");
    assert_eq!(denied(Err(error)), Rule::JobRepeated);
    assert_eq!(denied(bench.grant(&mut bench.open(), &again)), Rule::JobRepeated);
    assert_eq!(ledger.spent("patients").unwrap(), COST);
    assert!(matches!(ledger.nonce(&nonce(2)).unwrap(), NonceState::Open { .. }));
    // The first transcript is answered as before, and other people are others.
    assert!(bench.grant(&mut ledger, &bench.appraised(1, 99 * COST)).is_ok());
    let mut staff = again;
    staff.charges[0].population = "staff".into();
    bench.grant(&mut ledger, &staff).unwrap();
    // Nor does the database take it, whatever this program believes.
    let copy = "INSERT INTO log SELECT 9, zeroblob(64), population, job, cost, entry \
                FROM log WHERE seq = 2";
    let error = Connection::open(bench.path()).unwrap().execute_batch(copy).unwrap_err();
    assert!(error.to_string().contains("UNIQUE"), "{error}");
}

#[test]
fn a_policy_superseded_meanwhile_grants_nothing() {
    let (bench, mut ledger) = Bench::new();
    issue(&mut ledger, 1).unwrap();
    let appraised = bench.appraised(1, COST);
    // Another process on the same home puts a newer one into force.
    let scene = Scene::new();
    let newer = Policy { version: bench.policy.value.version + 1, ..scene.policy.clone() };
    let newer = Signed::sign(&newer, &scene.owner).unwrap().open_by_anyone().unwrap();
    bench.open().adopt(&newer, NOW).unwrap();
    assert_eq!(denied(bench.grant(&mut ledger, &appraised)), Rule::PolicyOutdated);
    assert_eq!(ledger.spent("patients").unwrap(), 0);
    let newest = Appraised { policy: *newer.id.digest(), ..appraised };
    let response = bench.grant(&mut ledger, &newest).unwrap();
    // What was granted is answered under whatever policy.
    let newer = Policy { version: newer.value.version + 1, ..scene.policy.clone() };
    let newer = Signed::sign(&newer, &scene.owner).unwrap().open_by_anyone().unwrap();
    ledger.adopt(&newer, NOW).unwrap();
    assert!(bench.grant(&mut ledger, &newest).unwrap() == response);
}

#[test]
fn a_clock_set_back_grants_nothing() {
    let (bench, mut ledger) = Bench::with_grants(1);
    issue(&mut ledger, 2).unwrap();
    let back = |result: Result<_, LedgerError>| {
        matches!(result, Err(LedgerError::ClockBack { newest: NOW, .. }))
    };
    let appraised = bench.appraised(2, 99 * COST);
    let grant = |ledger: &mut Ledger, now| {
        let keys = [(DataKey::from_bytes(&[8; 32]), [5; 16])];
        let (appraised, broker) = (&appraised, &bench.broker);
        ledger.grant(&Issue { appraised, keys: &keys, broker, now }).map(drop)
    };
    assert!(back(ledger.issue_nonce(&nonce(3), &peer(0), NOW - 61).map(drop)));
    assert!(back(grant(&mut ledger, NOW - 61)));
    assert_eq!(ledger.spent("patients").unwrap(), COST);
    // Clocks are corrected by seconds.
    ledger.issue_nonce(&nonce(3), &peer(0), NOW - 60).unwrap();
    grant(&mut ledger, NOW - 60).unwrap();
}
