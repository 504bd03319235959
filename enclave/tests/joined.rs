//! Several tables of one population: admitted, granted and run as one table by unit.

mod common;

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use cloister_enclave::{
    admission::{Admitted, Vetted},
    refusal::{Code, Refused},
    rounds::Workshop,
};
use cloister_protocol::{
    Digest, SigningKey,
    dataset::{Column, ColumnType, Role, Unit},
    release::Receipt,
    transcript::Transcript,
};
use common::{Fixture, Owned, columns, guests, host::Running, seal_table, two_owners, workshop};
use safetensors::SafeTensors;

/// A unit, and its values.
type Row<'a> = (&'a str, &'a [f64]);

/// Columns of [`columns`] by name.
fn some(names: &[&str]) -> Vec<Column> {
    columns().into_iter().filter(|column| names.contains(&column.name.as_str())).collect()
}

fn stream(columns: &[Column], rows: &[Row<'_>]) -> Vec<u8> {
    let ids: StringArray = rows.iter().map(|row| Some(row.0)).collect();
    let numbers = |place: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(row.1[place])).collect::<Float64Array>())
    };
    let arrays = [Arc::new(ids) as ArrayRef].into_iter().chain((0..columns.len() - 1).map(numbers));
    let named = columns.iter().map(|column| column.name.clone()).zip(arrays);
    let batch = RecordBatch::try_from_iter(named).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn table(names: &[&str], rows: &[Row<'_>], counts: [u64; 3], keys: [&[u8]; 2]) -> Owned {
    let columns = some(names);
    let [owner, broker] = keys.map(|key| SigningKey::from_pkcs8(key).unwrap());
    seal_table(&stream(&columns, rows), columns, counts, (owner, broker))
}

/// A hospital with a clinical table (sizes, a row each) and a laboratory's (shapes and what is
/// to be predicted, up to two rows); and another with one table of all that.
fn hospitals() -> Vec<Owned> {
    let keys = [(); 2].map(|()| SigningKey::generate().unwrap().1);
    let keys = [&keys[0][..], &keys[1][..]];
    let clinic: &[Row<'_>] = &[("ann", &[9.0]), ("bob", &[1.0]), ("cat", &[2.0])];
    // Not in the order of the clinic; bob is not there, and zoe is there only.
    let laboratory: &[Row<'_>] =
        &[("zoe", &[5.0, 1.0]), ("cat", &[9.0, 0.0]), ("ann", &[1.0, 1.0]), ("ann", &[3.0, 1.0])];
    let mut all = two_owners();
    let wide = all.remove(1);
    let clinic = table(&["id", "size"], clinic, [3, 3, 1], keys);
    vec![clinic, table(&["id", "shape", "sick"], laboratory, [4, 3, 2], keys), wide]
}

fn fixture() -> Fixture {
    Fixture::with_data(guests::benign(), hospitals())
}

fn admit_by(fixture: &Fixture, workshop: &Workshop) -> Result<Admitted, Refused> {
    let vetted = Vetted::new(fixture.offer())?;
    Admitted::new(vetted, &fixture.component, fixture.public.clone(), workshop)
}

fn admit(fixture: &Fixture) -> Result<Admitted, Refused> {
    admit_by(fixture, &workshop())
}

/// What is released is of the joined rows, by the base table's units.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_one_population_train_as_one() {
    let enclave = Running::start().await;
    let mut fixture = fixture();
    fixture.job.centring.as_mut().unwrap().sigma = 1;
    fixture.name_datasets();
    assert_eq!(fixture.job.units(), 6);
    let releases = enclave.run(&fixture).await;
    assert_eq!(releases.len(), 4);
    for released in &releases {
        let receipt = Receipt::from_bytes(&released.receipt).unwrap();
        let checked = receipt.check(&released.tensors).unwrap();
        assert_eq!(checked.release.value.divisor, 6);
        assert_eq!(checked.grants.len(), 3);
    }
    // Values are (x - 5) / 10. Ann's two rows have her size twice; bob's shape is missing, so
    // typical; zoe, whom the clinic does not know, counts for nothing.
    let ours = [[0.4, f64::midpoint(-0.4, -0.2)], [-0.4, 0.0], [-0.3, 0.4]];
    let theirs = [[0.4, -0.2], [0.2, 0.0], [-0.5, 0.0]];
    let tensors = SafeTensors::deserialize(&releases[0].tensors).unwrap();
    let centre = tensors.tensor("centre").unwrap();
    for (feature, bytes) in centre.data().chunks_exact(8).enumerate() {
        let found = f64::from_le_bytes(bytes.try_into().unwrap());
        let sum: f64 = ours.iter().chain(&theirs).map(|unit| unit[feature]).sum();
        // One part in two thousand of noise, over six.
        assert!((found - sum / 6.0).abs() < 0.002, "feature {feature}: {found}, {}", sum / 6.0);
    }
}

/// Grants of one population's tables are of one reservation: an auditor counts it once.
#[tokio::test(flavor = "multi_thread")]
async fn tables_granted_apart_are_refused() {
    let enclave = Running::start().await;
    let fixture = fixture();
    let session = enclave.offer(&fixture).await.unwrap();
    let (transcript, id) = Transcript::from_bytes(&session.transcript).unwrap();
    let mut grants = fixture.grants(&session.transcript);
    let good = grants[1].clone();
    grants[1] = fixture.grant(&fixture.owned[1], &transcript, id, |grant| {
        grant.ledger_head = Digest::of("another entry", &[]);
    });
    assert_eq!(enclave.grant(id, grants.clone()).await, Err("grant-apart".into()));
    // Another owner's entry is another log's.
    grants[1] = good;
    grants[2] = fixture.grant(&fixture.owned[2], &transcript, id, |grant| {
        grant.ledger_head = Digest::of("another log", &[]);
    });
    assert_eq!(enclave.grant(id, grants).await, Ok(()));
}

/// Something changed in a job that is admitted without.
type Change = fn(&mut Fixture);

const CHANGES: &[(&str, Code, Change)] = &[
    ("tables apart", Code::JobInvalid, |f| {
        f.owned.swap(1, 2);
        f.name_datasets();
    }),
    ("a table twice", Code::JobInvalid, |f| f.job.datasets[1] = f.job.datasets[0].clone()),
    ("tables in another order than the job's", Code::DatasetOther, |f| f.owned.swap(0, 1)),
    ("a column of the other table", Code::DatasetJoin, |f| {
        f.owned[1].proof.header.columns[1].name = "size".into();
        f.name_datasets();
    }),
    ("several rows of a unit in both", Code::DatasetJoin, |f| {
        f.owned[0].manifest.max_rows_per_unit = 2;
        f.name_datasets();
    }),
    ("units that are numbers in one", Code::DatasetJoin, |f| {
        f.owned[1].proof.header.columns[0].kind = ColumnType::I64;
        f.name_datasets();
    }),
    ("a table by row", Code::DatasetJoin, |f| {
        let header = &mut f.owned[1].proof.header;
        header.unit = Unit::Row;
        header.columns.remove(0);
        f.name_datasets();
    }),
    ("keys with two brokers", Code::DatasetJoin, |f| {
        f.owned[1].broker = common::key();
        f.owned[1].proof.header.broker = f.owned[1].broker.id();
        f.name_datasets();
    }),
    ("columns that are others' together in another order", Code::DatasetSchema, |f| {
        f.owned.swap(0, 1);
        f.name_datasets();
    }),
    ("a column that no other population has", Code::DatasetSchema, |f| {
        f.owned[1].proof.header.columns[2].role = Role::Feature;
        f.name_datasets();
    }),
    ("a unit that fits in each table and not in both", Code::DatasetCounts, |f| {
        let manifest = &mut f.owned[1].manifest;
        (manifest.rows, manifest.max_rows_per_unit) = (2 << 20, 2 << 20);
        manifest.length = 1 << 30;
        f.name_datasets();
    }),
    ("no time to look for a million units before the first release", Code::ScheduleTooTight, |f| {
        let manifest = &mut f.owned[1].manifest;
        (manifest.rows, manifest.units, manifest.length) = (1_000_000, 1_000_000, 100_000_000);
        f.job.schedule.interval_ms = 60_000;
        f.job.schedule.first_ms = 1000;
        f.name_datasets();
    }),
];

#[test]
fn each_impossible_join_has_its_own_code() {
    assert!(admit(&fixture()).is_ok());
    for (what, expected, change) in CHANGES {
        let mut fixture = fixture();
        change(&mut fixture);
        let refused = admit(&fixture).map(drop).expect_err(what);
        assert_eq!(refused.code, *expected, "{what}: {refused}");
    }
}

/// By their lengths these tables fit; a row of each of many units beside each of a unit's many,
/// held twice, does not.
#[test]
fn joined_rows_are_counted_as_memory() {
    let workshop = Workshop::new(2, 2 << 30, || {
        let mut command = std::process::Command::new(common::worker_program());
        command.arg("worker");
        command
    });
    let admit_with = |rows: u64| {
        let mut fixture = fixture();
        (fixture.public, fixture.job.public_set) = (Vec::new(), None);
        let [clinic, laboratory, wide] = &mut fixture.owned[..] else { panic!("three tables") };
        for table in [&mut *clinic, wide] {
            let size = table.proof.header.columns[1].clone();
            let more = (0..4).map(|n| Column { name: format!("size {n}"), ..size.clone() });
            table.proof.header.columns.splice(2..2, more);
        }
        (clinic.manifest.rows, clinic.manifest.units) = (200_000, 200_000);
        let manifest = &mut laboratory.manifest;
        (manifest.rows, manifest.units, manifest.max_rows_per_unit) = (rows, 100_000, 1000);
        let day = 24 * 60 * 60 * 1000;
        (fixture.job.schedule.first_ms, fixture.job.schedule.interval_ms) = (day, day);
        for owned in &mut fixture.owned {
            let columns = owned.proof.header.columns.len() as u64 - 1;
            owned.manifest.length = owned.manifest.length.max(8 * columns * owned.manifest.rows);
            owned.manifest.header = owned.proof.header.digest();
        }
        fixture.name_datasets();
        admit_by(&fixture, &workshop).map(drop).map_err(|refused| refused.code)
    };
    assert_eq!(admit_with(100_000), Ok(()));
    // 480 MB while it loads, for which there is room; 1120 MB while workers are handed it.
    assert_eq!(admit_with(20_000_000), Err(Code::Memory));
    assert_eq!(admit_with(10_000_000), Ok(()));
}
