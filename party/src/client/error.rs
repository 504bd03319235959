//! Why a request failed.

use std::io;

use cloister_protocol::frames::Refusal;
use thiserror::Error;

use crate::{home::HomeError, names::Role};

/// Why a request failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Certificates of this party cannot be read.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The peer offers no service.
    #[error("{peer} is an {role} and has no service to call")]
    NoService {
        /// Its name.
        peer: String,
        /// Its role.
        role: Role,
    },
    /// Nobody answers.
    #[error(
        "{peer} cannot be reached at {address}: {why}; is its service running, and the address right?"
    )]
    Unreachable {
        /// Its name.
        peer: String,
        /// Where it should be.
        address: String,
        /// What happened.
        why: String,
    },
    /// Somebody else answers, or the peer with an outdated certificate.
    #[error(
        "what answers at {address} is not {peer} as it is enrolled here ({why}): ask it for its current enrolment, or to renew its certificate"
    )]
    NotThePeer {
        /// Its name.
        peer: String,
        /// Where it should be.
        address: String,
        /// What is wrong with the certificate.
        why: String,
    },
    /// The peer does not know this party.
    #[error(
        "{peer} at {address} does not accept this party ({why}): ask it to add this party's enrolment.cloister"
    )]
    NotEnrolled {
        /// Its name.
        peer: String,
        /// Where it is.
        address: String,
        /// What it said.
        why: String,
    },
    /// The peer said no, and why.
    #[error("{peer} refused: {} ({})", refusal.message, refusal.code)]
    Refused {
        /// Its name.
        peer: String,
        /// The HTTP status.
        status: u16,
        /// The reason.
        refusal: Refusal,
    },
    /// The peer answered with an HTTP status and no refusal.
    #[error(
        "{peer} answered with status {status} to {path}: its service may be of another version"
    )]
    Status {
        /// Its name.
        peer: String,
        /// What was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what was expected.
    #[error("the answer of {peer} to {path} cannot be used: {why}")]
    Answer {
        /// Its name.
        peer: String,
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// What was to be sent cannot be read.
    #[error("the data to be sent cannot be read: {0}")]
    Source(io::Error),
}

impl ClientError {
    /// The peer's refusal, if it gave one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Whether the same request may succeed later: the peer was not reached, or failed itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } | Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}
