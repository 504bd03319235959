//! What a person can get wrong, and that nothing is assumed.

use cloister_privacy::Zcdp;

use super::*;
use crate::scene::{Scene, key, measurements};

/// A policy as an owner has it after trusting one enclave.
fn text() -> String {
    let scene = Scene::new();
    let with = Template {
        owner: scene.owner.id(),
        name: "Hospital A",
        population: "patients of \"A\"",
        not_after: "2027-12-31",
    };
    trust(&template(&with), &measurements(&scene.vendor, &scene.pcrs)).unwrap()
}

#[test]
fn the_template_compiles_once_an_enclave_is_trusted() {
    let owner = key().id();
    let with = Template { owner, name: "A\nB", population: "patients", not_after: "2027-12-31" };
    let bare = template(&with);
    assert!(matches!(Policy::from_toml(&bare), Err(PolicyError::NoEnclave)));
    let policy = Policy::from_toml(&text()).unwrap();
    assert_eq!(policy.version, 2, "trusting an enclave is a change");
    assert_eq!(policy.population, "patients of \"A\"");
    assert_eq!(policy.cohort.owners.len(), 1);
    assert_eq!(policy.purposes.not_after, 1_830_297_599, "2027-12-31T23:59:59Z");
    assert_eq!(policy.budget.per_job.rho, Zcdp::budget_for(1.0, 1e-5).unwrap());
    assert_eq!(policy.enclaves.simulated_references().len(), 1);
}

#[test]
fn a_missing_section_is_refused_with_its_name() {
    let text = text();
    for section in SECTIONS {
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        table.remove(section).unwrap();
        match Policy::from_toml(&toml::to_string(&table).unwrap()) {
            Err(PolicyError::MissingSection(found)) => assert_eq!(found, section),
            other => panic!("without [{section}]: {other:?}"),
        }
    }
}

#[test]
fn a_missing_key_is_refused_with_its_name() {
    let whole: toml::Table = toml::from_str(&text()).unwrap();
    for section in SECTIONS {
        let keys: Vec<_> = whole[section].as_table().unwrap().keys().cloned().collect();
        for key in keys {
            let mut table = whole.clone();
            table[section].as_table_mut().unwrap().remove(&key);
            let error = Policy::from_toml(&toml::to_string(&table).unwrap()).unwrap_err();
            assert!(error.to_string().contains(&key), "without [{section}] {key}: {error}");
        }
    }
}

#[test]
fn what_no_policy_has_is_refused() {
    for (what, found) in [
        ("section", format!("{}\n[surprise]\na = 1\n", text())),
        ("key", text().replace("[units]", "[units]\nper-patient = true")),
        ("word", text().replace("\"anyone\"", "\"nobody\"")),
        ("key of an enclave", format!("{}\nsurprise = 1\n", text())),
    ] {
        assert!(Policy::from_toml(&found).is_err(), "an unknown {what} was accepted");
    }
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_its_place() {
    let refused = |from: &str, to: &str| {
        let text = text();
        assert!(text.contains(from), "{from}");
        match Policy::from_toml(&text.replace(from, to)) {
            Err(PolicyError::Value { section, key, .. }) => format!("{section}.{key}"),
            other => panic!("{to}: {other:?}"),
        }
    };
    assert_eq!(refused("version = 2", "version = 0"), "policy.version");
    assert_eq!(refused(r#"'patients of "A"'"#, "\"\""), "population.name");
    assert_eq!(refused("epsilon = 2.0", "epsilon = -2.0"), "budget.total");
    assert_eq!(refused("epsilon = 2.0", "epsilon = inf"), "budget.total");
    assert_eq!(refused("epsilon = 2.0", "epsilon = 0.5"), "budget.per-job");
    assert_eq!(
        refused("{ epsilon = 1.0, delta = 1e-5 }", "{ epsilon = 1.0, delta = 1.0 }"),
        "budget.per-job"
    );
    assert_eq!(
        refused("not-after = 2027-12-31", "not-after = 2027-12-31T10:00:00"),
        "purposes.not-after"
    );
    assert_eq!(refused("\"research\"", "\"\""), "purposes.allowed");
    assert_eq!(refused("components = []", "components = [\"ab\"]"), "code.components");
    assert_eq!(refused("keys = []", "keys = [\"me\"]"), "orchestrators.keys");
    assert_eq!(refused("minimum-owners = 1", "minimum-owners = 0"), "cohort.minimum-owners");
    assert_eq!(refused("minimum-owners = 1", "minimum-owners = 2"), "cohort.minimum-owners");
    assert_eq!(refused("minimum-units = 100", "minimum-units = 0"), "cohort.minimum-units");
    assert_eq!(refused("max-age-seconds = 300", "max-age-seconds = 0"), "evidence.max-age-seconds");
    assert_eq!(
        refused("max-age-seconds = 300", "max-age-seconds = 99999"),
        "evidence.max-age-seconds"
    );
    let owner = key().id().digest().to_hex();
    let twice = format!("owners = [\"{owner}\", \"{owner}\",");
    assert_eq!(refused("owners = [", &twice), "cohort.owners");
}

#[test]
fn an_offset_time_is_taken_to_the_second() {
    let text = text().replace("not-after = 2027-12-31", "not-after = 2027-12-31T12:00:00+02:00");
    let policy = Policy::from_toml(&text).unwrap();
    assert_eq!(policy.purposes.not_after, 1_830_297_599 - 14 * 3600 + 1);
}

#[test]
fn it_survives_signing_and_only_its_owner_can_sign_it() {
    let owner = key();
    let policy = Policy::from_toml(&text()).unwrap();
    let signed = policy.sign(&owner).unwrap();
    let opened = Policy::open(&signed, &owner.id()).unwrap();
    assert_eq!(opened.value, policy);
    assert!(matches!(Policy::open(&signed, &key().id()), Err(PolicyError::Signed(_))));
    for position in [0, signed.as_bytes().len() / 2, signed.as_bytes().len() - 1] {
        let mut bytes = signed.as_bytes().to_vec();
        bytes[position] ^= 1;
        assert!(Policy::open(&Signed::from_bytes(bytes), &owner.id()).is_err());
    }
}

#[test]
fn a_signed_policy_with_more_rho_than_its_epsilon_is_refused() {
    let owner = key();
    let mut policy = Policy::from_toml(&text()).unwrap();
    let rho = policy.budget.total.rho.as_pico();
    policy.budget.total.rho = Zcdp::from_pico(rho + 1);
    assert!(policy.sign(&owner).is_err());
    let signed = Signed::sign(&policy, &owner).unwrap();
    assert!(matches!(Policy::open(&signed, &owner.id()), Err(PolicyError::Value { .. })));
}

#[test]
fn trusting_an_image_keeps_what_the_owner_wrote() {
    let scene = Scene::new();
    let first = measurements(&scene.vendor, &scene.pcrs);
    let before =
        format!("# mine\n{}# the end", text().replace("version = 2", "version = 41  # why"));
    let other = Scene::new();
    let second = measurements(&other.vendor, &other.pcrs);
    let after = trust(&before, &second).unwrap();
    assert!(after.starts_with("# mine\n") && after.contains("version = 42  # why"));
    assert!(after.contains("# the end") && after.contains("# Whom the data is about."));
    let policy = Policy::from_toml(&after).unwrap();
    assert_eq!(policy.enclaves.simulated_references().len(), 2);
    // Trusting it again changes nothing, version included.
    assert_eq!(trust(&after, &second).unwrap(), after);
    // Both at once: only the new one is added.
    let both = trust(&after, &format!("{first}\n{second}")).unwrap();
    let policy = Policy::from_toml(&both).unwrap();
    assert_eq!((policy.version, policy.enclaves.simulated_references().len()), (43, 3));
    assert!(trust(&after, "").is_err());
    assert!(trust("[policy]\n", &second).is_err(), "no version to count up");
}

#[test]
fn an_inline_array_of_enclaves_is_not_broken_by_appending() {
    let text = text();
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    let inline = format!("simulated = {}\n", table.remove("simulated").unwrap());
    let inline = inline + &toml::to_string(&table).unwrap();
    Policy::from_toml(&inline).unwrap();
    let other = Scene::new();
    let added = trust(&inline, &measurements(&other.vendor, &other.pcrs));
    assert!(matches!(added, Err(PolicyError::Edit)), "{added:?}");
}

#[test]
fn it_is_explained_with_all_that_matters() {
    let page = explain(&Policy::from_toml(&text()).unwrap());
    for part in [
        "patients of \"A\"",
        "\"research\"",
        "2027-12-31",
        "epsilon 2",
        "at delta 1e-5",
        "factor of 7.4",
        "at least 100 units",
        "SIMULATED",
        "WARNING",
        "for which this owner signed an approval",
        "Jobs are accepted from: none",
    ] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    assert!(page.lines().all(|line| line.len() < 100), "{page}");
}

/// An owner who knows that simulated enclaves protect nothing.
fn trust(policy: &str, measurements: &str) -> Result<String, PolicyError> {
    let allow = Unprotected { simulated: true, debug: false };
    trust_image(policy, measurements, allow).map(|(text, _)| text)
}

#[test]
fn an_unprotected_enclave_is_not_approved_by_the_way() {
    let genuine =
        format!("[[nitro]]\nname = \"good\"\n[nitro.pcrs]\n0 = \"{}\"\n", "ab".repeat(48));
    let scene = Scene::new();
    let simulated = measurements(&scene.vendor, &scene.pcrs);
    let debug = "[[nitro-debug]]\nname = \"staging\"\npcrs = {}\n";
    let nothing = Unprotected::default();
    let (before, added) = trust_image(&text(), &genuine, nothing).unwrap();
    assert_eq!((added[0].section, added[0].name.as_str()), (Section::Nitro, "good"));
    assert_eq!(added[0].marks, [("PCR0", "ab".repeat(48))]);
    for (section, more, flag, allow) in [
        (
            "[[simulated]]",
            &simulated[..],
            "--allow-simulated",
            Unprotected { simulated: true, debug: false },
        ),
        ("[[nitro-debug]]", debug, "--allow-debug", Unprotected { simulated: false, debug: true }),
    ] {
        let both = format!("{genuine}\n{more}");
        let other = Unprotected { simulated: !allow.simulated, debug: !allow.debug };
        for allow in [nothing, other] {
            let error = trust_image(&before, &both, allow).unwrap_err().to_string();
            assert!(error.contains(section) && error.contains(flag), "{error}");
        }
        let (after, added) = trust_image(&before, &both, allow).unwrap();
        assert_eq!(added.len(), 1, "the genuine one is there already");
        assert!(added[0].marks.iter().any(|(name, _)| *name == "root") == allow.simulated);
        let policy = Policy::from_toml(&after).unwrap();
        assert_eq!(warnings(&policy).len(), 2, "one was there before");
    }
}
