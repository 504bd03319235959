//! Why a step failed.

use std::{fmt, io, time::Duration};

use cloister_link::LinkError;
use cloister_protocol::{
    Id, KeyId, code::CodeManifest, dataset::DatasetManifest, digest::Digest, frames::Refusal,
    signed::SignedError, transcript::TranscriptError,
};
use thiserror::Error;

use crate::{queue::Failure, store::StoreError};

/// Who refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The enclave.
    Enclave,
    /// The broker of this owner.
    Broker(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enclave => f.write_str("enclave"),
            Self::Broker(name) => write!(f, "broker {name}"),
        }
    }
}

/// Why a step failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The other side said no, and why.
    #[error("{from} refused ({}): {}", refusal.code, refusal.message)]
    Refused {
        /// Who.
        from: Source,
        /// Why.
        refusal: Refusal,
    },
    /// The enclave cannot be reached, stalled or went away.
    #[error("the enclave did not answer while {doing}: {source}")]
    Enclave {
        /// The step.
        doing: &'static str,
        /// What the link says.
        source: LinkError,
    },
    /// The enclave answered something that does not belong to the question.
    #[error("the enclave answered {found} while {doing}; host and enclave are of different builds")]
    Unexpected {
        /// The step.
        doing: &'static str,
        /// The answer's name.
        found: &'static str,
    },
    /// The enclave does not let go of a job that was abandoned.
    #[error("the enclave was still at work on an abandoned job after {patience:?}")]
    Busy {
        /// How long it was given.
        patience: Duration,
    },
    /// More than a frame holds.
    #[error(
        "{what} of {found} bytes is more than the {limit} that a frame to the enclave holds: use fewer datasets or columns"
    )]
    TooLarge {
        /// The message.
        what: &'static str,
        /// Its length, or the least it will have.
        found: usize,
        /// The most bytes of a frame.
        limit: usize,
    },
    /// A broker cannot be reached.
    #[error(
        "the broker of {name} at {address} cannot be reached: {why}; is it running, and is the address in its enrolment right?"
    )]
    BrokerUnreachable {
        /// The owner's name.
        name: String,
        /// The address tried.
        address: String,
        /// What the connection says.
        why: String,
    },
    /// A broker answered something that is not an answer.
    #[error("the broker of {name} gave no usable answer: {why}")]
    BrokerAnswer {
        /// The owner's name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// What answers is not the broker, or it does not know this host.
    #[error("host and broker of {name} do not know each other: {why}")]
    BrokerIdentity {
        /// The owner's name.
        name: String,
        /// What the connection says.
        why: String,
    },
    /// The enrolments of this host's peers.
    #[error("{0}")]
    Peers(String),
    /// A dataset's owner is not enrolled here.
    #[error(
        "owner {owner:?} of dataset {dataset:?} is not enrolled with this host: accept the owner's enrolment"
    )]
    OwnerUnknown {
        /// The owner.
        owner: KeyId,
        /// The dataset.
        dataset: Id<DatasetManifest>,
    },
    /// The host does not hold a dataset of the job.
    #[error("dataset {0:?} is not on this host: its owner has to upload it")]
    DatasetMissing(Id<DatasetManifest>),
    /// The host does not hold the code of the job.
    #[error("code {0:?} is not on this host: upload it")]
    CodeMissing(Id<CodeManifest>),
    /// The host does not hold the public set of the job.
    #[error("public set {0:?} is not on this host: upload it")]
    PublicSetMissing(Digest),
    /// The job itself cannot be read.
    #[error("{0}")]
    Job(#[from] SignedError),
    /// The transcript from the enclave cannot be read.
    #[error("{0}")]
    Transcript(#[from] TranscriptError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The disk.
    #[error("the host's disk failed: {0}")]
    Io(#[from] io::Error),
}

impl RelayError {
    /// A stable code for machines; a refusal keeps its own.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { refusal, .. } => &refusal.code,
            Self::Enclave { .. } => "enclave-lost",
            Self::Unexpected { .. } => "enclave-answer",
            Self::Busy { .. } => "enclave-busy",
            Self::TooLarge { .. } => "job-too-large",
            Self::BrokerUnreachable { .. } => "broker-unreachable",
            Self::BrokerAnswer { .. } => "broker-answer",
            Self::BrokerIdentity { .. } => "broker-identity",
            Self::Peers(_) => "peers-unreadable",
            Self::OwnerUnknown { .. } => "owner-unknown",
            Self::DatasetMissing(_) => "dataset-missing",
            Self::CodeMissing(_) => "code-missing",
            Self::PublicSetMissing(_) => "public-set-missing",
            Self::Job(_) => "job-signature",
            Self::Transcript(_) => "transcript",
            Self::Store(error) => error.code(),
            Self::Io(_) => "storage",
        }
    }

    /// What is recorded with a job that ends for this reason.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Refused { from, refusal } => Failure {
                from: from.to_string(),
                code: refusal.code.clone(),
                message: refusal.message.clone(),
            },
            other => Failure::host(other.code(), other.to_string()),
        }
    }

    /// Whether the enclave does not know the transcript: after the grants, it is another
    /// enclave than the one that they were for.
    #[must_use]
    pub fn is_transcript_gone(&self) -> bool {
        matches!(self, Self::Refused { from: Source::Enclave, refusal }
            if refusal.code == "transcript-other")
    }

    /// Whether the enclave is gone or unusable, rather than of another opinion.
    #[must_use]
    pub fn is_enclave_lost(&self) -> bool {
        matches!(self, Self::Enclave { .. } | Self::Unexpected { .. } | Self::Busy { .. })
    }
}
