//! Verifies attestation evidence: offline, complete, explained.
//!
//! Evidence goes in with everything the verifier expects of it, a [`Verdict`] comes out that
//! lists each check by name with what was expected and what was found. Nothing here does I/O,
//! reads a clock or knows a default that accepts: roots, time, freshness, binding and
//! reference values are arguments, and leaving one out does not compile.
//!
//! Platforms: AWS Nitro enclaves and the `simulated` platform, which makes documents of the
//! same shape under a throw-away root. Both go through the same code; they differ in the
//! [`Roots`](nitro::Roots), and a root of one is never accepted as the other's.
//!
//! # Verifying a document
//!
//! An operator hands over `measurements.toml`, which says what the enclave measures to. The
//! evidence comes from the enclave, through people nobody has to trust.
//!
//! ```
//! use std::time::Duration;
//! use cloister_attestation::{Binding, Clock, Freshness, Measurements, UnixTime};
//!
//! let measurements = Measurements::from_toml(include_str!("../tests/fixtures/measurements.toml"))?;
//! let evidence = include_bytes!("../tests/fixtures/simulated.cose");
//!
//! // This fixture was made on 2026-01-01; a broker passes its own clock.
//! let clock = Clock::at(UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600)));
//! // The digest of what both sides agreed on, the broker's nonce included.
//! let binding = Binding::Exactly([7; 64]);
//!
//! let verdict = measurements.appraise(evidence, clock, Freshness::WithinBinding, binding);
//! println!("{verdict}"); // a page that says what was checked, and that this was simulated
//! let claims = verdict.accept()?; // or an error that lists every failed check
//! # let _ = claims;
//!
//! // Another binding, and the same evidence is refused for that reason alone.
//! let refused = measurements
//!     .appraise(evidence, clock, Freshness::WithinBinding, Binding::Exactly([8; 64]));
//! assert!(!refused.accepted());
//! let failed: Vec<_> = refused.failed().map(|check| check.name).collect();
//! assert_eq!(failed, ["binding"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without a file, [`nitro::verify`] takes the same [`nitro::Expectations`] piece by piece.
//!
//! # Order of checks
//!
//! 1. Sizes are bounded, and only the structure that verification needs is taken out.
//! 2. The chain and the signature are checked over the bytes as received.
//! 3. Only then are the fields interpreted.
//! 4. Then they are compared with what the caller expects.
//!
//! A step is entered only if the one before passed, and reports all its failures at once.
#![forbid(unsafe_code)]

mod cache;
mod certificate;
mod ear;
mod expect;
mod hexadecimal;
pub mod nitro;
mod reference;
mod revoked;
mod root_certificate;
mod sign1;
pub mod snp;
mod text;
mod unverified;
mod verdict;

pub use cache::Cache;
pub use ear::{AttestationResult, EarError, Tier, Vector};
pub use expect::{Binding, Clock, Freshness, Nonce, NonceError};
pub use hexadecimal::{Hex, HexError};
pub use reference::{Measurements, MeasurementsError, SimulatedReference};
pub use revoked::Revoked;
pub use root_certificate::RootCertificate;
pub use rustls_pki_types::UnixTime;
pub use unverified::Unverified;
pub use verdict::{Check, Claims, Denial, Outcome, Platform, Rule, Verdict};
