//! The simulated attestation platform: a throw-away hardware vendor.
//!
//! Where there is no enclave hardware, something must still produce evidence that goes
//! through the production verifier without a single check switched off. This crate is that
//! something: a P-384 root made at set-up, an intermediate, leaf certificates that live three
//! hours, and `COSE_Sign1` documents of the AWS Nitro shape (ES384 over a CBOR payload) with
//! PCRs measured from whatever the caller says is its image.
//!
//! It protects nothing: whoever holds the [`Vendor`] can sign any measurement. A verifier
//! accepts its documents only where a policy names this very root, and marks every verdict
//! as simulated.
//!
//! The crate does no I/O and reads no clock: time is an argument, and PEM text is handed to
//! the caller to keep. Only key generation and signing draw on the system's randomness.
//!
//! ```
//! use std::time::Duration;
//! use cloister_simulated::{LEAF_LIFETIME, Pcrs, UnixTime, Vendor, pcr};
//!
//! let now = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600)); // 2026-01-01
//! let vendor = Vendor::generate(now)?;
//! let attester = vendor.leaf(now, LEAF_LIFETIME)?;
//!
//! let image = b"the bytes of the enclave binary";
//! let pcrs = Pcrs::from([(0, pcr(image)), (1, pcr(b"kernel")), (2, pcr(b"application"))]);
//! let binding = [7; 64];
//! let document = attester.document(&binding, None, &pcrs, now.as_secs() * 1000)?;
//! assert!(document.len() < 12 * 1024);
//! # Ok::<(), cloister_simulated::Error>(())
//! ```
#![forbid(unsafe_code)]

mod attester;
mod certificates;
mod cose;
mod error;
mod key;
mod pcr;
mod vendor;

#[cfg(feature = "mutations")]
pub mod mutations;

pub use attester::Attester;
pub use certificates::{BACKDATING, LEAF_LIFETIME, VENDOR_LIFETIME};
pub use error::Error;
pub use pcr::{Pcr, Pcrs, pcr};
pub use rustls_pki_types::UnixTime;
pub use vendor::Vendor;
