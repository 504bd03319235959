//! Every reason to refuse an offer, each reached by one change to a job that is admitted.

mod common;

use std::collections::BTreeSet;

use cloister_enclave::rounds::Workshop;
use cloister_enclave::{
    admission::{Admitted, Vetted},
    refusal::{Code, Refused},
};
use cloister_protocol::{
    Digest, Id, Signed, dataset::HeaderCore, frames::Offer, transcript::Nonce,
};
use common::{Fixture, guests, key, public_set, worker_program, workshop};
use serde_bytes::ByteArray;

/// Offers as a host would: lengths that were signed, and what the fixture holds.
fn admit(fixture: &Fixture, offer: Offer) -> Result<Admitted, Refused> {
    let vetted = Vetted::new(offer)?;
    let public = match fixture.job.public_set {
        Some(_) => fixture.public.clone(),
        None => Vec::new(),
    };
    Admitted::new(vetted, &fixture.component, public, &workshop())
}

fn code(result: Result<Admitted, Refused>) -> Option<Code> {
    result.map(drop).map_err(|refused| refused.code).err()
}

/// A change to the fixture, which is then signed as a whole.
type Change = fn(&mut Fixture);
/// A change to what was signed.
type Forgery = fn(&mut Offer);

fn component(fixture: &mut Fixture, component: Vec<u8>) {
    fixture.component = component;
    fixture.code.component = cloister_protocol::code::component_digest(&fixture.component);
    fixture.code.length = fixture.component.len() as u64;
    fixture.name_code();
}

fn headers(fixture: &mut Fixture, change: impl Fn(&mut HeaderCore)) {
    for owned in &mut fixture.owned {
        change(&mut owned.proof.header);
    }
    fixture.name_datasets();
}

fn flip<T>(signed: &Signed<T>) -> Signed<T>
where
    T: cloister_protocol::Kind,
{
    let mut bytes = signed.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Signed::from_bytes(bytes)
}

const CHANGES: &[(&str, Code, Change)] = &[
    ("a job that breaks its own rules", Code::JobInvalid, |f| f.job.rounds = 0),
    ("a dataset twice", Code::JobInvalid, |f| {
        let twice = f.job.datasets[0].clone();
        f.job.datasets.push(twice);
    }),
    ("a purpose of control characters", Code::JobInvalid, |f| f.job.purpose = "\n".into()),
    ("another world", Code::CodeInvalid, |f| {
        f.code.world = "wasi:cli/command".into();
        f.name_code();
    }),
    ("code that the job does not name", Code::CodeOther, |f| {
        f.job.code = Id::new(Digest::of("test", &[]));
    }),
    ("a parameter that the code does not have", Code::CodeParameters, |f| {
        f.job.parameters.insert("l1".into(), 0.5);
    }),
    ("a parameter out of range", Code::CodeParameters, |f| {
        f.job.parameters.insert("l2".into(), 2.0);
    }),
    ("a component that is not the signed one", Code::CodeComponent, |f| f.component[9] ^= 1),
    ("a component that wants WASI", Code::CodeImport, |f| component(f, guests::importing_wasi())),
    ("a core module", Code::CodeStructure, |f| component(f, guests::core_module())),
    ("a component without a model", Code::CodeInit, |f| component(f, guests::without_model())),
    ("more datasets than the job has", Code::OfferDatasets, |f| {
        f.job.datasets.pop();
    }),
    ("a dataset in another's place", Code::DatasetOther, |f| f.job.datasets.swap(0, 1)),
    ("other units than the manifest's", Code::DatasetOther, |f| f.job.datasets[0].units += 1),
    ("another population than the header's", Code::DatasetOther, |f| {
        f.job.datasets[0].population = "others".into();
    }),
    ("more units than rows", Code::DatasetCounts, |f| {
        f.owned[0].manifest.units = 9;
        f.name_datasets();
    }),
    ("more rows than the units can have", Code::DatasetCounts, |f| {
        f.owned[0].manifest.rows = 99;
        f.name_datasets();
    }),
    ("a unit larger than a unit can be", Code::DatasetCounts, |f| {
        let manifest = &mut f.owned[0].manifest;
        (manifest.rows, manifest.units, manifest.max_rows_per_unit) = (1 << 31, 1, 1 << 31);
        f.name_datasets();
    }),
    ("more numbers than its body holds", Code::DatasetCounts, |f| {
        let columns = f.owned[0].proof.header.columns.len() as u64 - 1;
        let manifest = &mut f.owned[0].manifest;
        manifest.length = 8 * manifest.rows * columns - 1;
        f.name_datasets();
    }),
    ("a bound that differs", Code::DatasetSchema, |f| {
        f.owned[1].proof.header.columns[1].upper = Some(11.0);
        f.name_datasets();
    }),
    ("a header that breaks a rule", Code::DatasetProof, |f| {
        headers(f, |header| header.columns[1].lower = None);
    }),
    ("a grid too coarse for the model", Code::GateInvalid, |f| f.job.gate.steps = 16),
    ("a centring grid too coarse", Code::GateInvalid, |f| {
        f.job.centring.as_mut().unwrap().steps = 16;
    }),
    ("metrics of a loss that leaves the doubles", Code::GateInvalid, |f| {
        f.measure(1 << 20);
        f.job.metrics.as_mut().unwrap().loss = 1e300;
    }),
    ("metrics that nobody is charged for", Code::CostMismatch, |f| {
        let cost = f.job.cost;
        f.measure(1 << 20);
        f.job.cost = cost;
    }),
    ("a rate that leaves the doubles", Code::GateInvalid, |f| f.job.server.rate = 1e31),
    ("a cost that is too low", Code::CostMismatch, |f| f.job.cost -= 1),
    ("less noise at the same cost", Code::CostMismatch, |f| f.job.gate.sigma /= 2),
    ("another public set", Code::PublicSetOther, |f| f.public[200] ^= 1),
    ("a public set without the columns", Code::PublicSetRows, |f| {
        f.public = b"not arrow".to_vec();
        f.job.public_set = Some(public_set(&f.public));
    }),
    ("rounds that take longer than the interval", Code::ScheduleTooTight, |f| {
        f.job.limits.fuel = 1_000_000_000;
    }),
    ("a first release that comes too early", Code::ScheduleTooTight, |f| {
        f.job.centring = None;
        f.job.schedule.first_ms = 10;
        f.name_datasets();
    }),
];

const FORGERIES: &[(&str, Code, Forgery)] = &[
    ("an altered job", Code::JobSignature, |o| o.job = flip(&o.job)),
    ("an altered code manifest", Code::CodeSignature, |o| o.code = flip(&o.code)),
    ("an altered manifest", Code::DatasetProof, |o| {
        o.datasets[0].manifest = flip(&o.datasets[0].manifest);
    }),
    ("an altered header", Code::DatasetProof, |o| o.datasets[0].header.name.push('x')),
    ("another owner in the header", Code::DatasetProof, |o| {
        o.datasets[0].header.owner = o.datasets[1].header.owner;
    }),
    ("a dataset too few", Code::OfferDatasets, |o| drop(o.datasets.pop())),
    ("a policy too few", Code::OfferDatasets, |o| o.policies.truncate(1)),
    ("a nonce too few", Code::OfferNonces, |o| {
        o.nonces.pop_first();
    }),
    ("a nonce too many", Code::OfferNonces, |o| {
        o.nonces.insert(key().id(), Nonce(ByteArray::new([1; 32])));
    }),
    ("a longer component", Code::OfferSize, |o| o.component_length += 1),
    ("a public set that the job does not have", Code::OfferSize, |o| o.public_set_length += 1),
];

#[test]
fn the_job_is_admitted_as_it_is() {
    let fixture = Fixture::new(guests::benign());
    let admitted = admit(&fixture, fixture.offer()).unwrap();
    assert_eq!(admitted.plan().dimension(), 2);
}

#[test]
fn each_change_has_its_own_code() {
    for (what, expected, change) in CHANGES {
        let mut fixture = Fixture::new(guests::benign());
        change(&mut fixture);
        let found = admit(&fixture, fixture.offer()).map(drop);
        let refused = found.expect_err(what);
        assert_eq!(refused.code, *expected, "{what}: {refused}");
    }
}

#[test]
fn each_forgery_has_its_own_code() {
    let fixture = Fixture::new(guests::benign());
    for (what, expected, forge) in FORGERIES {
        let mut offer = fixture.offer();
        forge(&mut offer);
        assert_eq!(code(admit(&fixture, offer)), Some(*expected), "{what}");
    }
}

/// Of each unit an update and a score: the time of both has to fit.
#[test]
fn metrics_that_take_longer_than_the_interval_are_refused() {
    let admitted = |measured: bool, interval_ms| {
        let mut fixture = Fixture::new(guests::benign());
        fixture.job.public_set = None;
        fixture.job.limits.fuel = 1_000_000;
        fixture.job.schedule.interval_ms = interval_ms;
        if measured {
            fixture.measure(1 << 20);
        }
        admit(&fixture, fixture.offer()).map(drop)
    };
    let least = |measured| {
        (0..200).map(|n| 200 + 10 * n).find(|interval| admitted(measured, *interval).is_ok())
    };
    let (without, with) = (least(false).unwrap(), least(true).unwrap());
    assert!(with > without + 50, "{without} and {with} ms");
    let refused = admitted(true, with - 10).unwrap_err();
    assert_eq!(refused.code, Code::ScheduleTooTight);
    assert!(refused.to_string().contains("leave out [metrics]"), "{refused}");
}

/// Where memory can run out, the unit that takes it decides which process is ended.
#[test]
fn a_job_that_may_take_more_memory_than_there_is_is_refused() {
    let admit_with = |memory: u64, per_call: u64| {
        let mut fixture = Fixture::new(guests::benign());
        fixture.job.limits.memory = per_call;
        let workshop = Workshop::new(2, memory, || {
            let mut command = std::process::Command::new(worker_program());
            command.arg("worker");
            command
        });
        let vetted = Vetted::new(fixture.offer()).unwrap();
        code(Admitted::new(vetted, &fixture.component, fixture.public.clone(), &workshop))
    };
    assert_eq!(admit_with(2 << 30, 1 << 20), None);
    assert_eq!(admit_with(1 << 30, 1 << 20), Some(Code::Memory));
    assert_eq!(admit_with(2 << 30, 1 << 28), Some(Code::Memory));
}

#[test]
fn a_model_whose_releases_do_not_fit_is_refused() {
    // Ten thousand releases of a model of 100,000 numbers.
    let mut fixture = Fixture::new(guests::wide());
    fixture.job.rounds = 10_000;
    fixture.job.gate.steps = 8192;
    fixture.job.gate.sigma = 1 << 20;
    fixture.name_datasets();
    assert_eq!(code(admit(&fixture, fixture.offer())), Some(Code::ModelSize));
}

/// Codes of the offer that no host can cause, or that have tests of their own.
const ELSEWHERE: &[Code] = &[
    // The platform's own failure.
    Code::EvidenceFailed,
    // Tables of one population: `joined.rs`.
    Code::DatasetJoin,
    // A model and a machine of their own.
    Code::ModelSize,
    Code::Memory,
];

#[test]
fn no_code_of_the_offer_is_left_out() {
    let last = Code::ALL.iter().position(|code| *code == Code::EvidenceFailed).unwrap();
    let all: BTreeSet<_> = Code::ALL[..=last].iter().map(|code| code.as_str()).collect();
    let changes = CHANGES.iter().map(|(_, code, _)| code);
    let forgeries = FORGERIES.iter().map(|(_, code, _)| code);
    let tested: BTreeSet<_> =
        changes.chain(forgeries).chain(ELSEWHERE).map(|code| code.as_str()).collect();
    assert_eq!(tested, all);
}
