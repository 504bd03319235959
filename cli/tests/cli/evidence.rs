//! `verify nitro`, `verify snp` and `show`, on evidence of our own making.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cloister_simulated::{
    LEAF_LIFETIME, Pcrs, UnixTime, Vendor,
    mutations::snp::{Plan, Signed},
    pcr,
};

use super::program::{fails, json, run, works};

const AT: &str = "2026-01-01T00:00:00Z";
const AT_SECONDS: u64 = 1_767_225_600;

/// A folder with a document in `doc` and its root in `roots`.
fn nitro(registers: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(AT_SECONDS));
    let vendor = Vendor::generate(now).unwrap();
    let mut pcrs = Pcrs::new();
    for index in 0..5 {
        let value = if registers.contains(&index) { pcr(&[index]) } else { [0; 48] };
        pcrs.insert(index, value);
    }
    let leaf = vendor.leaf(now, LEAF_LIFETIME).unwrap();
    let document = leaf.document(&[7; 64], Some(&[6; 32]), &pcrs, AT_SECONDS * 1000).unwrap();
    fs::write(folder.path().join("doc"), &document).unwrap();
    fs::create_dir(folder.path().join("roots")).unwrap();
    fs::write(folder.path().join("roots/any name"), vendor.root_der()).unwrap();
    folder
}

/// A folder with a report in `report`, its chain in `certs`, the root in `root`.
fn snp(change: impl FnOnce(&mut Plan)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(&[7; 64], &[0x99; 48]);
    change(&mut plan);
    let Signed { root, intermediate, leaf, report, .. } = plan.sign();
    fs::create_dir(folder.path().join("certs")).unwrap();
    for (name, bytes) in [
        ("report", &report),
        ("root", &root),
        ("certs/1", &leaf),
        ("certs/2", &intermediate),
        ("certs/3", &root),
        ("certs/report beside them", &report),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn pcr_argument(index: u8) -> String {
    format!("{index}={}", hex::encode(pcr(&[index])))
}

/// The names of failed checks.
fn denied(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let verdict = json_of_denial(folder, arguments);
    assert_eq!(verdict["accepted"], false);
    let checks = verdict["checks"].as_array().unwrap().iter();
    let failed = checks.filter(|check| check["outcome"] == "failed");
    failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

fn json_of_denial(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let ran = run(folder, &[arguments, &["--json"]].concat());
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn a_document_is_verified_in_every_form() {
    let folder = nitro(&[0, 1, 2, 3, 4]);
    let document = fs::read(folder.path().join("doc")).unwrap();
    fs::write(folder.path().join("doc.hex"), hex::encode(&document)).unwrap();
    let base64 = ring_base64(&document);
    fs::write(folder.path().join("doc.b64"), base64).unwrap();
    let (binding, nonce, pcr) = ("07".repeat(64), "06".repeat(32), pcr_argument(0));
    for name in ["doc", "doc.hex", "doc.b64"] {
        let arguments = [
            "verify",
            "nitro",
            name,
            "--at",
            AT,
            "--nonce",
            &nonce,
            "--binding",
            &binding,
            "--pcr",
            &pcr,
            "--roots",
            "roots",
        ];
        let verdict = json(folder.path(), &arguments);
        assert_eq!(verdict["accepted"], true);
        assert_eq!(verdict["platform"], "simulated");
        assert_eq!(verdict["claims"]["user_data"], binding);
        let page = works(folder.path(), &arguments);
        assert!(page.contains("ACCEPTED") && page.contains("SIMULATED PLATFORM"), "{page}");
        assert_eq!(json(folder.path(), &["show", name])["kind"], "evidence");
    }
}

#[test]
fn what_operators_get_wrong_is_named() {
    let folder = nitro(&[0, 1, 2, 3, 4]);
    let verify = |more: &[&str]| {
        let base = ["verify", "nitro", "doc", "--any-nonce", "--roots", "roots"];
        [&base[..], more].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let denied_by = |folder: &Path, more: &[&str]| {
        let arguments = verify(more);
        denied(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (right, binding) = (pcr_argument(0), "07".repeat(64));
    let mistyped = format!("0={}", "11".repeat(48));
    let bound = ["--binding", &binding];
    let at = ["--at", AT];
    let path = folder.path();
    assert_eq!(denied_by(path, &[&at[..], &bound, &["--pcr", &mistyped]].concat()), ["pcrs.image"]);
    let stale = ["--at", "2026-01-01T00:10:00Z"];
    assert_eq!(denied_by(path, &[&stale[..], &bound, &["--pcr", &right]].concat()), ["time.age"]);
    let expired = ["--at", "2026-01-02T00:00:00Z"];
    assert_eq!(
        denied_by(path, &[&expired[..], &bound, &["--pcr", &right]].concat()),
        ["chain.path"]
    );

    // A debug enclave, by its zeros and by a real value; accepted only if that is said.
    let folder = nitro(&[3, 4]);
    let zeros = format!("0={}", "00".repeat(48));
    for pcr in [&zeros, &right] {
        let more = [&at[..], &bound, &["--pcr", pcr]].concat();
        assert_eq!(denied_by(folder.path(), &more), ["debug"], "{pcr}");
    }
    let allowed = verify(&[&at[..], &bound, &["--pcr", &zeros, "--allow-debug"]].concat());
    let verdict = json(folder.path(), &allowed.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(verdict["accepted"], true);

    // AWS's root is what counts if no other is named.
    let more = ["--at", AT, "--any-nonce", "--any-binding", "--pcr", &right];
    assert_eq!(
        denied(folder.path(), &[&["verify", "nitro", "doc"][..], &more].concat()),
        ["root.pinned"]
    );
}

#[test]
fn a_report_is_verified_with_what_lies_in_a_folder() {
    let folder = snp(|_| {});
    let (binding, measurement) = ("07".repeat(64), "99".repeat(48));
    let base = [
        "verify",
        "snp",
        "report",
        "--collateral",
        "certs",
        "--at",
        AT,
        "--binding",
        &binding,
        "--measurement",
        &measurement,
        "--root",
        "root",
    ];
    let verdict = json(folder.path(), &base);
    assert_eq!(verdict["accepted"], true);
    assert_eq!(verdict["claims"]["product"], "genoa");
    assert_eq!(verdict["claims"]["policy"], "0x30000");
    let page = works(
        folder.path(),
        &[&base[..], &["--min-tcb", "bootloader=10,tee=0,snp=23,microcode=84"]].concat(),
    );
    assert!(page.contains("ACCEPTED") && page.contains("SIMULATED PLATFORM"), "{page}");
    assert_eq!(json(folder.path(), &["show", "report"])["kind"], "evidence");

    works(folder.path(), &["author", "init", "auditor", "--name", "auditor"]);
    let ear = [&base[..], &["--ear", "result.ear", "--signer", "auditor"]].concat();
    assert_eq!(json(folder.path(), &ear)["ear"]["status"], "contraindicated");
    let shown = json(folder.path(), &["show", "result.ear"]);
    assert_eq!(shown["kind"], "attestation-result");
    assert_eq!(shown["claims"]["vector"]["executables"], 3);
    let (code, line) = fails(folder.path(), &[&base[..], &["--ear", "x"]].concat());
    assert!(code == 2 && line.contains("--signer"), "{line}");

    let denied_with = |more: &[&str]| denied(folder.path(), &[&base[..], more].concat());
    assert_eq!(
        denied_with(&["--min-tcb", "bootloader=10,tee=0,snp=23,microcode=85"]),
        ["tcb.reported"]
    );
    assert_eq!(denied_with(&["--vmpl", "1"]), ["vmpl"]);
    assert_eq!(denied_with(&["--product", "turin"]), ["product.allowed"]);
    assert_eq!(denied_with(&["--require", "no-smt"]), ["policy.smt"]);
    // AMD's roots are what count if no other is named.
    assert_eq!(denied(folder.path(), &base[..base.len() - 2]), ["root.pinned"]);

    let debug = snp(|plan| plan.set(0x00a, &[0x0b]));
    assert_eq!(denied(debug.path(), &base), ["policy.debug"]);
    let verdict = json(debug.path(), &[&base[..], &["--allow-debug"]].concat());
    assert_eq!(verdict["accepted"], true);
    // Firmware was updated, and the certificate is the one from before.
    let updated = snp(|plan| plan.set_extension(&[3, 8], Some(&[2, 1, 83])));
    assert_eq!(denied(updated.path(), &base), ["tcb.certificate"]);
    let other_key = snp(|plan| {
        plan.under_vlek();
        plan.set(0x048, &[0]);
    });
    assert_eq!(denied(other_key.path(), &base), ["collateral.leaf"]);
}

#[test]
fn collateral_is_kept_shown_and_checked() {
    let folder = snp(|_| {});
    let add = ["collateral", "add", "certs/1", "certs/2", "--to", "kept"];
    let added = json(folder.path(), &add);
    assert_eq!((&added["added"], &added["known"]), (&2.into(), &0.into()));
    assert_eq!(json(folder.path(), &add)["known"], 2);
    let (code, line) = fails(folder.path(), &["collateral", "add", "report", "--to", "kept"]);
    assert!(code == 1 && line.contains("neither a certificate nor"), "{line}");

    // Without the root it is not complete.
    let check = ["collateral", "check", "kept", "--at", AT];
    let ran = run(folder.path(), &check);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("ARK-Genoa, is missing"), "{}", ran.out);
    works(folder.path(), &["collateral", "add", "root", "--to", "kept"]);
    assert!(works(folder.path(), &check).contains("Complete and in date"));
    let late = run(folder.path(), &["collateral", "check", "kept", "--at", "2033-01-01T00:00:00Z"]);
    assert!(late.code == 1 && late.out.contains("ended at 2032-01-01T00:00:00Z"), "{}", late.out);

    let shown = json(folder.path(), &["collateral", "show", "kept"]);
    assert_eq!(shown["entries"].as_array().unwrap().len(), 3);
    let page = works(folder.path(), &["collateral", "show", "kept"]);
    assert!(
        page.contains("Genoa chip c5c5") && page.contains("Nothing has been verified"),
        "{page}"
    );
}

#[test]
fn a_signed_bundle_is_taken_from_whoever_is_named_and_until_it_ends() {
    let folder = snp(|_| {});
    let folder = folder.path();
    for home in ["lab", "other"] {
        works(folder, &["orchestrator", "init", home, "--name", home]);
    }
    let sign = ["collateral", "sign", "certs", "--home", "lab", "--to", "lab.bundle"];
    let signed = json(folder, &sign);
    assert_eq!(signed["entries"], 3);
    assert_eq!(signed["ignored"], serde_json::json!(["certs/report beside them"]));
    let shown = json(folder, &["show", "lab.bundle"]);
    assert_eq!(shown["kind"], "collateral-bundle");
    assert_eq!(json(folder, &["collateral", "show", "lab.bundle"])["verified"], false);

    let (binding, measurement) = ("07".repeat(64), "99".repeat(48));
    let verify = ["verify", "snp", "report", "--collateral", "lab.bundle", "--root", "root"];
    let expect = ["--binding", &binding, "--measurement", &measurement];
    let verify = |at: &str, by: &[&str]| {
        let arguments = [&verify[..], &expect, &["--at", at], by].concat();
        run(folder, &arguments)
    };
    let lab = ["--signed-by", "lab/enrolment.cloister"];
    let verified = verify(AT, &lab);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    // Without a name, by somebody else, and at a time that it is not good for.
    for (at, by, part) in [
        (AT, &[][..], "--signed-by"),
        (AT, &["--signed-by", "other/enrolment.cloister"], "bundle-signature"),
        ("2031-01-01T00:00:00Z", &lab, "bundle-ended"),
    ] {
        let refused = verify(at, by);
        assert!(refused.code == 2 && refused.err.contains(part), "{}", refused.err);
    }
    let add = ["collateral", "add", "lab.bundle", "--to", "kept"];
    assert!(fails(folder, &add).1.contains("--signed-by"));
    // Whoever takes the signature off takes nothing out with it.
    let pem = |path: &str| {
        let text = ring_base64(&fs::read(folder.join(path)).unwrap());
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    fs::write(folder.join("stripped"), pem("certs/1") + &pem("certs/2") + &pem("root")).unwrap();
    assert_eq!(json(folder, &["collateral", "add", "stripped", "--to", "plain"])["added"], 3);
    let stripped = [&["collateral", "add", "stripped", "--to", "other-kept"][..], &lab].concat();
    assert!(fails(folder, &stripped).1.contains("no signed bundle"));

    assert_eq!(json(folder, &[&add[..], &lab].concat())["added"], 3);
    // What was damaged is put there again.
    let kept = fs::read_dir(folder.join("kept")).unwrap().next().unwrap().unwrap().path();
    fs::write(&kept, [0x30, 1]).unwrap();
    assert!(fails(folder, &["collateral", "check", "kept"]).1.contains("collateral-format"));
    assert_eq!(json(folder, &[&add[..], &lab].concat())["added"], 1);
    let check = ["collateral", "check", "kept", "--at", AT];
    assert!(works(folder, &check).contains("Complete and in date"));
}

#[test]
fn wrong_use_is_one_line_and_exit_code_2() {
    let folder = snp(|_| {});
    fs::create_dir(folder.path().join("empty")).unwrap();
    let (binding, measurement) = ("07".repeat(64), "99".repeat(48));
    let snp = |collateral: &'static str| {
        let binding = binding.clone();
        let measurement = measurement.clone();
        let arguments = [
            "verify",
            "snp",
            "report",
            "--collateral",
            collateral,
            "--at",
            AT,
            "--binding",
            &binding,
            "--measurement",
            &measurement,
        ];
        arguments.map(str::to_owned).to_vec()
    };
    let cases: [(Vec<String>, &str); 5] = [
        (snp("empty"), "no certificate there"),
        (snp("missing"), "missing"),
        ([&snp("certs")[..], &["--any-binding".to_owned()]].concat(), "cannot be used with"),
        (["verify", "nitro", "report", "--at", AT].map(str::to_owned).to_vec(), "required"),
        (
            [
                "verify",
                "nitro",
                "missing",
                "--at",
                AT,
                "--any-nonce",
                "--any-binding",
                "--allow-debug",
            ]
            .map(str::to_owned)
            .to_vec(),
            "no such file",
        ),
    ];
    for (arguments, part) in cases {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (code, line) = fails(folder.path(), &arguments);
        assert_eq!(code, 2, "{line}");
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn real_evidence_is_verified_where_it_is_at_hand() {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    if !vectors.join("INDEX.md").is_file() {
        eprintln!("NOT TESTED: real evidence, which would be in ../shared/vectors");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = vectors.join("snp/reports/genoa_v3_microsoft_4ae0e73a");
    for (name, from) in [
        ("vcek", report.join("vcek.der")),
        ("a", vectors.join("snp/ca/genoa/ask.der")),
        ("r", vectors.join("snp/ca/genoa/ark.der")),
    ] {
        fs::copy(from, folder.path().join(name)).unwrap();
    }
    let bytes = fs::read(report.join("report.bin")).unwrap();
    let measurement = hex::encode(&bytes[0x90..0xc0]);
    let binding = hex::encode(&bytes[0x50..0x90]);
    let path = report.join("report.bin");
    let arguments = [
        "verify",
        "snp",
        path.to_str().unwrap(),
        "--collateral",
        ".",
        "--at",
        "2026-03-01T00:00:00Z",
        "--binding",
        &binding,
        "--measurement",
        &measurement,
    ];
    let verdict = json(folder.path(), &arguments);
    assert_eq!((&verdict["accepted"], &verdict["platform"]), (&true.into(), &"sev-snp".into()));

    let document = vectors.join("nitro/docs/2025-04-15_mystenlabs_7e916453.cose");
    let shown = json(folder.path(), &["show", document.to_str().unwrap()]);
    let pcr = format!("0={}", shown["claims"]["fields"]["PCR0"].as_str().unwrap());
    let arguments = [
        "verify",
        "nitro",
        document.to_str().unwrap(),
        "--at",
        "2025-04-15T02:25:23Z",
        "--any-nonce",
        "--any-binding",
        "--pcr",
        &pcr,
    ];
    let verdict = json(folder.path(), &arguments);
    assert_eq!((&verdict["accepted"], &verdict["platform"]), (&true.into(), &"nitro".into()));
}

fn ring_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
