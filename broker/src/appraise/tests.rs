//! Each rule refuses its own mistake, and no rule is without a test.

use cloister_privacy::{Accounting, Order, Rate};
use cloister_protocol::{
    Digest, Id, Signed,
    brokering::GrantRequest,
    code::{CodeManifest, Parameter},
    dataset::{ColumnType, Role, Unit},
    job::{Centring, GateMode, Metrics},
    transcript::Transcript,
};
use cloister_simulated::pcr;

use super::*;
use crate::{
    ledger::{Issue, Ledger, LedgerError},
    policy::Amount,
    scene::{COST, NOW, Scene, key},
};

/// Appraises and grants, in a ledger where only this scene's nonce is out.
fn decide(scene: &Scene) -> Result<Appraised, Denial> {
    let case = scene.case();
    let appraised = scene.appraise(&case)?;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let mut ledger = Ledger::create(&path, scene.owner.id()).unwrap();
    ledger.adopt(&case.policy, scene.now).unwrap();
    ledger.issue_nonce(&scene.nonce, &scene.author.id(), scene.now).unwrap();
    if scene.paid_before || scene.paid_at.is_some() {
        let mut earlier = appraised.clone();
        earlier.transcript = Id::new(Digest::of("another", &[]));
        if let Some(order) = scene.paid_at {
            earlier.job = Id::new(Digest::of("another", &[]));
            earlier.accounting = Accounting::At(order);
        }
        grant(scene, &mut ledger, &earlier).unwrap();
        ledger.issue_nonce(&scene.nonce, &scene.author.id(), scene.now).unwrap();
    }
    grant(scene, &mut ledger, &appraised)?;
    Ok(appraised)
}

fn grant(scene: &Scene, ledger: &mut Ledger, appraised: &Appraised) -> Result<(), Denial> {
    let tables = appraised.charges.iter().flat_map(|charge| &charge.datasets);
    let keys: Vec<_> = tables.map(|_| (test_key(), [5; 16])).collect();
    let issue = Issue { appraised, keys: &keys, broker: &scene.broker, now: scene.now };
    match ledger.grant(&issue) {
        Ok(_) => Ok(()),
        Err(LedgerError::Denied(denial)) => Err(denial),
        Err(error) => panic!("{error}"),
    }
}

fn order(order: u32) -> Order {
    Order::new(order).unwrap()
}

fn test_key() -> cloister_protocol::dataset::DataKey {
    cloister_protocol::dataset::DataKey::from_bytes(&[8; 32])
}

/// The envelope with its last payload byte or its signature altered.
fn flipped<T: cloister_protocol::Kind>(signed: &Signed<T>) -> Signed<T> {
    let mut bytes = signed.as_bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    Signed::from_bytes(bytes)
}

/// What is wrong, which rule has to say so, and how it is made wrong.
type Mutation = (&'static str, Rule, fn(&mut Scene));

/// A change, in words and in code.
type Change = (&'static str, fn(&mut Scene));

const MUTATIONS: &[Mutation] = &[
    ("no transcript", Rule::Transcript, |s| s.change_message = |_, m| m.transcript.clear()),
    ("transcript of another version", Rule::Transcript, |s| {
        s.change_transcript = |t| t.version = 2;
    }),
    ("another suite", Rule::Transcript, |s| s.change_transcript = |t| t.suite = "none".into()),
    ("a policy too many", Rule::Transcript, |s| {
        s.change_transcript = |t| t.policies.push(t.policies[0]);
    }),
    ("no nonce of ours", Rule::NonceUnknown, |s| s.change_transcript = |t| t.nonces.clear()),
    ("a nonce of another broker", Rule::NonceUnknown, |s| {
        s.change_transcript = |t| {
            let (_, nonce) = t.nonces.pop_first().unwrap();
            t.nonces.insert(Id::new(Digest::of("another", &[])), nonce);
        };
    }),
    ("a nonce never issued", Rule::NonceUnknown, |s| s.nonce_state = NonceState::Unknown),
    ("an old nonce", Rule::NonceExpired, |s| {
        s.nonce_state = NonceState::Open { until: NOW - 1 };
    }),
    ("a nonce used before", Rule::NonceUsed, |s| s.nonce_state = NonceState::Used),
    ("evidence for another transcript", Rule::Evidence, |s| {
        s.change_message = |scene, m| {
            let (mut transcript, _) = Transcript::from_bytes(&m.transcript).unwrap();
            transcript.signing_key = *scene.author.public();
            m.evidence = scene.evidence(&transcript).into();
        };
    }),
    ("the enclave's key swapped afterwards", Rule::Evidence, |s| {
        s.change_message = |_, m| {
            let (mut transcript, _) = Transcript::from_bytes(&m.transcript).unwrap();
            let other = cloister_protocol::hpke::HpkeKeyPair::generate();
            transcript.hpke_key = other.public().to_vec().into();
            m.transcript = transcript.to_bytes().into();
        };
    }),
    ("evidence with a flipped bit", Rule::Evidence, |s| {
        s.change_message = |_, m| *m.evidence.last_mut().unwrap() ^= 1;
    }),
    ("no evidence", Rule::Evidence, |s| s.change_message = |_, m| m.evidence.clear()),
    ("another program measured", Rule::Evidence, |s| {
        s.pcrs.insert(0, pcr(b"another"));
    }),
    ("another vendor's root", Rule::Evidence, |s| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        s.vendor = cloister_simulated::Vendor::generate(now).unwrap();
    }),
    ("evidence too old", Rule::Evidence, |s| s.evidence_time = NOW - 301),
    ("evidence from the future", Rule::Evidence, |s| s.evidence_time = NOW + 3600),
    ("a job altered", Rule::JobSignature, |s| s.change_message = |_, m| m.job = flipped(&m.job)),
    ("another job", Rule::JobMismatch, |s| {
        s.change_message = |scene, m| {
            let mut job = m.job.open_by_anyone().unwrap().value;
            job.seed += 1;
            m.job = Signed::sign(&job, &scene.orchestrator).unwrap();
        };
    }),
    ("the job signed by another", Rule::JobMismatch, |s| {
        s.change_message = |scene, m| {
            let job = m.job.open_by_anyone().unwrap().value;
            m.job = Signed::sign(&job, &scene.author).unwrap();
        };
    }),
    ("a negative clip", Rule::JobRules, |s| s.job.gate.clip = -1.0),
    ("tables of the same people apart", Rule::PopulationApart, |s| {
        let table = s.table("laboratory", 300);
        s.datasets.push(table);
    }),
    ("a dataset twice, under two ids in the transcript", Rule::JobRules, |s| {
        s.datasets.insert(1, s.datasets[0].clone());
        s.change_transcript = |t| t.datasets[1] = Id::new(Digest::of("another", &[]));
    }),
    ("the same dataset twice", Rule::Transcript, |s| {
        s.datasets.push(s.datasets[0].clone());
    }),
    ("an unknown orchestrator", Rule::JobOrchestrator, |s| s.orchestrator = key()),
    ("nobody's jobs are welcome", Rule::JobOrchestrator, |s| s.policy.orchestrators.clear()),
    ("a job from long ago", Rule::JobExpired, |s| s.job.not_after = NOW - 1),
    ("a policy from long ago", Rule::PolicyExpired, |s| s.policy.purposes.not_after = NOW - 1),
    ("another purpose", Rule::JobPurpose, |s| s.job.purpose = "marketing".into()),
    ("nobody may read", Rule::Recipients, |s| s.policy.recipients.clear()),
    ("code altered", Rule::CodeSignature, |s| s.change_message = |_, m| m.code = flipped(&m.code)),
    ("other code sent", Rule::CodeMismatch, |s| {
        s.change_message = |scene, m| {
            let code = CodeManifest { version: "2".into(), ..scene.code.clone() };
            m.code = Signed::sign(&code, &scene.author).unwrap();
        };
    }),
    ("the job names other code", Rule::CodeMismatch, |s| {
        s.change_job = |j| j.code = Id::new(Digest::of("another", &[]));
    }),
    ("code for another world", Rule::CodeRules, |s| s.code.world = "wasi:cli".into()),
    ("an unknown parameter", Rule::CodeRules, |s| {
        s.job.parameters.insert("l2".into(), 1.0);
    }),
    ("a parameter out of range", Rule::CodeRules, |s| {
        let l2 = Parameter { name: "l2".into(), lower: 0.0, upper: 1.0, default: 0.5 };
        s.code.parameters.push(l2);
        s.job.parameters.insert("l2".into(), 2.0);
    }),
    ("code approved by another owner", Rule::CodeNotApproved, |s| s.approved_by = Some(key())),
    ("approvals do not count", Rule::CodeNotApproved, |s| s.policy.code.approvals = false),
    ("another component is named", Rule::CodeNotApproved, |s| {
        s.policy.code.approvals = false;
        s.policy.code.components.push(Digest::of("component", &[b"another"]));
    }),
    ("a manifest altered", Rule::DatasetManifest, |s| {
        s.change_message = |_, m| m.datasets[1].manifest = flipped(&m.datasets[1].manifest);
    }),
    ("a header altered", Rule::DatasetManifest, |s| {
        s.change_message = |_, m| m.datasets[0].header.columns[1].role = Role::Time;
    }),
    ("datasets in another order", Rule::DatasetManifest, |s| {
        s.change_message = |_, m| m.datasets.swap(0, 1);
    }),
    ("a dataset left out", Rule::DatasetManifest, |s| {
        s.change_message = |_, m: &mut GrantRequest| drop(m.datasets.pop());
    }),
    ("another dataset in the transcript", Rule::DatasetManifest, |s| {
        s.change_transcript = |t| t.datasets[1] = Id::new(Digest::of("another", &[]));
    }),
    ("units exaggerated by the job", Rule::DatasetManifest, |s| {
        s.change_job = |j| j.datasets[1].units += 1;
    }),
    ("a table with the other's columns", Rule::DatasetJoin, |s| {
        joined(s, |header, _| header.columns[1].name = "size".into());
    }),
    ("two tables with many rows of a patient", Rule::DatasetJoin, |s| {
        s.datasets[0].1.max_rows_per_unit = 2;
        joined(s, |_, manifest| manifest.max_rows_per_unit = 2);
    }),
    ("a table whose patients are numbers", Rule::DatasetJoin, |s| {
        joined(s, |header, _| header.columns[0].kind = ColumnType::I64);
    }),
    ("a table by row beside another", Rule::DatasetJoin, |s| {
        s.policy.per_row = true;
        joined(s, |header, _| {
            header.unit = Unit::Row;
            header.columns.remove(0);
        });
    }),
    ("a table that another broker has the key of", Rule::DatasetJoin, |s| {
        let other = s.other_broker.id();
        let (header, _) = joined(s, |_, _| ());
        header.broker = other;
        sign_header(s, 1);
    }),
    ("a second table under another policy", Rule::PolicyOutdated, |s| {
        joined(s, |_, _| ());
        s.change_transcript = |t| t.policies[1] = Digest::of("another", &[]);
    }),
    ("a second table of other people", Rule::DatasetPopulation, |s| {
        joined(s, |header, _| header.population = "staff".into());
    }),
    ("units of joined tables added up", Rule::CohortUnits, |s| {
        joined(s, |_, _| ());
        s.policy.cohort.minimum_units = 501;
    }),
    ("a key that is not here", Rule::DatasetUnknown, |s| s.holds_keys = false),
    ("no dataset of ours", Rule::DatasetUnknown, |s| drop(s.datasets.remove(0))),
    ("sealed for another broker", Rule::DatasetUnknown, |s| {
        s.datasets[0].0.broker = s.other_broker.id();
        s.datasets[0].1.header = s.datasets[0].0.digest();
    }),
    ("another owner names our broker", Rule::DatasetUnknown, |s| {
        s.datasets[1].0.broker = s.broker.id();
        s.datasets[1].1.header = s.datasets[1].0.digest();
    }),
    ("other people", Rule::DatasetPopulation, |s| s.policy.population = "staff".into()),
    ("another policy", Rule::PolicyOutdated, |s| {
        s.change_transcript = |t| t.policies[0] = Digest::of("another", &[]);
    }),
    ("a stranger's data", Rule::CohortOwner, |s| s.policy.cohort.owners.truncate(1)),
    ("too few owners", Rule::CohortOwners, |s| s.policy.cohort.minimum_owners = 3),
    ("too few units", Rule::CohortUnits, |s| s.policy.cohort.minimum_units = 501),
    ("rows as units", Rule::UnitRow, |s| {
        let (header, manifest) = &mut s.datasets[0];
        header.unit = Unit::Row;
        header.columns.remove(0);
        manifest.header = header.digest();
    }),
    ("a cost stated too low", Rule::CostMismatch, |s| s.job.cost -= 1),
    ("a cost stated too high", Rule::CostMismatch, |s| s.job.cost += 1),
    ("less noise than was paid for", Rule::CostMismatch, |s| s.job.gate.sigma -= 1),
    ("groups at the price of units", Rule::CostMismatch, |s| {
        s.job.gate.mode = GateMode::Groups(4);
    }),
    ("a round more than was paid for", Rule::CostMismatch, |s| s.job.rounds += 1),
    ("centring that was not paid for", Rule::CostMismatch, |s| {
        s.job.centring = Some(Centring { clip: 8.0, steps: 1024, sigma: 1 << 20 });
    }),
    ("metrics that were not paid for", Rule::CostMismatch, |s| {
        s.job.metrics = Some(Metrics { loss: 1.0, steps: 1024, sigma: 1 << 20 });
    }),
    ("metrics of groups at the price of units", Rule::CostMismatch, |s| {
        s.job.metrics = Some(Metrics { loss: 1.0, steps: 1024, sigma: 1 << 20 });
        // As it would be if only rounds were in groups.
        let by_unit = s.job.charges().total().unwrap().as_pico();
        s.job.gate.mode = GateMode::Groups(4);
        s.job.cost = 4 * s.job.cost + (by_unit - s.job.cost);
    }),
    ("less noise than the policy allows", Rule::JobBudget, |s| {
        s.job.gate.sigma = 20_000;
        // 24 * ceil(10^12 * 1024^2 / (2 * 20000^2))
        s.job.cost = 24 * 1_310_720_000;
    }),
    ("a stricter policy", Rule::JobBudget, |s| {
        s.policy.budget.per_job = Amount::new(0.5, 1e-5).unwrap();
    }),
    ("a job granted in another transcript", Rule::JobRepeated, |s| s.paid_before = true),
    ("a sample at the price of all, counted at all orders", Rule::CostMismatch, |s| {
        s.job.gate.mode = GateMode::Sampled(Rate::nearest(0.1).unwrap());
        s.job.cost = s.job.charges().charge(Accounting::At(order(20))).unwrap().as_pico();
    }),
    ("an account that counts otherwise than before", Rule::BudgetAccount, |s| {
        s.paid_at = Some(order(20));
    }),
    ("a total that does not suffice", Rule::BudgetExhausted, |s| {
        let rho = cloister_privacy::Zcdp::from_pico(COST - 1);
        s.policy.budget.total.rho = rho;
    }),
];

/// Puts a second table of the owner's patients behind the first, with something changed.
fn joined(
    scene: &mut Scene,
    change: impl FnOnce(&mut HeaderCore, &mut DatasetManifest),
) -> &mut (HeaderCore, DatasetManifest) {
    let mut table = scene.table("laboratory", 300);
    change(&mut table.0, &mut table.1);
    scene.datasets.insert(1, table);
    sign_header(scene, 1);
    &mut scene.datasets[1]
}

/// Lets a manifest sign its header as it is now.
fn sign_header(scene: &mut Scene, place: usize) {
    let (header, manifest) = &mut scene.datasets[place];
    manifest.header = header.digest();
}

#[test]
fn tables_of_one_population_are_one_charge() {
    let mut scene = Scene::new();
    joined(&mut scene, |_, manifest| (manifest.rows, manifest.max_rows_per_unit) = (900, 3));
    scene.policy.cohort.minimum_units = 500;
    scene.policy.budget.total.rho = cloister_privacy::Zcdp::from_pico(COST);
    let appraised = decide(&scene).unwrap();
    let [charge] = &appraised.charges[..] else { panic!("{:?}", appraised.charges) };
    assert_eq!((charge.datasets.len(), charge.cost), (2, COST));
}

#[test]
fn a_good_request_is_granted() {
    let scene = Scene::new();
    let appraised = decide(&scene).unwrap();
    assert_eq!(appraised.charges.len(), 1, "one dataset of the two is this owner's");
    assert_eq!((appraised.charges[0].datasets.len(), appraised.charges[0].cost), (1, COST));
    assert_eq!(appraised.platform, Platform::Simulated);
}

#[test]
fn each_rule_refuses_its_own_mistake() {
    for (what, rule, mutate) in MUTATIONS {
        let mut scene = Scene::new();
        mutate(&mut scene);
        match decide(&scene) {
            Err(denial) => assert_eq!(denial.rule, *rule, "{what}: {denial}"),
            Ok(_) => panic!("{what}: nothing was refused"),
        }
    }
}

#[test]
fn every_rule_has_a_mistake_that_it_refuses() {
    for rule in Rule::ALL {
        let tested = MUTATIONS.iter().any(|(_, refuses, _)| refuses == rule);
        assert!(tested, "no mutation is refused by {}", rule.code());
    }
}

#[test]
fn codes_are_unique_and_kebab_case() {
    let codes: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    assert_eq!(codes.len(), Rule::ALL.len());
    assert!(codes.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
}

#[test]
fn a_limit_is_reached_and_not_passed() {
    // What is refused one step further is granted here.
    let granted: &[Change] = &[
        ("the nonce's last second", |s| s.nonce_state = NonceState::Open { until: NOW }),
        ("the job's last second", |s| s.job.not_after = NOW),
        ("the policy's last second", |s| s.policy.purposes.not_after = NOW),
        ("exactly enough units", |s| s.policy.cohort.minimum_units = 500),
        ("exactly enough owners", |s| s.policy.cohort.minimum_owners = 2),
        ("exactly the total", |s| {
            s.policy.budget.total.rho = cloister_privacy::Zcdp::from_pico(COST);
        }),
        ("exactly what a job may cost", |s| {
            s.policy.budget.per_job.rho = cloister_privacy::Zcdp::from_pico(COST);
        }),
        ("a component named, without approvals", |s| {
            s.policy.code.approvals = false;
            s.policy.code.components.push(s.code.component);
        }),
        ("rows as units where the policy says so", |s| {
            let (header, manifest) = &mut s.datasets[0];
            header.unit = Unit::Row;
            header.columns.remove(0);
            manifest.header = header.digest();
            s.policy.per_row = true;
        }),
        ("a sampled job at one order, for what it costs there", |s| {
            s.job.gate.mode = GateMode::Sampled(Rate::nearest(0.1).unwrap());
            s.job.gate.sigma = 6000;
            s.job.cost = s.job.charges().total().unwrap().as_pico();
            let (order, per_job) = (order(20), s.policy.budget.per_job);
            assert!(s.job.cost > per_job.rho.as_pico(), "dearer than a job may be");
            let amount = |a: Amount| Amount::of(Accounting::At(order), a.epsilon, a.delta).unwrap();
            s.policy.budget.order = Some(order);
            s.policy.budget.per_job = amount(per_job);
            s.policy.budget.total = amount(s.policy.budget.total);
        }),
        ("evidence as old as it may be", |s| s.evidence_time = NOW - 300),
    ];
    for (what, change) in granted {
        let mut scene = Scene::new();
        change(&mut scene);
        if let Err(denial) = decide(&scene) {
            panic!("{what}: {denial}");
        }
    }
}

#[test]
fn a_denial_says_what_was_expected_found_and_to_do() {
    let mut scene = Scene::new();
    scene.job.purpose = "marketing".into();
    let denial = decide(&scene).unwrap_err();
    let refusal = cloister_protocol::frames::Refusal::from(&denial);
    assert_eq!(refusal.code, "job-purpose");
    for part in ["research", "marketing", "[purposes] allowed"] {
        assert!(refusal.message.contains(part), "{}", refusal.message);
    }
    // Failed checks of the evidence are named.
    let mut scene = Scene::new();
    scene.pcrs.insert(0, pcr(b"another"));
    let denial = decide(&scene).unwrap_err();
    assert!(denial.to_string().contains("pcr"), "{denial}");
}

#[test]
fn text_of_a_stranger_cannot_forge_log_lines() {
    let denial = Denial::new(Rule::JobPurpose, "x", "a\nINFO granted\u{1b}[0m");
    assert!(!denial.to_string().chars().any(char::is_control));
}
