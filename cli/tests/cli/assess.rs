//! The draft of an assessment, of a home whose broker has granted a job that ran.

use std::{fs, path::Path};

use cloister_broker::{
    Ledger, Vault,
    appraise::{Appraised, Charge},
    ledger::Issue,
    policy::{Template, template},
};
use cloister_party::Home;
use cloister_protocol::{
    Digest, Signed,
    code::CodeApproval,
    dataset::DataKey,
    grant::Grant,
    hpke::HpkeKeyPair,
    release::{CheckedReceipt, Receipt},
};
use serde_json::{Value, json};

use super::{
    chain::{Chain, Tampering},
    program::{fails, json as machine, works},
};

const ASSESS: [&str; 4] = ["policy", "assess", "--home", "hospital"];
const RESULTS: [&str; 2] = ["--results", "results"];
/// 2026-01-01.
const NOW: u64 = 1_767_225_600;

/// The homes and releases of a chain, with a signed policy, an approval, the dataset, and a
/// ledger in which the job is granted if `granted` says so.
fn ran(granted: bool) -> Chain {
    let chain = Chain::make(&Tampering { people: true, ..Tampering::default() });
    let folder = chain.path();
    works(folder, &["enrol", "lab/enrolment.cloister", "--home", "hospital"]);
    let home = Home::open(&folder.join("hospital")).unwrap();
    let vault = Vault::new(home.path());
    let policy = Template {
        owner: *home.id(),
        name: "hospital",
        population: "people",
        not_after: "2027-12-31",
    };
    fs::write(home.file("policy.toml"), template(&policy)).unwrap();
    let trust = ["policy", "trust-image", "measurements.toml", "--allow-simulated"];
    works(folder, &[&trust[..], &["--home", "hospital"]].concat());
    let allow = ["policy", "allow-orchestrator", "lab/enrolment.cloister"];
    works(folder, &[&allow[..], &["--home", "hospital"]].concat());
    works(folder, &["policy", "sign", "--home", "hospital"]);

    let (receipt, checked) = receipt(folder, 0);
    vault.keep(&DataKey::from_bytes(&[8; 32]), &receipt.datasets[0]).unwrap();
    let code = &checked.code;
    let approval = CodeApproval { code: code.id, component: code.value.component };
    let approval = Signed::sign(&approval, &home.signing_key().unwrap()).unwrap();
    let approvals = home.directory("approvals").unwrap();
    fs::write(approvals.join("logistic.cloister"), approval.as_bytes()).unwrap();
    let mut ledger = Ledger::create(&vault.ledger(), *home.id()).unwrap();
    if granted {
        grant(&home, &mut ledger, &checked);
        for number in 0..3 {
            carry(folder, number, &home, ledger.head().unwrap());
        }
    }
    chain
}

fn receipt(folder: &Path, number: u32) -> (Receipt, CheckedReceipt) {
    let path = folder.join(format!("results/release-{number:03}.receipt"));
    let receipt = Receipt::from_bytes(&fs::read(&path).unwrap()).unwrap();
    let tensors = fs::read(path.with_extension("safetensors")).unwrap();
    let checked = receipt.check(&tensors).unwrap();
    (receipt, checked)
}

/// Reserves what the job costs, as the broker did.
fn grant(home: &Home, ledger: &mut Ledger, checked: &CheckedReceipt) {
    let policy = Vault::new(home.path()).policy(home.id()).unwrap();
    ledger.adopt(&policy, NOW).unwrap();
    let nonce = *checked.transcript.nonces.values().next().unwrap();
    let job = &checked.job;
    ledger.issue_nonce(&nonce, home.id(), NOW).unwrap();
    let charge = Charge {
        datasets: vec![checked.datasets[0].1.id],
        population: "people".into(),
        cost: job.value.cost,
    };
    let appraised = Appraised {
        transcript: checked.transcript_id,
        nonce,
        hpke_key: HpkeKeyPair::generate().public().to_vec(),
        job: job.id,
        purpose: job.value.purpose.clone(),
        orchestrator: job.signer.id(),
        code: job.value.code,
        policy: *policy.id.digest(),
        accounting: policy.value.budget.accounting(),
        total: policy.value.budget.total.rho.as_pico(),
        charges: vec![charge],
        platform: cloister_attestation::Platform::Simulated,
    };
    let keys = [(DataKey::from_bytes(&[8; 32]), [5; 16])];
    let broker = home.broker_key().unwrap();
    ledger.grant(&Issue { appraised: &appraised, keys: &keys, broker: &broker, now: NOW }).unwrap();
}

/// Lets a receipt carry this head of the ledger in its grant.
fn carry(folder: &Path, number: u32, home: &Home, ledger_head: Digest) {
    let (receipt, checked) = receipt(folder, number);
    let grant = Grant { ledger_head, ..checked.grants[0].value.clone() };
    let grant = Signed::sign(&grant, &home.broker_key().unwrap()).unwrap();
    let Receipt { release, evidence, transcript, job, code, datasets, .. } = receipt;
    let receipt = Receipt::new(
        release,
        evidence.into_vec(),
        transcript.into_vec(),
        job,
        code,
        datasets,
        vec![grant],
    );
    let path = folder.join(format!("results/release-{number:03}.receipt"));
    fs::write(path, receipt.to_bytes()).unwrap();
}

/// The facts about `what` in a section.
fn facts<'a>(draft: &'a Value, section: usize, what: &str) -> Vec<&'a Value> {
    let facts = draft["sections"][section - 1]["facts"].as_array().unwrap();
    facts.iter().filter(|fact| fact["what"] == what).collect()
}

#[test]
fn an_assessment_is_filled_from_what_is_signed() {
    let chain = ran(true);
    let folder = chain.path();
    let draft = machine(folder, &[&ASSESS[..], &RESULTS].concat());
    assert_eq!((&draft["jobs_verified"], &draft["receipts_not_counted"]), (&json!(1), &json!(0)));
    // Each fact says where it is from.
    for section in draft["sections"].as_array().unwrap() {
        for fact in section["facts"].as_array().unwrap() {
            assert!(fact["from"]["kind"].is_string(), "{fact}");
        }
    }
    let policy = &facts(&draft, 2, "purpose")[0]["from"];
    assert_eq!((&policy["kind"], &policy["version"]), (&json!("policy"), &json!(3)));
    assert_eq!(policy["id"], draft["policy"]["id"]);
    assert_eq!(facts(&draft, 1, "orchestrator")[0]["value"]["name"], "lab");
    let dataset = &facts(&draft, 3, "dataset")[0];
    assert_eq!(
        (&dataset["value"]["name"], &dataset["value"]["key_held"]),
        (&json!("patients"), &json!(true))
    );
    assert_eq!(facts(&draft, 3, "column").len(), 3);
    let approval = &facts(&draft, 4, "approved code")[0];
    let author = &facts(&draft, 4, "what the author says of code")[0];
    assert_eq!(approval["from"]["kind"], "approval");
    assert_eq!(approval["value"]["code"], author["value"]["code"]);
    assert_eq!(author["value"]["approved"], true);
    assert_eq!(
        (&author["value"]["name"], &author["value"]["output"]),
        (&json!("logistic"), &json!("gradient"))
    );
    // What was spent is what the ledger says, and no more is left than the total.
    let pico = |what: &str| facts(&draft, 5, what)[0]["value"]["pico_rho"].as_u64().unwrap();
    let cost = receipt(folder, 0).1.job.value.cost;
    assert_eq!(pico("spent"), cost);
    assert_eq!(pico("spent") + pico("left"), pico("budget of all jobs together, for ever"));
    let job = &facts(&draft, 6, "job")[0]["value"];
    assert_eq!(
        (&job["orchestrator_name"], &job["code_name"]),
        (&json!("lab"), &json!("logistic@1"))
    );
    let released = &facts(&draft, 6, "verified releases")[0];
    assert_eq!(released["value"]["job"], job["job"]);
    assert_eq!(released["value"]["releases"].as_array().unwrap().len(), 3);
    assert_eq!(released["value"]["protected_nothing"], true);
    assert_eq!(released["from"]["id"], released["value"]["releases"][2]);

    let page = fs::read_to_string(folder.join("hospital/assessment.md")).unwrap();
    for part in [
        "# Data-protection impact assessment (draft)\n\nThis is a draft, and a person answers",
        "**Read this first:**",
        "## 5. Necessity and proportionality",
        "the odds of any guess about a person change by a factor of 7.4 at most",
        "`x`: feature, f64, from 0 to 1 |",
        "- [to be filled in: the legal basis",
        "docs/threat-model.md, \"Not defended\"",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for id in
        [&policy["id"], &approval["from"]["id"], &released["from"]["id"], &draft["ledger_head"]]
    {
        assert!(page.contains(id.as_str().unwrap()), "{id} is not in {page}");
    }
    // Nothing that was needed on the way is left.
    let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(".assess");
    assert!(
        !fs::read_dir(folder.join("hospital")).unwrap().any(|e| hidden(&e.unwrap().file_name()))
    );
}

#[test]
fn an_assessment_names_receipts_that_do_not_count() {
    // One that was altered.
    let chain = ran(true);
    let path = chain.path().join("results/release-002.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::remove_file(chain.path().join("results/model.safetensors")).unwrap();
    let draft = machine(chain.path(), &[&ASSESS[..], &RESULTS].concat());
    let not = facts(&draft, 6, "receipt that is not counted");
    assert_eq!(not.len(), 1, "{draft}");
    assert_eq!(not[0]["value"]["path"], "results/release-002.receipt");
    let released = facts(&draft, 6, "verified releases")[0];
    assert_eq!(released["value"]["releases"].as_array().unwrap().len(), 2);

    // Whole ones that the ledger does not have.
    let chain = ran(false);
    let draft = machine(chain.path(), &[&ASSESS[..], &RESULTS].concat());
    let not = facts(&draft, 6, "receipt that is not counted");
    assert_eq!(not.len(), 3, "{draft}");
    assert!(not[0]["value"]["why"].as_str().unwrap().contains("the ledger does not have it"));
    assert!(facts(&draft, 6, "verified releases").is_empty());
    // Nor does anybody vouch for what the code is called.
    let blanks = draft["sections"][3]["to_be_filled_in"].to_string();
    assert!(blanks.contains("give its file with --code"), "{blanks}");

    // And those of other owners' data.
    let other = Chain::make(&Tampering::default());
    let measurements = other.path().join("measurements.toml");
    let trust = ["policy", "trust-image", measurements.to_str().unwrap(), "--allow-simulated"];
    works(chain.path(), &[&trust[..], &["--home", "hospital"]].concat());
    works(chain.path(), &["policy", "sign", "--home", "hospital"]);
    let results = other.path().join("results");
    let theirs = ["--results", results.to_str().unwrap(), "--force"];
    let draft = machine(chain.path(), &[&ASSESS[..], &theirs].concat());
    let not = facts(&draft, 6, "receipt that is not counted");
    assert!(not[0]["value"]["why"].as_str().unwrap().contains("none of its data is of this home"));
}

#[test]
fn an_assessment_needs_a_signed_policy_and_an_unbroken_ledger() {
    let chain = ran(true);
    let home = chain.path().join("hospital");
    // What is only written does not count.
    let text = fs::read_to_string(home.join("policy.toml")).unwrap();
    fs::write(home.join("policy.toml"), text.replace("\"research\"", "\"hopes\"")).unwrap();
    works(chain.path(), &ASSESS);
    let page = fs::read_to_string(home.join("assessment.md")).unwrap();
    assert!(page.contains("| purpose | `research` |") && !page.contains("hopes"), "{page}");
    // A draft that somebody filled in is not lost by accident.
    let (code, line) = fails(chain.path(), &ASSESS);
    assert!(code == 1 && line.contains("--force"), "{line}");
    works(chain.path(), &[&ASSESS[..], &["--force"]].concat());
    let (_, line) =
        fails(chain.path(), &[&ASSESS[..], &["--force", "-o", "results/job.cloister"]].concat());
    assert!(line.contains("not a draft of this command"), "{line}");

    fs::rename(home.join("policy.cloister"), home.join("kept")).unwrap();
    let (code, line) = fails(chain.path(), &[&ASSESS[..], &["--force"]].concat());
    assert!(code == 1 && line.contains("cloister policy sign"), "{line}");
    fs::rename(home.join("kept"), home.join("policy.cloister")).unwrap();
    fs::remove_file(home.join("ledger.sqlite")).unwrap();
    let (_, line) = fails(chain.path(), &[&ASSESS[..], &["--force"]].concat());
    assert!(line.contains("[ledger-missing]"), "{line}");
}
