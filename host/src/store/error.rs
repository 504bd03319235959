//! Why the store refused something.

use std::io;

use cloister_protocol::{
    Id, KeyId,
    code::CodeError,
    dataset::{DatasetManifest, FileError},
    signed::SignedError,
};
use thiserror::Error;

/// Why the store refused something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk.
    #[error("the host cannot store this: {0}")]
    Io(#[from] io::Error),
    /// Not a sealed dataset, or an altered one.
    #[error("{0}")]
    Dataset(#[from] FileError),
    /// The body's hash is not the one that the owner signed.
    #[error(
        "the sealed body is not the one that its owner signed: it was altered or damaged on the way; upload it again"
    )]
    Body,
    /// What was stored whole is whole no more.
    #[error(
        "dataset {dataset:?} can no longer be read from this host's disk ({why}): its owner has to upload it again"
    )]
    Damaged {
        /// The dataset.
        dataset: Id<DatasetManifest>,
        /// What is wrong with the file.
        why: String,
    },
    /// Somebody else's dataset.
    #[error("the dataset belongs to owner {owner:?} and {caller:?} may not upload it")]
    Owner {
        /// The owner in the header.
        owner: KeyId,
        /// The peer that calls.
        caller: KeyId,
    },
    /// Larger than allowed.
    #[error("a {what} of more than {limit} bytes is not taken")]
    TooLarge {
        /// What was sent.
        what: &'static str,
        /// The most bytes.
        limit: u64,
    },
    /// Nothing was sent.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Not a file of signed code, or an altered one.
    #[error("{0}")]
    Code(#[from] CodeError),
    /// The author's signature is wrong.
    #[error("{0}")]
    CodeSignature(#[from] SignedError),
    /// The sender went away in the middle.
    #[error("the upload ended before it was complete; send it again")]
    Aborted,
}

impl StoreError {
    /// A stable code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "storage",
            Self::Dataset(FileError::Manifest(_)) => "dataset-manifest",
            Self::Dataset(FileError::Mismatch(_)) => "dataset-altered",
            Self::Dataset(_) => "dataset-layout",
            Self::Body => "dataset-body",
            Self::Damaged { .. } => "dataset-damaged",
            Self::Owner { .. } => "dataset-owner",
            Self::TooLarge { .. } => "too-large",
            Self::Empty(_) => "empty",
            Self::Code(CodeError::Component { .. }) => "code-component",
            Self::Code(_) => "code-file",
            Self::CodeSignature(_) => "code-signature",
            Self::Aborted => "upload-aborted",
        }
    }
}
