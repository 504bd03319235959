//! What can go wrong on a link.

use std::{io, time::Duration};

use cloister_protocol::cbor::CborError;
use thiserror::Error;

/// Why an operation on a link failed. After any of these the direction it concerns
/// (sending or receiving) is unusable: what the peer believes is not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nobody can be reached there.
    #[error("no enclave answers at {address}: {source}; is it running, and is the address right?")]
    Connect {
        /// The address tried.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// This address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address tried.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to accept a connection (too many open files, for one).
    #[error("cannot accept a connection: {0}")]
    Accept(#[source] io::Error),
    /// The other side of a Unix socket does not speak the hybrid handshake.
    #[error(
        "the handshake of the Unix socket failed: {expected} was expected, {found:?} was found"
    )]
    Handshake {
        /// What the handshake requires here.
        expected: String,
        /// What came, as far as it was read.
        found: String,
    },
    /// The peer did nothing for as long as this link waits.
    #[error("the peer stalled: {doing} did not finish within {patience:?}")]
    Stalled {
        /// The operation.
        doing: &'static str,
        /// How long it was given.
        patience: Duration,
    },
    /// The exchange as a whole took longer than its deadline.
    #[error("the deadline of the exchange passed while {doing}")]
    Deadline {
        /// The operation.
        doing: &'static str,
    },
    /// The peer closed the connection between two frames.
    #[error("the peer closed the connection where a frame was expected")]
    Closed,
    /// The peer closed the connection inside a frame.
    #[error("the peer closed the connection inside a frame")]
    Torn,
    /// A frame announces more than is allowed here. Nothing was allocated for it.
    #[error("a frame says it is longer than the {limit} bytes that are allowed here")]
    FrameTooLong {
        /// The limit.
        limit: usize,
    },
    /// A message of ours is too large to be sent as a control frame.
    #[error("a message of {found} bytes cannot be sent: a control frame holds at most {limit}")]
    MessageTooLong {
        /// The limit.
        limit: usize,
        /// The message's length.
        found: usize,
    },
    /// A control frame is not the message expected.
    #[error("a control frame cannot be read: {0}")]
    Message(#[source] CborError),
    /// Bulk data is announced with more than is allowed for it. Nothing was allocated for it.
    #[error("{found} bytes of bulk data are announced, where at most {limit} are allowed")]
    BulkTooLong {
        /// The limit.
        limit: u64,
        /// The length announced.
        found: u64,
    },
    /// More bulk data came than was announced.
    #[error("more bulk data than the {announced} bytes announced")]
    BulkOverrun {
        /// The length announced.
        announced: u64,
    },
    /// Less bulk data came than was announced.
    #[error("bulk data ended after {found} of the {announced} bytes announced")]
    BulkTruncated {
        /// The length announced.
        announced: u64,
        /// What came.
        found: u64,
    },
    /// A bulk frame without bytes: it would make no progress.
    #[error("an empty frame inside bulk data")]
    BulkEmptyFrame,
    /// Our own source of bulk data ended early or failed.
    #[error(
        "the data to be sent ended after {found} of {announced} bytes, or cannot be read: {source}"
    )]
    Source {
        /// The length announced.
        announced: u64,
        /// What was read.
        found: u64,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier error left this direction unusable.
    #[error("this link failed before and cannot be used again: connect anew")]
    Broken,
    /// Anything else the system reports.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

impl LinkError {
    /// Whether the peer, rather than this side, ended or stalled the exchange.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Stalled { .. }
                | Self::Closed
                | Self::Torn
                | Self::BulkTruncated { .. }
                | Self::Io(_)
        )
    }
}
