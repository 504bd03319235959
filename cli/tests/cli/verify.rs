//! `cloister verify`, on releases made as an enclave makes them.

use std::{fs, path::Path};

use super::{
    chain::{Chain, Tampering},
    program::{fails, json, run, works},
};

fn verify(folder: &Path, extra: &[&str]) -> serde_json::Value {
    let arguments = [&["verify", "results", "--trust", "measurements.toml", "--json"], extra];
    let ran = run(folder, &arguments.concat());
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err))
}

fn denied(tampering: &Tampering, because: &str) {
    let chain = Chain::make(tampering);
    let ran = run(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    assert_eq!(ran.code, 1, "{because}: {}{}", ran.out, ran.err);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("DENIED") && said.contains(because), "{because}: {said}");
}

#[test]
fn a_whole_job_is_accepted_and_loudly_simulated() {
    let chain = Chain::make(&Tampering::default());
    let page = works(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    assert!(page.starts_with("ACCEPTED  all 3 releases"), "{page}");
    assert!(page.contains("SIMULATED PLATFORM"), "{page}");
    assert!(page.contains("2 replayed from the released sums, bit for bit"), "{page}");
    assert!(page.contains("checks passed as of that time"), "{page}");
    let object = json(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    let job = &object["jobs"][0];
    assert_eq!((&object["accepted"], &job["simulated"]), (&true.into(), &true.into()));
    assert_eq!((&job["complete"], &job["releases_verified"]), (&true.into(), &3.into()));
    let epsilon = job["epsilon"].as_f64().unwrap();
    assert!(epsilon > 0.0 && epsilon.is_finite());
}

#[test]
fn one_release_can_be_checked_by_itself_and_a_beginning_in_order() {
    let chain = Chain::make(&Tampering::default());
    let one = ["verify", "results/release-001.receipt", "--trust", "measurements.toml"];
    let page = works(chain.path(), &one);
    assert!(page.contains("release 2 of 3, by itself") && page.contains("not replayed"), "{page}");
    chain.remove("release-002");
    let job = &verify(chain.path(), &[])["jobs"][0];
    assert_eq!((&job["accepted"], &job["complete"]), (&true.into(), &false.into()));
    assert_eq!(job["models_replayed"], 1);
}

#[test]
fn a_gap_in_the_chain_is_denied() {
    let chain = Chain::make(&Tampering::default());
    chain.remove("release-001");
    let object = verify(chain.path(), &[]);
    assert_eq!(object["accepted"], false);
    let failure = object["jobs"][0]["failures"][0].as_str().unwrap();
    assert!(failure.contains("release 1 is missing"), "{failure}");
}

#[test]
fn another_root_or_measurement_is_denied() {
    let chain = Chain::make(&Tampering::default());
    let other = Chain::make(&Tampering::default());
    fs::copy(other.path().join("measurements.toml"), chain.path().join("other.toml")).unwrap();
    let ran = run(chain.path(), &["verify", "results", "--trust", "other.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("DENIED") && ran.out.contains("evidence, "), "{}", ran.out);
    let text = fs::read_to_string(chain.path().join("measurements.toml")).unwrap();
    let image = text.lines().find(|line| line.starts_with("0 = ")).unwrap();
    let wrong = text.replace(image, &format!("0 = \"{}\"", "ab".repeat(48)));
    fs::write(chain.path().join("wrong.toml"), wrong).unwrap();
    let ran = run(chain.path(), &["verify", "results", "--trust", "wrong.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("DENIED"), "{}", ran.out);
}

#[test]
fn evidence_for_something_else_is_denied() {
    denied(&Tampering { binding: true, ..Tampering::default() }, "evidence, binding");
}

#[test]
fn a_model_that_does_not_follow_from_the_sums_is_denied() {
    denied(&Tampering { model: true, ..Tampering::default() }, "does not follow from the released");
    denied(&Tampering { final_model: true, ..Tampering::default() }, "\"final_model\"");
    denied(&Tampering { centre: true, ..Tampering::default() }, "\"centre\"");
}

#[test]
fn a_false_cost_is_denied() {
    denied(&Tampering { release_cost: true, ..Tampering::default() }, "its gate costs");
    denied(&Tampering { job_cost: true, ..Tampering::default() }, "its gates cost");
}

#[test]
fn releases_of_another_run_are_not_mixed_in() {
    denied(&Tampering { previous: true, ..Tampering::default() }, "does not follow on the one");
}

#[test]
fn tensors_that_were_not_declared_are_denied() {
    denied(
        &Tampering { outputs: true, ..Tampering::default() },
        "other tensors than were declared",
    );
}

#[test]
fn any_flipped_byte_is_denied() {
    let chain = Chain::make(&Tampering::default());
    for name in ["release-001.receipt", "release-001.safetensors"] {
        let path = chain.path().join("results").join(name);
        let whole = fs::read(&path).unwrap();
        let places = [0, 9, whole.len() / 3, whole.len() / 2, whole.len() - 1];
        for place in places {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
            let ran = run(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
            assert_eq!(ran.code, 1, "{name} byte {place}: {}", ran.out);
        }
        fs::write(&path, whole).unwrap();
    }
    works(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
}

#[test]
fn what_is_given_has_to_be_there() {
    let chain = Chain::make(&Tampering::default());
    fs::remove_file(chain.path().join("results/release-000.safetensors")).unwrap();
    let (code, line) = fails(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    assert!(code == 1 && line.contains("release-000.safetensors"), "{line}");
    let (code, line) = fails(chain.path(), &["verify", "results", "--trust", "results"]);
    assert!(line.contains("results"), "{code} {line}");
    fs::write(chain.path().join("empty.toml"), "").unwrap();
    let (code, line) = fails(chain.path(), &["verify", "results", "--trust", "empty.toml"]);
    assert!(code == 2 && line.contains("approve no enclave"), "{line}");
}

#[test]
fn receipts_and_tensors_can_be_shown() {
    let chain = Chain::make(&Tampering::default());
    let shown = json(chain.path(), &["show", "results/release-001.receipt"]);
    assert_eq!((&shown["kind"], &shown["claims"]["of"]), (&"receipt".into(), &3.into()));
    let shown = json(chain.path(), &["show", "results/release-002.safetensors"]);
    assert_eq!(shown["kind"], "tensors");
    let shown = json(chain.path(), &["show", "measurements.toml"]);
    assert_eq!(shown["kind"], "measurements");
}
