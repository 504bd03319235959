//! Bytes that are not what they were.

use cloister_protocol::{Kind, Signed, cbor};
use serde::{Serialize, de::DeserializeOwned};

/// Copies of `bytes` with one bit flipped: one copy for each of about `count` places, the
/// first and the last included.
pub fn flipped(bytes: &[u8], count: usize) -> impl Iterator<Item = Vec<u8>> {
    let last = bytes.len() - 1;
    let step = (last / count.max(1)).max(1);
    let places = (0..last).step_by(step).chain([last]);
    places.map(|place| {
        let mut copy = bytes.to_vec();
        copy[place] ^= 1 << (place % 8);
        copy
    })
}

/// Signed objects with one bit flipped, wherever it is.
pub fn flipped_signed<T: Kind>(
    signed: &Signed<T>,
    count: usize,
) -> impl Iterator<Item = Signed<T>> {
    flipped(signed.as_bytes(), count).map(Signed::from_bytes)
}

/// Values whose encoding has one bit flipped, where that can still be read.
pub fn flipped_value<T: Serialize + DeserializeOwned>(
    value: &T,
    count: usize,
) -> impl Iterator<Item = T> {
    let bytes = cbor::encode(value);
    let copies: Vec<_> = flipped(&bytes, count).collect();
    copies.into_iter().filter_map(move |copy| cbor::decode(&copy, bytes.len()).ok())
}
