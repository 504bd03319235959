//! `cloister verify --log`: a job's releases held against its owner's log of grants. Each gap
//! is made alone, and denied by its own name.

use std::{fs, path::Path};

use cloister_broker::ledger::{Entry, Event, GrantLog, Reservation};
use cloister_party::Home;
use cloister_protocol::{
    Digest, Id, Signed, SigningKey,
    grant::Grant,
    release::{CheckedReceipt, Receipt},
};
use serde_bytes::ByteArray;
use serde_json::Value;

use super::{
    chain::{Chain, Tampering},
    program::{fails, run, works},
};

/// When the evidence of these jobs was made.
const THEN: u64 = 1_767_225_600;

/// A job whose grant is in its owner's log.
struct Scene {
    chain: Chain,
    owner: SigningKey,
    broker: SigningKey,
    checked: CheckedReceipt,
}

impl Scene {
    /// The releases carry a grant at the head of this scene's log.
    fn new() -> Self {
        let chain = Chain::make(&Tampering::default());
        let home = Home::open(&chain.path().join("hospital")).unwrap();
        let (_, checked) = receipt(chain.path(), 0);
        let (owner, broker) = (home.signing_key().unwrap(), home.broker_key().unwrap());
        let scene = Self { chain, owner, broker, checked };
        scene.carry_all(scene.head(&scene.entries()));
        scene
    }

    fn path(&self) -> &Path {
        self.chain.path()
    }

    /// What the broker logged: its policy, and the job.
    fn entries(&self) -> Vec<Entry> {
        vec![policy(1, THEN - 100), reserved(2, THEN + 1, self.reservation())]
    }

    /// The reservation of the job.
    fn reservation(&self) -> Reservation {
        let (job, (header, manifest)) = (&self.checked.job, &self.checked.datasets[0]);
        let grant = &self.checked.grants[0].value;
        Reservation {
            grant: grant.grant,
            transcript: grant.transcript,
            job: job.id,
            purpose: job.value.purpose.clone(),
            orchestrator: job.signer.id(),
            code: job.value.code,
            dataset: manifest.id,
            joined: Vec::new(),
            population: header.population.clone(),
            policy: grant.policy,
            cost: grant.cost,
            order: grant.order,
        }
    }

    /// The same for another job.
    fn another(&self, number: u8) -> Reservation {
        let id = |kind| Digest::of(kind, &[&[number]]);
        Reservation {
            grant: ByteArray::new([number; 16]),
            transcript: Id::new(id("transcript")),
            job: Id::new(id("job")),
            ..self.reservation()
        }
    }

    fn head(&self, entries: &[Entry]) -> Digest {
        self.log(entries, THEN + 1000).check().unwrap().head
    }

    fn log(&self, entries: &[Entry], made: u64) -> GrantLog {
        GrantLog::new(self.owner.id(), made, entries).unwrap()
    }

    /// Writes a log of these entries, exported after the job.
    fn write(&self, name: &str, entries: &[Entry]) {
        self.write_at(name, entries, THEN + 1000);
    }

    fn write_at(&self, name: &str, entries: &[Entry], made: u64) {
        let signed = Signed::sign(&self.log(entries, made), &self.owner).unwrap();
        fs::write(self.path().join(name), signed.as_bytes()).unwrap();
    }

    /// Puts another grant into a receipt, signed by the broker.
    fn carry(&self, number: u32, change: impl Fn(&mut Grant)) {
        let (receipt, checked) = receipt(self.path(), number);
        let mut grant = checked.grants[0].value.clone();
        change(&mut grant);
        let grant = Signed::sign(&grant, &self.broker).unwrap();
        let Receipt { release, evidence, transcript, job, code, datasets, .. } = receipt;
        let (evidence, transcript) = (evidence.into_vec(), transcript.into_vec());
        let receipt = Receipt::new(release, evidence, transcript, job, code, datasets, vec![grant]);
        let path = self.path().join(format!("results/release-{number:03}.receipt"));
        fs::write(path, receipt.to_bytes()).unwrap();
    }

    fn carry_all(&self, head: Digest) {
        for number in 0..3 {
            self.carry(number, |grant| grant.ledger_head = head);
        }
    }

    /// What `cloister verify` says of these logs, and of all releases.
    fn verify(&self, logs: &[&str]) -> Value {
        verify(self.path(), logs, &["results"])
    }

    /// Writes a log of these entries and requires that it is denied for this alone.
    fn denied(&self, entries: &[Entry], code: &str) -> String {
        self.write("log", entries);
        only(&self.verify(&["log"]), code)
    }
}

fn verify(folder: &Path, logs: &[&str], more: &[&str]) -> Value {
    let logs = logs.iter().flat_map(|log| ["--log", log]);
    let arguments: Vec<_> = ["verify", "--trust", "measurements.toml", "--json"]
        .into_iter()
        .chain(logs)
        .chain(more.iter().copied())
        .collect();
    let ran = run(folder, &arguments);
    let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    assert_eq!(ran.code == 0, found["accepted"] == true, "{found}");
    found
}

/// Requires that the releases by themselves are good, and the history is denied for one thing.
fn only(found: &Value, code: &str) -> String {
    let jobs = found["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["accepted"] == true), "{found}");
    let gaps = found["history"]["gaps"].as_array().unwrap();
    let codes: Vec<_> = gaps.iter().map(|gap| gap["code"].as_str().unwrap()).collect();
    assert_eq!((codes, &found["accepted"]), (vec![code], &false.into()), "{found}");
    format!("{}: {}", gaps[0]["place"].as_str().unwrap(), gaps[0]["what"].as_str().unwrap())
}

/// The codes of what was not given, where everything else holds.
fn not_given(found: &Value) -> Vec<&str> {
    assert_eq!((&found["accepted"], &found["history"]["holds"]), (&true.into(), &true.into()));
    let notes = found["history"]["not_given"].as_array().unwrap();
    notes.iter().map(|note| note["code"].as_str().unwrap()).collect()
}

fn receipt(folder: &Path, number: u32) -> (Receipt, CheckedReceipt) {
    let path = folder.join(format!("results/release-{number:03}.receipt"));
    let receipt = Receipt::from_bytes(&fs::read(&path).unwrap()).unwrap();
    let checked = receipt.check(&fs::read(path.with_extension("safetensors")).unwrap()).unwrap();
    (receipt, checked)
}

fn policy(seq: u64, time: u64) -> Entry {
    let event = Event::Policy { version: seq, policy: Digest::of("policy", &[]) };
    Entry { seq, time, event }
}

fn reserved(seq: u64, time: u64, reservation: Reservation) -> Entry {
    Entry { seq, time, event: Event::Reserved(Box::new(reservation)) }
}

#[test]
fn a_whole_history_is_computed_again() {
    let scene = Scene::new();
    scene.write("log", &scene.entries());
    let found = scene.verify(&["log"]);
    assert!(not_given(&found).is_empty(), "{found}");
    let log = &found["history"]["logs"][0];
    let cost = scene.reservation().cost;
    let entry = &log["entries"][1];
    assert_eq!((&entry["receipts"], &entry["computed_pico_rho"]), (&3.into(), &cost.into()));
    let people = &log["populations"]["people"];
    assert_eq!((&people["pico_rho"], &people["computed_pico_rho"]), (&cost.into(), &cost.into()));
    assert_eq!((&people["jobs"], &people["jobs_computed"]), (&1.into(), &1.into()));
    assert_eq!(log["head"], scene.head(&scene.entries()).to_hex());

    let words = ["verify", "results", "--trust", "measurements.toml", "--log", "log"];
    let page = works(scene.path(), &words);
    for part in ["ACCEPTED  the history", "spent on people", "of 1 of 1 jobs", "OWNERS OF LOGS"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let named =
        works(scene.path(), &[&words[..], &["--owner", "hospital/enrolment.cloister"]].concat());
    assert!(!named.contains("OWNERS OF LOGS"), "{named}");
}

#[test]
fn what_was_not_given_is_named_and_denies_nothing() {
    let scene = Scene::new();
    let mut entries = scene.entries();
    entries.push(reserved(3, THEN + 50, scene.another(7)));
    scene.write("log", &entries);
    let found = scene.verify(&["log"]);
    assert_eq!(not_given(&found), ["no-receipt"]);
    let note = &found["history"]["not_given"][0];
    let job = scene.another(7).job.digest().short();
    let what = note["what"].as_str().unwrap();
    let cost = scene.reservation().cost.to_string();
    for part in [&job, &cost, "2026-01-01T00:00:50Z", "it runs, it failed"] {
        assert!(what.contains(part), "{part} is not in {what}");
    }
    assert_eq!(note["place"], "log, entry 3");
    let people = &found["history"]["logs"][0]["populations"]["people"];
    assert_eq!((&people["jobs"], &people["jobs_computed"]), (&2.into(), &1.into()));

    // A log alone: its chain, its rules and its totals.
    assert_eq!(not_given(&verify(scene.path(), &["log"], &[])), ["no-receipt", "no-receipt"]);

    // Releases of a job.
    scene.chain.remove("release-002");
    fs::remove_file(scene.path().join("results/model.safetensors")).unwrap();
    scene.write("log", &scene.entries());
    let found = scene.verify(&["log"]);
    assert_eq!(not_given(&found), ["releases-missing"]);
    let what = found["history"]["not_given"][0]["what"].as_str().unwrap();
    assert!(what.starts_with("1 of its 3 releases were not given: 3;"), "{what}");

    // And the log of an owner.
    let (other, _) = SigningKey::generate().unwrap();
    let log = GrantLog::new(other.id(), THEN, &[]).unwrap();
    fs::write(scene.path().join("other"), Signed::sign(&log, &other).unwrap().as_bytes()).unwrap();
    let found = scene.verify(&["other"]);
    assert_eq!(not_given(&found), ["releases-missing", "no-log"]);
}

#[test]
fn a_grant_that_the_log_does_not_know_is_denied() {
    let scene = Scene::new();
    let forgotten = &scene.entries()[..1];
    let said = scene.denied(forgotten, "grant-missing");
    assert!(said.contains("put back from an old copy"), "{said}");
    let page = run(
        scene.path(),
        &["verify", "results", "--trust", "measurements.toml", "--log", "log", "--quiet"],
    );
    assert!(page.code == 1 && page.err.contains("[grant-missing]"), "{}", page.err);

    // The ledger went on without it, as it does when an old copy grants again.
    let later = THEN + 661;
    let on = [policy(1, THEN - 100), reserved(2, later, scene.another(7))];
    let said = scene.denied(&on, "log-forked");
    assert!(said.contains("entry 2 is of 2026-01-01T00:11:01Z"), "{said}");
    // An entry that may have been made before the grant says nothing of the kind.
    let before = [policy(1, THEN - 100), reserved(2, later - 1, scene.another(7))];
    scene.denied(&before, "grant-missing");

    // The log is older than the job: then that is all that is known.
    scene.write_at("log", forgotten, THEN - 1);
    let said = only(&scene.verify(&["log"]), "log-older");
    assert!(said.contains("export it again"), "{said}");
}

#[test]
fn a_log_that_was_rewritten_is_denied() {
    let scene = Scene::new();
    // An entry before the grant is another one; everything after it follows.
    let mut entries = scene.entries();
    entries[0].time -= 1;
    let said = scene.denied(&entries, "log-rewritten");
    assert!(said.contains("its grant is in log, entry 2"), "{said}");
}

#[test]
fn an_entry_that_is_not_the_reservation_is_denied() {
    let scene = Scene::new();
    let one = scene.reservation();
    let digest = |kind| Digest::of(kind, &[b"another"]);
    for (field, changed) in [
        ("grant", Reservation { grant: ByteArray::new([9; 16]), ..one.clone() }),
        ("transcript", Reservation { transcript: Id::new(digest("t")), ..one.clone() }),
        ("job", Reservation { job: Id::new(digest("j")), ..one.clone() }),
        ("purpose", Reservation { purpose: "advertising".into(), ..one.clone() }),
        ("orchestrator", Reservation { orchestrator: Id::new(digest("o")), ..one.clone() }),
        ("code", Reservation { code: Id::new(digest("c")), ..one.clone() }),
        ("dataset", Reservation { dataset: Id::new(digest("d")), ..one.clone() }),
        ("population", Reservation { population: "others".into(), ..one.clone() }),
    ] {
        let entries = [policy(1, THEN - 100), reserved(2, THEN + 1, changed)];
        scene.carry_all(scene.head(&entries));
        let said = scene.denied(&entries, "entry-differs");
        assert!(said.ends_with(&format!(": {field} differs")), "{field}: {said}");
    }
    // The policy of the grant, where another one is in force.
    let other = Event::Policy { version: 1, policy: digest("policy") };
    let entries = [
        Entry { seq: 1, time: THEN - 100, event: other },
        reserved(2, THEN + 1, Reservation { policy: digest("policy"), ..one }),
    ];
    scene.carry_all(scene.head(&entries));
    let said = scene.denied(&entries, "entry-differs");
    assert!(said.ends_with(": policy differs"), "{said}");
    // And one that is no reservation.
    scene.carry_all(scene.head(&entries[..1]));
    let said = scene.denied(&entries[..1], "entry-differs");
    assert!(said.ends_with("it is a policy"), "{said}");
}

#[test]
fn what_was_counted_at_one_order_is_converted_there() {
    let scene = Scene::new();
    let order = cloister_privacy::Order::new(20).unwrap();
    let one = Reservation { order: Some(order), ..scene.reservation() };
    let (cost, population) = (cloister_privacy::Zcdp::from_pico(one.cost), one.population.clone());
    let entries = [policy(1, THEN - 100), reserved(2, THEN + 1, one)];
    let head = scene.head(&entries);
    for number in 0..3 {
        scene.carry(number, |grant| (grant.ledger_head, grant.order) = (head, Some(order)));
    }
    scene.write("log", &entries);
    let found = scene.verify(&["log"]);
    assert_eq!(found["accepted"], true, "{found}");
    let total = &found["history"]["logs"][0]["populations"][&population];
    let at = cloister_privacy::Accounting::At(order).epsilon_upper(cost, 1e-5).unwrap();
    assert!((total["epsilon"].as_f64().unwrap() - at).abs() < 1e-12, "{total}");
    assert_eq!(total["order"], 20);
    assert!(at > cost.epsilon_upper(1e-5).unwrap());
    assert_eq!(found["history"]["complete"], true);
}

#[test]
fn a_reservation_that_costs_less_than_its_job_is_denied() {
    let scene = Scene::new();
    let one = scene.reservation();
    let less = Reservation { cost: one.cost - 1, ..one.clone() };
    let entries = [policy(1, THEN - 100), reserved(2, THEN + 1, less)];
    scene.carry_all(scene.head(&entries));
    let said = scene.denied(&entries, "cost-differs");
    assert!(said.contains(&format!("which costs {} by its gates", one.cost)), "{said}");
}

#[test]
fn receipts_of_two_logs_are_denied() {
    let scene = Scene::new();
    scene.carry(1, |grant| grant.ledger_head = Digest::of("another log", &[]));
    // Of its owner no log is needed for that.
    let (other, _) = SigningKey::generate().unwrap();
    let log = GrantLog::new(other.id(), THEN, &[]).unwrap();
    fs::write(scene.path().join("other"), Signed::sign(&log, &other).unwrap().as_bytes()).unwrap();
    let found = scene.verify(&["other"]);
    assert_eq!(found["history"]["gaps"][0]["code"], "grants-diverge", "{found}");
    let what = found["history"]["gaps"][0]["what"].as_str().unwrap();
    assert!(what.contains("two logs that do not know of each other"), "{what}");
    different_grants(&found);
}

fn different_grants(found: &Value) {
    let failures = found["jobs"][0]["failures"].to_string();
    assert!(failures.contains("carry different grants"), "{found}");
    assert_eq!(found["accepted"], false);
}

/// Releases do not sign grants, so a copy of a receipt can carry another; under what name it is
/// given does not matter.
#[test]
fn a_copy_with_another_grant_is_denied_under_any_name() {
    for name in ["a", "z"] {
        let scene = Scene::new();
        let results = scene.path().join("results");
        for kind in ["receipt", "safetensors"] {
            let from = results.join(format!("release-000.{kind}"));
            fs::copy(from, results.join(format!("{name}.{kind}"))).unwrap();
        }
        scene.write("log", &scene.entries());
        assert_eq!(scene.verify(&["log"])["accepted"], true, "the same receipt twice");
        scene.carry(0, |grant| grant.ledger_head = Digest::of("another log", &[]));
        different_grants(&scene.verify(&["log"]));
    }
}

#[test]
fn two_logs_of_one_owner_have_one_beginning() {
    let scene = Scene::new();
    let mut entries = scene.entries();
    scene.write("earlier", &entries[..1]);
    entries.push(reserved(3, THEN + 50, scene.another(7)));
    scene.write("log", &entries);
    assert_eq!(not_given(&scene.verify(&["earlier", "log"])), ["no-receipt"]);
    // What an old copy grants when it was put back.
    let fork = [entries[0].clone(), entries[1].clone(), reserved(3, THEN + 60, scene.another(8))];
    scene.write("fork", &fork);
    let said = only(&scene.verify(&["log", "fork"]), "log-fork");
    assert!(said.contains("entry 3 is another one than in"), "{said}");
}

#[test]
fn what_no_broker_writes_is_denied() {
    let scene = Scene::new();
    let whole = scene.entries();
    let with = |more: &[Entry]| [&whole[..], more].concat();
    let event = |version, policy| Event::Policy { version, policy };
    let same = Digest::of("policy", &[]);
    scene.denied(&with(&[Entry { seq: 3, time: THEN + 9, event: event(1, same) }]), "policy-order");
    let other = Digest::of("policy", &[b"2"]);
    scene.denied(
        &with(&[
            Entry { seq: 3, time: THEN + 9, event: event(2, other) },
            reserved(4, THEN + 9, scene.another(7)),
        ]),
        "policy-not-in-force",
    );
    let (first, again) =
        (scene.another(7), Reservation { grant: ByteArray::new([8; 16]), ..scene.another(7) });
    scene.denied(
        &with(&[reserved(3, THEN + 9, first), reserved(4, THEN + 9, again)]),
        "job-repeated",
    );
    let order = Some(cloister_privacy::Order::new(20).unwrap());
    let otherwise = Reservation { order, ..scene.another(7) };
    scene.denied(&with(&[reserved(3, THEN + 9, otherwise)]), "budget-account");
    scene.denied(&with(&[reserved(3, THEN - 60, scene.another(7))]), "clock-back");
    // A clock that is corrected by a minute is right again.
    scene.write("log", &with(&[reserved(3, THEN - 59, scene.another(7))]));
    assert_eq!(not_given(&scene.verify(&["log"])), ["no-receipt"]);
}

#[test]
fn a_log_that_is_not_its_owners_is_denied() {
    let scene = Scene::new();
    scene.write("log", &scene.entries());
    // Somebody else's, where its owner was named.
    let (other, _) = SigningKey::generate().unwrap();
    let log = GrantLog::new(other.id(), THEN, &[]).unwrap();
    fs::write(scene.path().join("other"), Signed::sign(&log, &other).unwrap().as_bytes()).unwrap();
    let owner = ["results", "--owner", "hospital/enrolment.cloister"];
    assert!(not_given(&verify(scene.path(), &["log"], &owner)).is_empty());
    let said = only(&verify(scene.path(), &["log", "other"], &owner), "log-owner");
    assert!(said.contains(&other.id().to_string()), "{said}");
    // Altered, or not signed by its owner.
    let mut bytes = fs::read(scene.path().join("log")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(scene.path().join("altered"), bytes).unwrap();
    let said = only(&scene.verify(&["log", "altered"]), "log-unusable");
    assert!(said.contains("[log-signature]"), "{said}");
    let theirs = Signed::sign(&scene.log(&scene.entries(), THEN), &other).unwrap();
    fs::write(scene.path().join("theirs"), theirs.as_bytes()).unwrap();
    let said = only(&scene.verify(&["log", "theirs"]), "log-unusable");
    assert!(said.contains("[log-signer]"), "{said}");
}

#[test]
fn releases_that_do_not_verify_are_denied_with_a_log_as_without() {
    let scene = Scene::new();
    scene.write("log", &scene.entries());
    let path = scene.path().join("results/release-001.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = scene.verify(&["log"]);
    assert_eq!((&found["accepted"], &found["history"]["holds"]), (&false.into(), &true.into()));
    // Nor is what a receipt says that does not verify counted as computed again.
    let people = &found["history"]["logs"][0]["populations"]["people"];
    assert_eq!((&people["jobs"], &people["jobs_computed"]), (&1.into(), &0.into()));
}

#[test]
fn logs_are_used_rightly() {
    let scene = Scene::new();
    let (code, line) = fails(scene.path(), &["verify", "--trust", "measurements.toml"]);
    assert!(code == 2 && line.contains("FILES"), "{line}");
    let missing = ["verify", "--trust", "measurements.toml", "--log", "missing"];
    assert_eq!(fails(scene.path(), &missing).0, 1);
}
