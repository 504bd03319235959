//! A public set: an Arrow IPC stream that an orchestrator chose and a host may have changed.
//! The plaintext of a dataset goes through the same reader.
#![no_main]

use cloister_enclave::rows;
use cloister_protocol::{
    Digest, KeyId,
    dataset::{Column, ColumnType, HeaderCore, Role, Unit},
};
use libfuzzer_sys::fuzz_target;
use serde_bytes::ByteArray;

// Arrow's panics are caught where they happen; libFuzzer's hook would end the process before.
// A panic that nobody catches ends it all the same.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    if let Ok(units) = rows::public(bytes.to_vec(), &header()) {
        for unit in units.as_slice() {
            assert_eq!(unit.features.len(), 2 * unit.rows as usize);
            assert_eq!(unit.targets.len(), unit.rows as usize);
            assert!(unit.features.iter().chain(&unit.targets).all(|value| value.is_finite()));
        }
    }
});

/// That of `corpus/rows`.
fn header() -> HeaderCore {
    let nobody = KeyId::new(Digest::of("test", &[]));
    let column = |name: &str, role, kind, bound: f64| Column {
        name: name.into(),
        role,
        kind,
        lower: (role != Role::Unit).then_some(-bound),
        upper: (role != Role::Unit).then_some(bound),
        typical: None,
    };
    HeaderCore {
        version: 1,
        dataset: ByteArray::new([1; 16]),
        name: "small".into(),
        owner: nobody,
        broker: nobody,
        population: "patients".into(),
        unit: Unit::Column("patient".into()),
        columns: vec![
            column("patient", Role::Unit, ColumnType::Text, 0.0),
            column("size", Role::Feature, ColumnType::F64, 0.5),
            column("shape", Role::Feature, ColumnType::F64, 0.5),
            column("sick", Role::Label, ColumnType::I64, 1.0),
        ],
    }
}
