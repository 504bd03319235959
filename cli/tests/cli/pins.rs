//! `cloister verify` with the enrolments of those whose releases they have to be.

use super::{
    chain::{Chain, Tampering},
    program::{fails, json, run, works},
};

const TRUST: [&str; 4] = ["verify", "results", "--trust", "measurements.toml"];
const OWNER: [&str; 2] = ["--owner", "hospital/enrolment.cloister"];
const ORCHESTRATOR: [&str; 2] = ["--orchestrator", "lab/enrolment.cloister"];
const AUTHOR: [&str; 2] = ["--author", "author/enrolment.cloister"];

#[test]
fn identities_that_nobody_checked_are_shown_in_full() {
    let chain = Chain::make(&Tampering::default());
    let page = works(chain.path(), &TRUST);
    assert!(page.contains("IDENTITIES WERE NOT CHECKED (owner, orchestrator, author)"), "{page}");
    let job = &json(chain.path(), &TRUST)["jobs"][0];
    assert_eq!(job["identities_checked"], false);
    for key in [&job["orchestrator"], &job["author"], &job["datasets"][0]["owner"]] {
        let key = key.as_str().unwrap();
        assert!(key.len() == 128 && page.contains(key), "{key}: {page}");
    }
    let broker = job["datasets"][0]["broker"].as_str().unwrap();
    assert!(page.contains(broker), "{page}");

    // One role is not all.
    let some = [&TRUST[..], &OWNER].concat();
    let page = works(chain.path(), &some);
    assert!(page.contains("IDENTITIES WERE NOT CHECKED (orchestrator, author)"), "{page}");
    assert!(!page.contains("owner of patients"), "{page}");
    assert_eq!(json(chain.path(), &some)["jobs"][0]["identities_checked"], false);
}

#[test]
fn the_keys_of_those_who_were_named_are_accepted() {
    let chain = Chain::make(&Tampering::default());
    let all = [&TRUST[..], &OWNER, &ORCHESTRATOR, &AUTHOR].concat();
    let page = works(chain.path(), &all);
    assert!(!page.contains("IDENTITIES WERE NOT CHECKED"), "{page}");
    assert_eq!(json(chain.path(), &all)["jobs"][0]["identities_checked"], true);
    // Somebody else may be expected as well.
    let other = Chain::make(&Tampering::default());
    let more = other.path().join("hospital/enrolment.cloister");
    works(chain.path(), &[&all[..], &["--owner", more.to_str().unwrap()]].concat());
}

#[test]
fn a_job_that_is_whole_but_somebody_elses_is_denied() {
    // Without its pin, each is accepted: the attack is to make a whole job of one's own.
    let chain = Chain::make(&Tampering::default());
    let other = Chain::make(&Tampering::default());
    let enrolment = |home: &str| {
        let path = other.path().join(home).join("enrolment.cloister");
        path.to_str().unwrap().to_owned()
    };
    for (option, home, because) in [
        ("--owner", "hospital", "dataset patients is of owner"),
        ("--orchestrator", "lab", "the job is signed by"),
        ("--author", "author", "the code is signed by"),
    ] {
        let ran = run(chain.path(), &[&TRUST[..], &[option, &enrolment(home)]].concat());
        assert_eq!(ran.code, 1, "{option}: {}", ran.out);
        assert!(ran.out.starts_with("DENIED") && ran.out.contains(because), "{}", ran.out);
    }
}

#[test]
fn an_owner_comes_with_its_broker() {
    let chain = Chain::make(&Tampering { broker: true, ..Tampering::default() });
    works(chain.path(), &TRUST);
    let ran = run(chain.path(), &[&TRUST[..], &OWNER].concat());
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("dataset patients is granted by broker"), "{}", ran.out);
}

#[test]
fn an_enrolment_of_another_role_is_wrong_use() {
    let chain = Chain::make(&Tampering::default());
    let wrong = [&TRUST[..], &["--owner", "lab/enrolment.cloister"]].concat();
    let (code, line) = fails(chain.path(), &wrong);
    assert!(code == 2 && line.contains("where one of role owner is needed"), "{line}");
    let wrong = [&TRUST[..], &["--author", "measurements.toml"]].concat();
    let (code, line) = fails(chain.path(), &wrong);
    assert!(code == 1 && line.contains("measurements.toml"), "{line}");
}
