//! The root that a document must rest on.

use super::limits;
use crate::Platform;
use crate::certificate::{Certificate, fingerprint};

/// SHA-256 of the DER of AWS's root for Nitro enclaves ("G1", valid to 2049-10-28).
pub const AWS_ROOT_SHA256: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31,
    0x7e, 0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// A pinned root, and the platform that it makes of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots {
    platform: Platform,
    sha256: [u8; 32],
}

impl Roots {
    /// AWS's root. The document carries the certificate; only its fingerprint is built in.
    #[must_use]
    pub fn aws() -> Self {
        Self { platform: Platform::Nitro, sha256: AWS_ROOT_SHA256 }
    }

    /// The root of a simulated vendor, in DER. Every verdict that rests on it says so.
    ///
    /// # Errors
    ///
    /// [`RootError`] if it is not a certificate of a size that documents carry, or if it is
    /// AWS's root, which is not simulated.
    pub fn simulated(der: &[u8]) -> Result<Self, RootError> {
        if der.len() > limits::CERTIFICATE {
            return Err(RootError::Size { found: der.len() });
        }
        if Certificate::parse(der).is_none() {
            return Err(RootError::NotACertificate);
        }
        let sha256 = fingerprint(der);
        if sha256 == AWS_ROOT_SHA256 {
            return Err(RootError::NotSimulated);
        }
        Ok(Self { platform: Platform::Simulated, sha256 })
    }

    /// The platform of documents that rest on this root.
    #[must_use]
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// SHA-256 of the root certificate's DER.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

/// Why a certificate cannot be the root of a simulated vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Too long for a document.
    #[error(
        "[root-size] a root certificate is at most 1024 bytes of DER, found {found}: give one certificate"
    )]
    Size {
        /// Its length in bytes.
        found: usize,
    },
    /// Not an X.509 certificate.
    #[error(
        "[root-format] a simulated root must be one X.509 certificate: give the root that the simulated vendor printed"
    )]
    NotACertificate,
    /// AWS's root is not to be mistaken for a simulated one.
    #[error(
        "[root-not-simulated] this is AWS's own root, which is built in: use a nitro section, not a simulated one"
    )]
    NotSimulated,
}
