//! What can go wrong while simulating a vendor.

/// Why the simulated vendor could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system's random number generator or the signature operation failed.
    #[error(
        "[simulated-key] a P-384 key could not be made or used: check that the system's random number generator works"
    )]
    Key,
    /// A certificate could not be encoded.
    #[error("[simulated-certificate] a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A validity that no certificate can express.
    #[error(
        "[simulated-time] {what} is not a time that a certificate can express: give seconds since 1970, before the year 9999"
    )]
    Time {
        /// Which time it was.
        what: &'static str,
    },
    /// The kept PEM text is not what [`crate::Vendor::to_pem`] wrote.
    #[error(
        "[simulated-pem] the simulated vendor's PEM text should hold {expected}, found {found}: make a new vendor, and new policies that name its root"
    )]
    Pem {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A PCR index that no document may carry.
    #[error("[simulated-pcr] PCR indices are 0 to 31, found {found}")]
    PcrIndex {
        /// The index that was given.
        found: u8,
    },
    /// A field longer than a document may carry.
    #[error("[simulated-field] {field} holds at most {limit} bytes, found {found}")]
    FieldTooLong {
        /// The field's name in the document.
        field: &'static str,
        /// The limit in bytes.
        limit: usize,
        /// The length that was given.
        found: usize,
    },
    /// A document of the year 1970 is a mistake: timestamps are positive milliseconds.
    #[error(
        "[simulated-timestamp] a document's timestamp is in milliseconds since 1970 and greater than 0"
    )]
    Timestamp,
}
