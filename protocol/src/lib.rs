//! Everything that crosses a trust boundary: its bytes, its limits, its signatures.
//!
//! The crate does no I/O and reads no clock; time and randomness are arguments.
//! A remote verifier needs it and `cloister-attestation`, and nothing else.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cbor`] | deterministic CBOR, refused when it is anything else |
//! | [`digest`] | domain-separated SHA-512, typed identifiers |
//! | [`keys`] | ES384 keys and their identifiers |
//! | [`signed`] | [`signed::Signed`]: one COSE_Sign1 envelope for every kind of object |
//! | [`dataset`] | the sealed dataset: header, chunks, manifest, layout of the file |
//! | [`code`] | signed compute code and an owner's approval of it |
//! | [`job`] | what is to be trained, and what the gate does |
//! | [`transcript`] | what all parties agree on; its digest is what the hardware signs |
//! | [`hpke`] | RFC 9180 with X-Wing, for grants |
//! | [`grant`] | a broker's permission, with the data key sealed to one transcript |
//! | [`release`] | what leaves, and the receipt that proves it |
//! | [`brokering`] | the messages between host and broker |
//! | [`frames`] | the messages between host and enclave |
//! | [`limits`] | every bound on a size, in one place |

#![forbid(unsafe_code)]

pub mod brokering;
pub mod cbor;
pub mod code;
pub mod dataset;
pub mod digest;
pub mod frames;
pub mod grant;
pub mod hpke;
pub mod job;
pub mod keys;
pub mod limits;
pub mod release;
pub mod signed;
pub mod transcript;

pub use digest::{Digest, Id};
pub use keys::{KeyId, PublicKey, SigningKey};
pub use signed::{Kind, Signed, Verified};
