//! A sealed body as a host sends it to the enclave, in pieces. Whatever comes, no plaintext
//! comes out: the owner signed the hash of another body.
#![no_main]

use std::sync::Arc;

use cloister_enclave::rows::BodyReader;
use cloister_protocol::{
    Digest,
    dataset::{BodyHash, ChunkSealer, DataKey, DatasetManifest},
};
use libfuzzer_sys::fuzz_target;
use serde_bytes::ByteArray;

fuzz_target!(|bytes: &[u8]| {
    let [size, chunks @ ..] = bytes else { return };
    let header = Digest::of("test", &[]);
    let key = DataKey::from_bytes(&[7; 32]);
    // Salt and commitment are those of the key, so that chunks are looked at.
    let (_, prefix) = ChunkSealer::new(&key, &[1; 24], &header);
    let body = [&prefix, chunks].concat();
    let manifest = DatasetManifest {
        header,
        length: body.len() as u64,
        rows: 1,
        units: 1,
        max_rows_per_unit: 1,
        body: BodyHash(ByteArray::new([0; 32])),
    };
    let Ok(mut reader) = BodyReader::new(Arc::new(key), header, &manifest) else { return };
    for piece in body.chunks(usize::from(*size).max(1) * 97) {
        if reader.take(piece).is_err() {
            return;
        }
    }
    assert!(reader.finish().is_err());
});
