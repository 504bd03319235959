//! Why a receipt was refused.

use std::fmt;

use thiserror::Error;

use crate::{
    cbor::CborError,
    dataset::{HeaderError, JoinError},
    grant::GrantError,
    job::JobError,
    signed::SignedError,
    transcript::TranscriptError,
};

/// Why a receipt does not hold together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not a receipt.
    #[error("not a receipt: {0}")]
    Cbor(#[from] CborError),
    /// The transcript is not readable.
    #[error("{0}")]
    Transcript(#[from] TranscriptError),
    /// A signed part does not verify.
    #[error("{0}")]
    Signed(#[from] SignedError),
    /// A grant does not fit.
    #[error("{0}")]
    Grant(#[from] GrantError),
    /// The job breaks a rule.
    #[error("the job breaks a rule: {0}")]
    Job(#[from] JobError),
    /// A header breaks a rule.
    #[error("a dataset header breaks a rule: {0}")]
    Header(#[from] HeaderError),
    /// The tables of a population cannot be joined.
    #[error("tables of one population cannot be joined: {0}")]
    Join(#[from] JoinError),
    /// Two parts do not belong together.
    #[error("{part}: expected {expected}, found {found}: do not rely on this release")]
    Mismatch {
        /// Which rule was broken.
        part: Part,
        /// What the rest of the receipt says.
        expected: String,
        /// What is there.
        found: String,
    },
}

macro_rules! parts {
    ($($(#[$doc:meta])* $part:ident = $code:literal, $words:literal;)*) => {
        /// What of a receipt has to agree with the rest of it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Part {
            $($(#[$doc])* $part,)*
        }

        impl Part {
            /// All of them, so that a test can see that each has a receipt that only it refuses.
            pub const ALL: &[Self] = &[$(Self::$part),*];

            /// Its stable code.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$part => $code,)* }
            }
        }

        impl fmt::Display for Part {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$part => $words,)* })
            }
        }
    };
}

parts! {
    /// The transcript that the release names.
    Transcript = "release-transcript", "the transcript of the release";
    /// The job in the transcript.
    TranscriptJob = "transcript-job", "the job of the transcript";
    /// The job that the release names.
    ReleaseJob = "release-job", "the job of the release";
    /// The code in the transcript.
    TranscriptCode = "transcript-code", "the code of the transcript";
    /// The code that the job names.
    JobCode = "job-code", "the code of the job";
    /// How many datasets the job has.
    JobDatasets = "job-datasets", "the number of the job's datasets";
    /// How many datasets the receipt has.
    Datasets = "datasets", "the number of datasets in the receipt";
    /// How many grants the receipt has.
    Grants = "grants", "the number of grants in the receipt";
    /// The header that a manifest signs.
    Header = "dataset-header", "the dataset header that the manifest signs";
    /// A dataset of the transcript.
    TranscriptDataset = "transcript-dataset", "the dataset in this place of the transcript";
    /// A dataset of the job.
    JobDataset = "job-dataset", "the dataset in this place of the job";
    /// A dataset's owner.
    Owner = "dataset-owner", "the dataset's owner in the job";
    /// Whom a dataset is about.
    Population = "dataset-population", "the dataset's population in the job";
    /// A dataset's number of units.
    Units = "dataset-units", "the dataset's units in the job";
    /// Who gave nonces.
    Nonces = "transcript-nonces", "the brokers that the transcript has nonces of";
    /// Whether there is a centring release.
    Centring = "release-centring", "a centring release";
    /// Whether there is a metrics release.
    Metrics = "release-metrics", "a metrics release";
    /// Which round it is.
    Round = "release-round", "the round of the release";
    /// The release's place.
    Number = "release-number", "the number of the release";
    /// How many releases there are.
    Of = "release-of", "the number of releases of the job";
    /// Whether there is a release before.
    Previous = "release-previous", "the link to a release before";
    /// What the gate did.
    Gate = "release-gate", "the gate of the release";
    /// What the mean divides by.
    Divisor = "release-divisor", "the divisor of the release";
    /// Which tensors are declared.
    Outputs = "release-outputs", "the tensors that the release declares";
    /// The file of tensors.
    File = "release-file", "the digest of the file of tensors";
}

macro_rules! codes {
    ($($pattern:pat => $code:literal;)*) => {
        /// Every code but those of [`Part`]. The last is about the sealed half of a grant,
        /// which no receipt has.
        pub const CODES: &[&str] = &[$($code),*];

        /// Its stable code.
        #[must_use]
        pub fn code(&self) -> &'static str {
            match self {
                $($pattern => $code,)*
                Self::Mismatch { part, .. } => part.code(),
            }
        }
    };
}

impl ReceiptError {
    /// Two parts that do not agree.
    pub(super) fn mismatch(
        part: Part,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Mismatch { part, expected: expected.into(), found: found.into() }
    }

    codes! {
        Self::Cbor(_) => "receipt-format";
        Self::Transcript(_) => "transcript-format";
        Self::Signed(_) => "signature";
        Self::Job(_) => "job-rule";
        Self::Header(_) => "header-rule";
        Self::Join(_) => "join-rule";
        Self::Grant(GrantError::Signed(_)) => "grant-signature";
        Self::Grant(GrantError::Transcript { .. }) => "grant-transcript";
        Self::Grant(GrantError::Dataset { .. }) => "grant-dataset";
        Self::Grant(GrantError::Policy) => "grant-policy";
        Self::Grant(GrantError::Cost { .. }) => "grant-cost";
        Self::Grant(GrantError::Apart { .. }) => "grant-apart";
        Self::Grant(GrantError::Key(_) | GrantError::Hpke(_) | GrantError::OtherGrant) => "grant-key";
    }
}
