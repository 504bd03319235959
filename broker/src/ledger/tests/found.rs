//! Nothing altered, and nothing taken away, goes unseen.

use std::fs;

use super::*;

/// Put back whole from an old copy a ledger is complete in itself; shown what it has forgotten it
/// grants nothing, until a copy is back that has it.
#[test]
fn a_ledger_that_was_shown_what_it_forgot_grants_nothing() {
    let (bench, ledger) = Bench::with_grants(2);
    let newest = ledger.head().unwrap();
    let (old, mut before) = Bench::with_grants(1);
    before.witness(&[before.head().unwrap()]).unwrap();
    issue(&mut before, 2).unwrap();
    let next = old.appraised(2, 99 * COST);
    // Of an entry that it has nothing follows.
    before.witness(&[]).unwrap();
    let forgetful = old.open();
    forgetful.witness(&[newest]).unwrap();
    for _ in 0..2 {
        let refused = old.grant(&mut old.open(), &next);
        assert!(matches!(refused, Err(LedgerError::RolledBack { .. })), "{refused:?}");
    }
    assert_eq!(old.open().spent("patients").unwrap(), COST);
    // The ledger that has the entry goes on with the same file beside it.
    let mut ledger = ledger;
    ledger.witness(&[newest]).unwrap();
    issue(&mut ledger, 3).unwrap();
    bench.grant(&mut ledger, &bench.appraised(3, 99 * COST)).unwrap();
    // A file that cannot be read refuses, too.
    fs::write(old.path().with_extension("witness"), "nothing\n").unwrap();
    assert!(matches!(old.grant(&mut old.open(), &next), Err(LedgerError::RolledBack { .. })));
    fs::remove_file(old.path().with_extension("witness")).unwrap();
    old.grant(&mut old.open(), &next).unwrap();
}

#[test]
fn every_alteration_of_the_log_is_found() {
    let altered = |sql: &str| {
        let (bench, ledger) = Bench::with_grants(3);
        assert_eq!(ledger.verify_chain().unwrap().0, 4);
        bench.sql(&format!(
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {sql}"
        ));
        match ledger.verify_chain() {
            Err(LedgerError::Altered { seq, .. }) => seq,
            other => panic!("{sql}: {other:?}"),
        }
    };
    assert_eq!(altered("UPDATE log SET cost = 0 WHERE seq = 3"), 3);
    assert_eq!(altered("UPDATE log SET population = 'nobody' WHERE seq = 3"), 3);
    assert_eq!(altered("UPDATE log SET job = zeroblob(64) WHERE seq = 3"), 3);
    assert_eq!(
        altered("UPDATE log SET population = NULL, job = NULL, cost = NULL WHERE seq = 2"),
        2
    );
    assert_eq!(altered("UPDATE log SET digest = zeroblob(64) WHERE seq = 4"), 4);
    assert_eq!(altered("UPDATE log SET entry = zeroblob(9) WHERE seq = 2"), 2);
    assert_eq!(altered("DELETE FROM log WHERE seq = 2"), 2);
    assert_eq!(altered("DELETE FROM log WHERE seq = 3"), 3);
    assert_eq!(altered("DELETE FROM grants WHERE seq = 3"), 3);
    assert_eq!(
        altered("DELETE FROM log WHERE seq = 1; UPDATE log SET seq = seq - 1"),
        1,
        "moved up"
    );
    // An entry rewritten together with its columns breaks the chain.
    let (bench, ledger) = Bench::with_grants(1);
    let (mut entry, _) = ledger.history().unwrap().remove(1);
    if let Event::Reserved(reservation) = &mut entry.event {
        reservation.cost = 1;
    }
    let sql = Connection::open(bench.path()).unwrap();
    sql.execute("UPDATE log SET cost = 1, entry = ?1 WHERE seq = 2", [cbor::encode(&entry)])
        .unwrap();
    assert!(matches!(ledger.verify_chain(), Err(LedgerError::Altered { seq: 2, .. })));
}

/// What happens to the files of a ledger while its broker is away.
type Loss = fn(&Bench, &Files);

/// The files as they were before the last grant.
struct Files {
    ledger: Vec<u8>,
    head: Vec<u8>,
}

impl Files {
    fn of(bench: &Bench) -> Self {
        let head = fs::read(Head::path(&bench.path())).unwrap();
        Self { ledger: fs::read(bench.path()).unwrap(), head }
    }
}

fn beside(bench: &Bench, name: &str) -> PathBuf {
    bench.directory.path().join(name)
}

fn rolled_back(bench: &Bench) -> String {
    match Ledger::open(&bench.path(), bench.owner) {
        Err(error @ LedgerError::RolledBack { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("an older ledger was opened"),
    }
}

#[test]
fn a_ledger_that_lost_its_end_is_not_opened() {
    let losses: &[(&str, Loss)] = &[
        ("an older copy of the one file", |bench, before| {
            fs::write(bench.path(), &before.ledger).unwrap();
        }),
        ("the last entry taken out", |bench, _| {
            bench.sql("DELETE FROM grants WHERE seq = 3; DELETE FROM log WHERE seq = 3");
        }),
        ("another last entry", |bench, _| {
            bench.sql("UPDATE log SET digest = zeroblob(64) WHERE seq = 3");
        }),
        ("no head", |bench, _| fs::remove_file(Head::path(&bench.path())).unwrap()),
        ("half a head", |bench, before| {
            fs::write(Head::path(&bench.path()), &before.head[..20]).unwrap();
        }),
        ("a head of the future", |bench, before| {
            let head = String::from_utf8(before.head.clone()).unwrap();
            fs::write(Head::path(&bench.path()), head.replacen('2', "9", 1)).unwrap();
        }),
    ];
    for (what, lose) in losses {
        let (bench, ledger) = Bench::with_grants(1);
        drop(ledger);
        let before = Files::of(&bench);
        let mut ledger = bench.open();
        issue(&mut ledger, 2).unwrap();
        bench.grant(&mut ledger, &bench.appraised(2, 99 * COST)).unwrap();
        assert_eq!(ledger.spent("patients").unwrap(), 2 * COST);
        drop(ledger);
        lose(&bench, &before);
        let error = rolled_back(&bench);
        assert!(error.contains("[ledger-rolled-back]") && error.contains("ledger.head"), "{what}");
    }
}

#[test]
fn a_lost_second_file_is_found_or_holds_nothing() {
    // Without a reader, every answered entry is in the first file.
    let (bench, mut ledger) = Bench::with_grants(2);
    let copy = |to: &Bench| {
        fs::copy(bench.path(), to.path()).unwrap();
        fs::copy(Head::path(&bench.path()), Head::path(&to.path())).unwrap();
    };
    let (mut elsewhere, _) = Bench::empty();
    elsewhere.owner = bench.owner;
    fs::remove_file(elsewhere.path()).unwrap();
    copy(&elsewhere);
    let copied = elsewhere.open();
    assert_eq!(copied.verify_chain().unwrap(), ledger.verify_chain().unwrap());
    assert_eq!(copied.spent("patients").unwrap(), 2 * COST);
    drop(copied);
    // With one, they are in the second, and the first alone is not opened.
    let reader = Connection::open(bench.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM log").unwrap();
    issue(&mut ledger, 3).unwrap();
    bench.grant(&mut ledger, &bench.appraised(3, 99 * COST)).unwrap();
    assert!(fs::metadata(beside(&bench, "ledger.sqlite-wal")).unwrap().len() > 0);
    copy(&elsewhere);
    assert!(rolled_back(&elsewhere).contains("had reached entry 4"));
    drop(reader);
}

#[test]
fn a_crash_between_commit_and_head_loses_nothing() {
    let (bench, ledger) = Bench::with_grants(1);
    drop(ledger);
    let before = Files::of(&bench);
    let mut ledger = bench.open();
    issue(&mut ledger, 2).unwrap();
    let appraised = bench.appraised(2, 99 * COST);
    // The head cannot be written: no answer, though it is spent.
    let head = Head::path(&bench.path());
    fs::remove_file(&head).unwrap();
    fs::create_dir(&head).unwrap();
    fs::write(head.join("x"), b"").unwrap();
    assert!(matches!(bench.grant(&mut ledger, &appraised), Err(LedgerError::File(_))));
    assert!(matches!(ledger.answer(&appraised.transcript), Err(LedgerError::File(_))));
    drop(ledger);
    fs::remove_dir_all(&head).unwrap();
    fs::write(&head, &before.head).unwrap();
    // The log is ahead of its head, and that is fine; asked again, the head comes first.
    let mut ledger = bench.open();
    assert_eq!(ledger.spent("patients").unwrap(), 2 * COST);
    assert!(ledger.answer(&appraised.transcript).unwrap().is_some());
    assert_ne!(fs::read(&head).unwrap(), before.head);
    fs::write(bench.path(), &before.ledger).unwrap();
    drop(ledger);
}
