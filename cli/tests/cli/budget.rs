//! What an owner's people have left, in a home whose broker has granted jobs.

use std::{fs, path::Path};

use cloister_broker::{
    HomeLock, Ledger, Vault,
    appraise::{Appraised, Charge},
    ledger::Issue,
};
use cloister_party::Home;
use cloister_privacy::Zcdp;
use cloister_protocol::{
    Digest, Id, KeyId, dataset::DataKey, hpke::HpkeKeyPair, transcript::Nonce,
};
use serde_bytes::ByteArray;
use serde_json::Value;

use super::program::{fails, json, run, works};

const MEASUREMENTS: &str = include_str!("../../../attestation/tests/fixtures/measurements.toml");
/// 2026-01-01.
const NOW: u64 = 1_767_225_600;
/// 24 rounds at sensitivity 1024 and sigma 22000.
const COST: u64 = 24 * 1_083_239_670;

/// An owner whose policy is not written yet, and a laboratory that it knows.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let address = "https://127.0.0.1:7101";
    let who = ["owner", "init", "a", "--name", "a", "--population", "people"];
    works(folder.path(), &[&who[..], &["--address", address]].concat());
    works(folder.path(), &["orchestrator", "init", "lab", "--name", "lab"]);
    works(folder.path(), &["enrol", "lab/enrolment.cloister", "--home", "a"]);
    folder
}

fn written(folder: &Path) {
    fs::write(folder.join("measurements.toml"), MEASUREMENTS).unwrap();
    let trust = ["policy", "trust-image", "measurements.toml", "--allow-simulated"];
    works(folder, &[&trust[..], &["--home", "a"]].concat());
}

fn signed() -> tempfile::TempDir {
    let folder = prepared();
    written(folder.path());
    works(folder.path(), &["policy", "sign", "--home", "a"]);
    folder
}

fn id<T>(kind: &str, n: u8) -> Id<T> {
    Id::new(Digest::of(kind, &[&[n]]))
}

fn orchestrator(folder: &Path) -> KeyId {
    *Home::open(&folder.join("lab")).unwrap().id()
}

fn ledger(folder: &Path) -> Ledger {
    let home = folder.join("a");
    let id = *Home::open(&home).unwrap().id();
    Ledger::open(&Vault::new(&home).ledger(), id).unwrap()
}

/// Grants job `n` of this orchestrator, as the broker of `a` does.
fn grant(folder: &Path, ledger: &mut Ledger, n: u8, orchestrator: KeyId) {
    let home = Home::open(&folder.join("a")).unwrap();
    let policy = Vault::new(home.path()).policy(home.id()).unwrap();
    let now = NOW + u64::from(n);
    ledger.adopt(&policy, now).unwrap();
    let nonce = Nonce(ByteArray::new([n; 32]));
    ledger.issue_nonce(&nonce, &orchestrator, now).unwrap();
    let charge =
        Charge { datasets: vec![id("dataset", 0)], population: "people".into(), cost: COST };
    let appraised = Appraised {
        transcript: id("transcript", n),
        nonce,
        hpke_key: HpkeKeyPair::generate().public().to_vec(),
        job: id("job", n),
        purpose: "research".into(),
        orchestrator,
        code: id("code", 0),
        policy: *policy.id.digest(),
        accounting: policy.value.budget.accounting(),
        total: policy.value.budget.total.rho.as_pico(),
        charges: vec![charge],
        platform: cloister_attestation::Platform::Simulated,
    };
    let keys = [(DataKey::from_bytes(&[8; 32]), [5; 16])];
    let broker = home.broker_key().unwrap();
    ledger.grant(&Issue { appraised: &appraised, keys: &keys, broker: &broker, now }).unwrap();
}

fn pico(amount: &Value) -> u64 {
    amount["pico_rho"].as_u64().unwrap()
}

const SHOW: [&str; 4] = ["budget", "show", "--home", "a"];
const HISTORY: [&str; 4] = ["budget", "history", "--home", "a"];
const PLAN: [&str; 4] = ["budget", "plan", "--home", "a"];

/// An amount of one account says nothing in another.
#[test]
fn an_account_that_counts_otherwise_now_is_not_shown() {
    let folder = signed();
    grant(folder.path(), &mut ledger(folder.path()), 1, orchestrator(folder.path()));
    let path = folder.path().join("a/policy.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replacen("\nversion = ", "\nversion = 9", 1);
    fs::write(&path, text.replace("[budget]\n", "[budget]\norder = 20\n")).unwrap();
    works(folder.path(), &["policy", "sign", "--home", "a"]);
    for command in [&SHOW[..], &PLAN] {
        let (code, error) = fails(folder.path(), command);
        assert!(code == 1 && error.contains("set [budget] order back"), "{error}");
    }
}

#[test]
fn what_is_spent_and_left_makes_the_total_in_rho() {
    let folder = signed();
    let fresh = json(folder.path(), &SHOW);
    assert_eq!((pico(&fresh["spent"]), &fresh["jobs_at_limit"]), (0, &3.into()));
    assert_eq!(fresh["left"]["pico_rho"], fresh["total"]["pico_rho"]);
    assert!(fresh["left"]["epsilon"].as_f64().unwrap() <= 2.0);
    assert_eq!((&fresh["entries"], &fresh["policy"]["signed"]), (&0.into(), &true.into()));

    let mut open = ledger(folder.path());
    grant(folder.path(), &mut open, 1, orchestrator(folder.path()));
    let shown = json(folder.path(), &SHOW);
    assert_eq!(pico(&shown["spent"]), COST);
    assert_eq!(pico(&shown["spent"]) + pico(&shown["left"]), pico(&shown["total"]));
    let epsilon = |amount: &str| shown[amount]["epsilon"].as_f64().unwrap();
    let spent = Zcdp::from_pico(COST).epsilon_upper(1e-5).unwrap();
    assert!((epsilon("spent") - spent).abs() < 1e-12);
    assert!(epsilon("spent") + epsilon("left") > epsilon("total"));
    assert_eq!((&shown["jobs_at_limit"], &shown["entries"]), (&2.into(), &2.into()));
    assert_eq!(shown["head"], open.head().unwrap().to_hex());
    for row in shown["buys"].as_array().unwrap() {
        let number = |key: &str| row[key].as_u64().unwrap();
        let cost = |sigma| {
            let round = Zcdp::of_gaussian(number("steps"), sigma).unwrap();
            round.checked_mul(number("rounds")).unwrap().as_pico()
        };
        assert!(cost(number("sigma_steps")) <= pico(&shown["per_job"]), "{row}");
        assert!(cost(number("sigma_steps") - 1) > pico(&shown["per_job"]), "{row}");
    }
    let page = works(folder.path(), &SHOW);
    for part in ["0.025997752080", "left", "Rho adds up", "rounds     noise", "2 more"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}

#[test]
fn it_works_beside_a_broker_and_is_in_nobodys_way() {
    let folder = signed();
    let _lock = HomeLock::take(&folder.path().join("a")).unwrap();
    let mut broker = ledger(folder.path());
    for n in 1..=3 {
        grant(folder.path(), &mut broker, n, orchestrator(folder.path()));
        assert_eq!(pico(&json(folder.path(), &SHOW)["spent"]), COST * u64::from(n));
        let history = json(folder.path(), &HISTORY);
        assert_eq!(history["entries"].as_array().unwrap().len(), usize::from(n) + 1);
        assert_eq!(history["head"], broker.head().unwrap().to_hex());
        json(folder.path(), &PLAN);
    }
    // Nor after it, when nobody holds the second file open.
    drop(broker);
    assert_eq!(pico(&json(folder.path(), &SHOW)["spent"]), 3 * COST);
    assert_eq!(ledger(folder.path()).verify_chain().unwrap().0, 4);
}

#[test]
fn the_history_says_who_what_when_and_for_how_much() {
    let folder = signed();
    let known = orchestrator(folder.path());
    let mut open = ledger(folder.path());
    grant(folder.path(), &mut open, 1, known);
    grant(folder.path(), &mut open, 2, id("stranger", 0));
    let history = json(folder.path(), &HISTORY);
    assert_eq!((&history["unbroken"], &history["delta"]), (&true.into(), &1e-5.into()));
    let [policy, first, second] = history["entries"].as_array().unwrap().as_slice() else {
        panic!("{history}");
    };
    assert_eq!((&policy["event"], &policy["version"]), (&"policy".into(), &2.into()));
    assert_eq!((&first["seq"], &first["time"]), (&2.into(), &"2026-01-01T00:00:01Z".into()));
    assert_eq!(
        (&first["purpose"], &first["orchestrator_name"]),
        (&"research".into(), &"lab".into())
    );
    assert_eq!(first["orchestrator"], known.to_string());
    assert_eq!(first["job"], id::<()>("job", 1).to_string());
    assert!(second["orchestrator_name"].is_null() && second["dataset_name"].is_null());
    assert_eq!((pico(first), pico(second)), (COST, COST));
    assert_eq!(second["spent_pico_rho"], 2 * COST);
    let total = Zcdp::from_pico(2 * COST).epsilon_upper(1e-5).unwrap();
    assert!((second["spent_epsilon"].as_f64().unwrap() - total).abs() < 1e-12);
    assert_eq!(second["digest"], history["head"]);

    let page = works(folder.path(), &HISTORY);
    for part in ["policy version 2", "lab (", "research", "the chain is unbroken"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(page.contains(history["head"].as_str().unwrap()), "{page}");
}

#[test]
fn an_altered_ledger_is_not_believed() {
    let folder = signed();
    let mut open = ledger(folder.path());
    for n in 1..=2 {
        grant(folder.path(), &mut open, n, orchestrator(folder.path()));
    }
    drop(open);
    let path = folder.path().join("a/ledger.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    // Entries are written from the end of a page to its beginning: this is the first job's.
    let at = bytes.windows(8).rposition(|window| window == b"research").unwrap();
    bytes[at] = b'R';
    fs::write(&path, bytes).unwrap();

    let (code, line) = fails(folder.path(), &SHOW);
    assert!(code == 1 && line.contains("[ledger-altered] entry 2"), "{line}");
    assert!(fails(folder.path(), &PLAN).1.contains("[ledger-altered]"));
    let page = run(folder.path(), &HISTORY);
    assert!(page.code == 1 && page.out.contains("[ledger-altered] entry 2"), "{}", page.out);
    let ran = run(folder.path(), &[&HISTORY[..], &["--json"]].concat());
    let history: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &history["unbroken"]), (1, &false.into()));
    // What comes before is what was written.
    assert_eq!(history["entries"].as_array().unwrap().len(), 1);
    assert!(history["head"].is_null());
}

#[test]
fn a_policy_that_is_not_signed_is_planned_with_and_says_so() {
    let folder = prepared();
    let (_, line) = fails(folder.path(), &SHOW);
    assert!(line.contains("policy.toml") && line.contains("trust-image"), "{line}");
    written(folder.path());
    let page = works(folder.path(), &SHOW);
    assert!(page.contains("not signed") && page.contains("cloister policy sign"), "{page}");
    assert_eq!(json(folder.path(), &PLAN)["policy"]["signed"], false);
    let path = folder.path().join("a/policy.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("name = \"people\"", "name = \"others\"")).unwrap();
    let (_, line) = fails(folder.path(), &SHOW);
    assert!(line.contains("others") && line.contains("people"), "{line}");
}

#[test]
fn a_plan_is_a_table_and_a_plot_that_can_be_kept() {
    let folder = signed();
    let mut open = ledger(folder.path());
    grant(folder.path(), &mut open, 1, orchestrator(folder.path()));
    let plan = [&PLAN[..], &["--rounds", "10", "--epsilon", "0.5", "--units", "400"]].concat();
    let with_file = [&plan[..], &["--svg", "plan.svg"]].concat();
    let planned = json(folder.path(), &with_file);
    assert_eq!((&planned["rounds"], &planned["units"]), (&10.into(), &400.into()));
    let asked = planned["asked"]["epsilon"].as_f64().unwrap();
    assert!(asked > 0.4999 && asked <= 0.5, "{asked}");
    let rows = planned["rows"].as_array().unwrap();
    let named = |name: &str| rows.iter().find(|row| row["is"][0] == name).unwrap();
    let asked = named("as asked");
    assert!(asked["epsilon"].as_f64().unwrap() <= 0.5 && asked["refused"].is_null());
    assert_eq!(named("all that is left")["refused"], "more than one job may cost");

    let path = folder.path().join("plan.svg");
    let svg = fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    for part in [">one job<", ">left<", ">asked<", "10 rounds on people"] {
        assert!(svg.contains(part), "{part}");
    }
    fs::write(&path, "theirs").unwrap();
    let (code, line) = fails(folder.path(), &with_file);
    assert!(code == 1 && line.contains("--force"), "{line}");
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    let page = works(folder.path(), &[&with_file[..], &["--force"]].concat());
    assert_eq!(fs::read_to_string(&path).unwrap(), svg);
    for part in ["in the mean", "as asked", "epsilon at delta 1e-5", "┤", "clip bounds"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for wrong in [["--epsilon", "0"], ["--rounds", "0"], ["--rounds", "10001"], ["--units", "0"]] {
        assert_eq!(fails(folder.path(), &[&PLAN[..], &wrong[..]].concat()).0, 2, "{wrong:?}");
    }
    let lonely = [&PLAN[..], &["--force"]].concat();
    assert_eq!(fails(folder.path(), &lonely).0, 2);
}

#[test]
fn nothing_is_made_where_a_ledger_is_missing() {
    let folder = signed();
    let path = folder.path().join("a/ledger.sqlite");
    fs::remove_file(&path).unwrap();
    for command in [SHOW, HISTORY, PLAN] {
        let (code, line) = fails(folder.path(), &command);
        assert!(code == 1 && line.contains("[ledger-missing]"), "{line}");
    }
    assert!(!path.exists());
}
