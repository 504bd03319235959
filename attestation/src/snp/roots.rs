//! The roots that reports may rest on.

use x509_parser::parse_x509_certificate;

use super::Product;
use crate::Platform;
use crate::certificate::{Certificate, common_name, fingerprint};
use crate::nitro::RootError;

/// Pinned roots: AMD's, or one of a simulated vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots(Pinned);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pinned {
    Amd,
    Simulated { product: Product, sha256: [u8; 32] },
}

impl Roots {
    /// AMD's root of each product. The collateral carries the certificates; only their
    /// fingerprints are built in: [`Product::root_sha256`].
    #[must_use]
    pub fn amd() -> Self {
        Self(Pinned::Amd)
    }

    /// The root of a simulated vendor, in DER, that calls its chips `product`. Every verdict
    /// that rests on it says so.
    ///
    /// # Errors
    ///
    /// [`RootError`] if it is not a certificate, or if it is AMD's own.
    pub fn simulated(product: Product, der: &[u8]) -> Result<Self, RootError> {
        if Certificate::parse(der).is_none() {
            return Err(RootError::NotACertificate);
        }
        let sha256 = fingerprint(der);
        if Product::ALL.iter().any(|product| product.root_sha256() == sha256) {
            return Err(RootError::NotSimulated);
        }
        Ok(Self(Pinned::Simulated { product, sha256 }))
    }

    /// The root of a simulated vendor, in DER, for the product that its name says (`ARK-Genoa`);
    /// or AMD's, if it is that.
    ///
    /// # Errors
    ///
    /// [`RootError::NotACertificate`] if it is none, or names no product.
    pub fn of_file(der: &[u8]) -> Result<Self, RootError> {
        let product = parse_x509_certificate(der)
            .ok()
            .and_then(|(_, root)| Product::of_root(common_name(root.subject())?));
        match Self::simulated(product.ok_or(RootError::NotACertificate)?, der) {
            Err(RootError::NotSimulated) => Ok(Self::amd()),
            roots => roots,
        }
    }

    /// The platform of reports that rest on these roots.
    #[must_use]
    pub fn platform(&self) -> Platform {
        match self.0 {
            Pinned::Amd => Platform::SevSnp,
            Pinned::Simulated { .. } => Platform::Simulated,
        }
    }

    /// The fingerprint of a product's root, if that product has one.
    pub(super) fn sha256(&self, of: Product) -> Option<[u8; 32]> {
        match self.0 {
            Pinned::Amd => Some(of.root_sha256()),
            Pinned::Simulated { product, sha256 } => (product == of).then_some(sha256),
        }
    }
}
