//! How large the parts of evidence and collateral may be, and why.

/// A report, by AMD's specification.
pub(super) const REPORT: usize = 0x4a0;
/// The part of a report that is signed.
pub(super) const SIGNED: usize = 0x2a0;
/// One certificate: AMD's have 1.3 to 1.7 KiB.
pub(super) const CERTIFICATE: usize = 4 * 1024;
/// A revocation list: AMD's have less than 2 KiB.
pub(super) const CRL: usize = 64 * 1024;
/// Revocation lists in one collateral: some of each product.
pub(super) const CRLS: usize = 64;
/// Certificates in one collateral: chains of three products, and a fleet of chips.
pub(super) const CERTIFICATES: usize = 4096;
/// The certificate table that hosts hand to guests: the kernel's limit is four pages.
pub(super) const TABLE: usize = 8 * 4096;
/// Entries of that table.
pub(super) const ENTRIES: usize = 32;
/// Azure's wrapping: a report, and runtime claims that fit a TPM's index of 2600 bytes and
/// some room.
pub(super) const HCL: usize = 16 * 1024;
/// A signed bundle: the certificates of some hundreds of chips.
pub(super) const BUNDLE: usize = 1024 * 1024;
