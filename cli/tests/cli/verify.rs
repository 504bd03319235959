//! `cloister verify`, on releases made as an enclave makes them.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    chain::{Chain, Evidence, Tampering},
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
    assert!(page.contains("OPTED OUT of root.pinned"), "{page}");
    let object = json(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    let job = &object["jobs"][0];
    assert_eq!((&object["accepted"], &job["simulated"]), (&true.into(), &true.into()));
    assert_eq!(job["opted_out"], serde_json::json!(["root.pinned"]));
    assert_eq!(job["debug"], false);
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
    fs::remove_file(chain.path().join("results/model.safetensors")).unwrap();
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

/// The model is that of the last round, and metrics come after it.
#[test]
fn metrics_are_computed_again_and_shown_with_their_noise() {
    let measured = || Tampering { measured: true, ..Tampering::default() };
    let chain = Chain::make(&measured());
    let page = works(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    assert!(page.starts_with("ACCEPTED  all 4 releases"), "{page}");
    assert!(page.contains("made again from the releases, byte for byte"), "{page}");
    // 20,000 of 1024 steps over 100 units is 0.195.
    let line = "accuracy 0.949 (noise sd 0.195), loss 0.0250 (noise sd 0.0488)";
    assert!(page.contains(line), "{page}");
    assert!(page.contains("0.012 have none, 0.300 are clipped (noise sd 0.195"), "{page}");
    let job = &verify(chain.path(), &[])["jobs"][0];
    assert_eq!(job["last_accuracy"], 0.75, "that on the public set");
    assert!((job["metrics"]["values"]["clipped"].as_f64().unwrap() - 0.3).abs() < 1e-12);
    denied(&Tampering { metrics: true, ..measured() }, "\"metrics\" does not follow");
    denied(&Tampering { job_cost: true, ..measured() }, "its gates cost");
    // Metrics follow from their own sum, so they are computed again from one release, too.
    let altered = Chain::make(&Tampering { metrics: true, ..measured() });
    let one = ["verify", "results/release-003.receipt", "--trust", "measurements.toml", "--json"];
    let ran = run(altered.path(), &one);
    assert!(ran.code == 1 && ran.out.contains("does not follow"), "{}", ran.out);
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
fn tensors_that_no_release_has_are_denied() {
    denied(
        &Tampering { undeclared: true, ..Tampering::default() },
        "other tensors than were declared",
    );
    denied(&Tampering { extra: true, ..Tampering::default() }, "[release-outputs]");
}

#[test]
fn rounds_begin_from_the_released_first_model() {
    // The honest one is not zero. A changed one gives other models.
    denied(&Tampering { first_model: true, ..Tampering::default() }, "of finite singles");
}

#[test]
fn nonces_of_strangers_are_denied() {
    denied(&Tampering { nonces: true, ..Tampering::default() }, "[transcript-nonces]");
}

#[test]
fn evidence_of_a_time_when_nothing_was_granted_is_denied() {
    denied(&Tampering { expired: true, ..Tampering::default() }, "nothing is granted for the job");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let made = |made| Tampering { made: Some(made), ..Tampering::default() };
    denied(&made(now + 600), "still to come");
    let chain = Chain::make(&made(now + 200));
    works(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
}

#[test]
fn receipts_of_one_run_carry_one_document_however_it_is_signed() {
    let with = |evidence| Tampering { evidence, ..Tampering::default() };
    let chain = Chain::make(&with(Evidence::SignedAgain));
    works(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    denied(&with(Evidence::Unsigned), "release 1: evidence, cose.signature");
    denied(&with(Evidence::Later), "different evidence for one transcript");
}

#[test]
fn the_model_that_people_use_is_made_again_and_compared() {
    let chain = Chain::make(&Tampering::default());
    let trust = ["verify", "results", "--trust", "measurements.toml"];
    let object = json(chain.path(), &trust);
    assert_eq!(object["jobs"][0]["models"][0], "results/model.safetensors");
    assert_eq!(object["unchecked"], serde_json::json!([]));
    let page = works(chain.path(), &trust);
    assert!(page.contains("results/model.safetensors, made again from the releases"), "{page}");

    let path = chain.path().join("results/model.safetensors");
    let honest = fs::read(&path).unwrap();
    let other = Chain::make(&Tampering::default());
    let of_another = fs::read(other.path().join("results/model.safetensors")).unwrap();
    let mut last_bit = honest.clone();
    *last_bit.last_mut().unwrap() ^= 1;
    let longer = [&honest[..], &[0]].concat();
    for wrong in [last_bit, longer, of_another, vec![]] {
        fs::write(&path, wrong).unwrap();
        let ran = run(chain.path(), &trust);
        assert_eq!(ran.code, 1, "{}", ran.out);
        assert!(ran.out.starts_with("DENIED"), "{}", ran.out);
        assert!(ran.out.contains("is not the model of these releases"), "{}", ran.out);
    }
    // A receipt of its name does not make it a release's tensors.
    fs::copy(chain.path().join("results/release-001.receipt"), path.with_extension("receipt"))
        .unwrap();
    fs::copy(chain.path().join("results/release-001.safetensors"), &path).unwrap();
    assert_eq!(run(chain.path(), &trust).code, 1);
    fs::remove_file(path.with_extension("receipt")).unwrap();
    fs::write(&path, honest).unwrap();
    works(chain.path(), &trust);

    // Without all releases there is no saying whose it is.
    chain.remove("release-002");
    let ran = run(chain.path(), &trust);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("cannot be checked: that needs all 3 releases"), "{}", ran.out);
}

#[test]
fn what_was_not_checked_is_named() {
    let chain = Chain::make(&Tampering::default());
    for name in ["notes.txt", "best.safetensors"] {
        fs::write(chain.path().join("results").join(name), b"x").unwrap();
    }
    fs::write(chain.path().join("results/job.cloister"), b"another job").unwrap();
    let page = works(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    let line = page.lines().find(|line| line.starts_with("NOT CHECKED")).unwrap();
    for name in ["best.safetensors", "job.cloister", "notes.txt"] {
        assert!(line.contains(name), "{line}");
    }
    let object = json(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    assert_eq!(object["unchecked"].as_array().unwrap().len(), 3);
}

#[test]
fn a_damaged_receipt_is_one_failure_among_releases_that_were_judged() {
    let chain = Chain::make(&Tampering::default());
    fs::write(chain.path().join("results/release-002.receipt"), b"junk").unwrap();
    let trust = ["verify", "results", "--trust", "measurements.toml"];
    let ran = run(chain.path(), &[&trust[..], &["--json"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let object: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(object["accepted"], false);
    assert_eq!(object["damaged"][0]["path"], "results/release-002.receipt");
    assert_eq!(object["jobs"][0]["releases"].as_array().unwrap().len(), 2);
    // Nothing but errors still says the errors.
    let ran = run(chain.path(), &[&trust[..], &["--quiet"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("release-002.receipt: not a receipt"), "{}", ran.err);
}

#[test]
fn a_receipt_under_two_names_is_one_release() {
    let chain = Chain::make(&Tampering::default());
    for extension in ["receipt", "safetensors"] {
        let of = |stem| chain.path().join(format!("results/{stem}.{extension}"));
        fs::copy(of("release-001"), of("copy")).unwrap();
    }
    let object = json(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    assert_eq!(object["jobs"][0]["releases_verified"], 3);
    let two = ["verify", "results/copy.receipt", "results/release-001.receipt"];
    let page = works(chain.path(), &[&two[..], &["--trust", "measurements.toml"]].concat());
    assert!(page.contains("release 2 of 3, by itself"), "{page}");
}

#[test]
fn a_cost_of_rows_is_not_called_one_of_people() {
    for (people, words, unit) in
        [(false, "for each row (NOT each person)", "row"), (true, "for each person", "column id")]
    {
        let chain = Chain::make(&Tampering { people, ..Tampering::default() });
        let page = works(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
        assert!(page.contains(words), "{page}");
        let object = json(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
        assert_eq!(object["jobs"][0]["datasets"][0]["unit"], unit);
    }
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
    let ran = run(chain.path(), &["verify", "results", "--trust", "measurements.toml"]);
    assert!(ran.code == 1 && ran.out.contains("release-000.safetensors"), "{}", ran.out);
    let missing = ["verify", "missing.receipt", "--trust", "measurements.toml"];
    let (code, line) = fails(chain.path(), &missing);
    assert!(code == 1 && line.contains("missing.receipt"), "{line}");
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
