//! Evidence of the platform that this enclave runs on.

mod simulated;

pub use simulated::Simulated;

use thiserror::Error;

/// Something that vouches for this enclave.
pub trait Attester: Send + Sync {
    /// The platform's name: `simulated`, `nitro`, `sev-snp`.
    fn platform(&self) -> &str;

    /// Evidence that binds 64 bytes, as the platform's verifier reads it.
    ///
    /// # Errors
    ///
    /// [`AttesterError`] if the platform did not answer.
    fn evidence(&self, binding: &[u8; 64]) -> Result<Vec<u8>, AttesterError>;
}

/// Why there is no evidence.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttesterError {
    /// The simulated vendor could not sign.
    #[error("the simulated platform made no evidence: {0}")]
    Simulated(#[from] cloister_simulated::Error),
    /// This program's own bytes, or the vendor's directory, cannot be read.
    #[error("cannot read {what}: {source}; make a vendor with `cloister-enclave vendor DIR`")]
    Read {
        /// What could not be read.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system's clock is before 1970.
    #[error("the system's clock is before 1970: set it")]
    Clock,
}
