//! How large the parts of a document may be, and why.

/// The NSM's answer is at most 12288 bytes; the rest is room for the future.
pub(super) const DOCUMENT: usize = 16 * 1024;
/// A payload cannot be longer than its document.
pub(super) const PAYLOAD: usize = DOCUMENT;
/// Documents have nine fields. Bounds the search for fields that occur twice.
pub(super) const FIELDS: usize = 64;
/// Nesting of CBOR items; documents use three levels.
pub(super) const DEPTH: usize = 16;
/// Entries of `cabundle`: real ones have four, and webpki takes six intermediates.
pub(super) const CABUNDLE: usize = 6;
/// AWS's own limit for each certificate.
pub(super) const CERTIFICATE: usize = 1024;
/// r and s of P-384.
pub(super) const SIGNATURE: usize = 96;
/// Instance and enclave ids are 40 characters.
pub(super) const MODULE_ID: usize = 256;
/// A TPM's worth of registers, by AWS's specification.
pub(super) const PCRS: usize = 32;
/// AWS's CDDL says 1024 for user data, nonce and public key; its prose says 512 for the
/// first two, but real documents use 1024.
pub(super) const OPTIONAL: usize = 1024;
