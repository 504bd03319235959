//! A sealed body as a host sends it to the enclave, in pieces. Whatever comes, no plaintext
//! comes out: the owner signed the hash of another body.
#![no_main]

use std::sync::Arc;

use cloister_enclave::rows::BodyReader;
use cloister_protocol::{
    Digest,
    dataset::{BodyHash, DataKey, DatasetManifest},
};
use libfuzzer_sys::fuzz_target;
use serde_bytes::ByteArray;

fuzz_target!(|bytes: &[u8]| {
    let [size, body @ ..] = bytes else { return };
    let header = Digest::of("test", &[]);
    let manifest = DatasetManifest {
        header,
        length: body.len() as u64,
        rows: 1,
        units: 1,
        max_rows_per_unit: 1,
        body: BodyHash(ByteArray::new([0; 32])),
    };
    let key = Arc::new(DataKey::from_bytes(&[7; 32]));
    let Ok(mut reader) = BodyReader::new(key, header, &manifest) else { return };
    for piece in body.chunks(usize::from(*size).max(1) * 97) {
        if reader.take(piece).is_err() {
            return;
        }
    }
    assert!(reader.finish().is_err());
});
