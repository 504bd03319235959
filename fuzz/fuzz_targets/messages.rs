//! Messages between host and enclave, and between host and broker: CBOR that is decoded
//! only if it is the one encoding of its value.
#![no_main]

use cloister_protocol::{
    brokering::{Challenge, ChallengeRequest, GrantRequest, GrantResponse, REQUEST_LIMIT},
    cbor,
    frames::{Offer, Reply, Request},
    grant::SealedGrant,
    limits,
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|bytes: &[u8]| {
    decode::<Request>(bytes, limits::CONTROL_FRAME);
    decode::<Reply>(bytes, limits::CONTROL_FRAME);
    decode::<Offer>(bytes, limits::CONTROL_FRAME);
    decode::<SealedGrant>(bytes, limits::CONTROL_FRAME);
    decode::<ChallengeRequest>(bytes, REQUEST_LIMIT);
    decode::<Challenge>(bytes, REQUEST_LIMIT);
    decode::<GrantRequest>(bytes, REQUEST_LIMIT);
    decode::<GrantResponse>(bytes, REQUEST_LIMIT);
});

fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) {
    if let Ok(message) = cbor::decode::<T>(bytes, limit) {
        assert_eq!(cbor::encode(&message), bytes);
    }
}
