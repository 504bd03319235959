//! Why the enclave refuses something: a stable code, and a sentence for the operator.

use std::fmt;

use cloister_protocol::frames::Refusal;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What was refused. The text of a code never changes its meaning.
        ///
        /// From the moment that data is loaded, only the last group is ever used, and for
        /// reasons that do not depend on rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* #[doc = concat!("`", $text, "`.")] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The text, in kebab case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    // Offer.
    /// An announced length is above its limit.
    OfferSize = "offer-size",
    /// Datasets, policies and job differ in number.
    OfferDatasets = "offer-datasets",
    /// Nonces are not exactly those of the datasets' brokers.
    OfferNonces = "offer-nonces",
    /// The job is not signed, or altered.
    JobSignature = "job-signature",
    /// The job breaks a rule of its own.
    JobInvalid = "job-invalid",
    /// The code's manifest is not signed, or altered.
    CodeSignature = "code-signature",
    /// The code's manifest breaks a rule.
    CodeInvalid = "code-invalid",
    /// The manifest is not that of the code which the job names.
    CodeOther = "code-other",
    /// The component is not the one in the manifest.
    CodeComponent = "code-component",
    /// The job sets a parameter that the code does not take.
    CodeParameters = "code-parameters",
    /// The component imports what compute code does not get.
    CodeImport = "code-import",
    /// The component is refused for its structure, exports or features.
    CodeStructure = "code-structure",
    /// The component's `init` makes no model.
    CodeInit = "code-init",
    /// A header or manifest is not signed by its owner, or breaks a rule.
    DatasetProof = "dataset-proof",
    /// A dataset is not the one in the job's place.
    DatasetOther = "dataset-other",
    /// Counts in a manifest are impossible or too large.
    DatasetCounts = "dataset-counts",
    /// Tables of one population cannot be joined.
    DatasetJoin = "dataset-join",
    /// Two populations have different features or targets.
    DatasetSchema = "dataset-schema",
    /// The gate's parameters do not fit the model.
    GateInvalid = "gate-invalid",
    /// The job's cost is not what its releases cost.
    CostMismatch = "cost-mismatch",
    /// The releases would be larger than what can be kept.
    ModelSize = "model-size",
    /// The job may take more memory than the enclave has.
    Memory = "memory",
    /// The public set is not the one in the job.
    PublicSetOther = "public-set-other",
    /// The public set does not have the datasets' columns.
    PublicSetRows = "public-set-rows",
    /// A round might not be over when its release is due.
    ScheduleTooTight = "schedule-too-tight",
    /// The platform made no evidence.
    EvidenceFailed = "evidence-failed",
    // Grant.
    /// Not as many grants as datasets.
    GrantCount = "grant-count",
    /// A grant is not signed by the dataset's broker, or altered.
    GrantSignature = "grant-signature",
    /// A grant is for another transcript.
    GrantTranscript = "grant-transcript",
    /// A grant is for another dataset.
    GrantDataset = "grant-dataset",
    /// A grant was made under another policy.
    GrantPolicy = "grant-policy",
    /// A grant reserves another cost.
    GrantCost = "grant-cost",
    /// The grants of one population's tables are of two reservations.
    GrantApart = "grant-apart",
    /// The sealed key is for another enclave or grant, or altered.
    GrantKey = "grant-key",
    // Load.
    /// No such place in the job.
    LoadIndex = "load-index",
    /// This dataset is complete already.
    LoadAgain = "load-again",
    /// This dataset is being loaded by another exchange.
    LoadBusy = "load-busy",
    /// The body is longer or shorter than its manifest says.
    BodyLength = "body-length",
    /// The body was sealed with another key or for another header.
    BodyCommitment = "body-commitment",
    /// A chunk was altered, moved, repeated or left out.
    BodyChunk = "body-chunk",
    /// Something follows the last chunk.
    BodyAfterLast = "body-after-last",
    /// The last chunk is missing.
    BodyTruncated = "body-truncated",
    /// The body's hash is not the one signed.
    BodyHash = "body-hash",
    /// The dataset does not fit into the enclave's memory.
    BodyMemory = "body-memory",
    /// The plaintext's format is not the one in the header.
    DatasetFormat = "dataset-format",
    /// The rows are not as the manifest says.
    DatasetRows = "dataset-rows",
    // Any time.
    /// The request cannot be read.
    Request = "request",
    /// One session at a time.
    Busy = "busy",
    /// The transcript is not the one in hand.
    TranscriptOther = "transcript-other",
    /// The session is not in the state that this request needs.
    State = "state",
    /// A release number that the job does not have.
    ReleaseNumber = "release-number",
    /// The session was abandoned.
    Abandoned = "abandoned",
    /// A fault of the enclave itself.
    Internal = "internal",
}

/// A refusal. Its message is made of public things only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The stable code.
    pub code: Code,
    /// What was expected, what was found, what to do.
    pub message: String,
}

impl Refused {
    /// Refuses with a sentence of our own or with a public error's.
    #[must_use]
    pub fn new(code: Code, why: impl fmt::Display) -> Self {
        Self { code, message: why.to_string() }
    }

    /// Makes errors of one kind refusals with one code.
    pub(crate) fn with<E: fmt::Display>(code: Code) -> impl FnOnce(E) -> Self {
        move |why| Self::new(code, why)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Refusal {
    fn from(Refused { code, message }: Refused) -> Self {
        Self { code: code.as_str().into(), message }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_in_kebab_case() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
        }
    }
}
