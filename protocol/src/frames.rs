//! The messages between host and enclave.
//!
//! Each frame is a length of four bytes, big-endian, and a body. A control frame's
//! body is CBOR and at most [`limits::CONTROL_FRAME`] long. Bulk data follows a
//! control frame that announces its length, in raw frames of at most [`DATA_FRAME`]
//! bytes. One connection serves one exchange:
//!
//! | request | bulk to the enclave | replies | bulk to the host |
//! |---|---|---|---|
//! | [`Request::Status`] | | [`Reply::Status`] | |
//! | [`Request::Offer`] | component, public set | [`Reply::Attested`] | |
//! | [`Request::Grant`] | | [`Reply::Granted`] | |
//! | [`Request::Load`] | sealed body | [`Reply::Loaded`] | |
//! | [`Request::Follow`] | | heartbeats, [`Reply::Release`] ... [`Reply::Ended`] | receipt, tensors |
//! | [`Request::Abandon`] | | [`Reply::Abandoned`] | |
//!
//! Any request may be answered by [`Reply::Refused`]. From the moment all data is
//! loaded until the last release, the enclave sends nothing but heartbeats at fixed
//! times and releases at the times that the job fixes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    code::CodeManifest,
    digest::Digest,
    grant::SealedGrant,
    job::Job,
    keys::KeyId,
    limits,
    release::DatasetProof,
    signed::Signed,
    transcript::{Nonce, TranscriptId},
};

/// The most bytes of bulk data in one frame: one write to the socket, length included.
pub const DATA_FRAME: usize = limits::SOCKET_WRITE - 4;

/// The port that the enclave listens on.
pub const PORT: u32 = 5005;

/// What the host asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What are you, and what are you doing?
    Status,
    /// Take this job, and attest the transcript. Component and public set follow.
    Offer(Box<Offer>),
    /// Here are the brokers' grants for your transcript, in the job's order.
    Grant {
        /// The transcript.
        transcript: TranscriptId,
        /// One per dataset.
        grants: Vec<SealedGrant>,
    },
    /// Here is the sealed body of one dataset; it follows.
    Load {
        /// The transcript.
        transcript: TranscriptId,
        /// The dataset's place in the job.
        index: u32,
        /// The body's length, as in its manifest.
        length: u64,
    },
    /// Send releases from this number on, as they fall due.
    Follow {
        /// The transcript.
        transcript: TranscriptId,
        /// The first release wanted.
        from: u32,
    },
    /// Forget this transcript. Its keys are erased; what was charged stays charged.
    Abandon {
        /// The transcript.
        transcript: TranscriptId,
    },
}

/// A job with everything needed to check it before any key is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The job.
    pub job: Signed<Job>,
    /// The code's manifest.
    pub code: Signed<CodeManifest>,
    /// Headers and manifests, in the job's order.
    pub datasets: Vec<DatasetProof>,
    /// The policies' digests, in the job's order.
    pub policies: Vec<Digest>,
    /// The brokers' challenges.
    pub nonces: BTreeMap<KeyId, Nonce>,
    /// Length of the component that follows.
    pub component_length: u64,
    /// Length of the public set that follows the component; 0 for none.
    pub public_set_length: u64,
}

/// What the enclave answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// To `Status`.
    Status(Status),
    /// To `Offer`: the transcript, and evidence that binds it.
    Attested {
        /// The transcript's bytes.
        transcript: ByteBuf,
        /// The platform's evidence.
        evidence: ByteBuf,
    },
    /// To `Grant`: all grants were opened.
    Granted,
    /// To `Load`: this dataset is complete and its hash matches.
    Loaded {
        /// How many datasets are still to come. At 0 the rounds begin.
        missing: u32,
    },
    /// While following: the enclave lives. At fixed times, whatever the data.
    Heartbeat,
    /// While following: a release; receipt and tensors follow.
    Release {
        /// Its number.
        number: u32,
        /// Length of the receipt.
        receipt_length: u64,
        /// Length of the safetensors file, after the receipt.
        tensors_length: u64,
    },
    /// While following: there are no more releases.
    Ended,
    /// To `Abandon`.
    Abandoned,
    /// The request was refused, for this reason. Nothing about rows is ever in it.
    Refused(Refusal),
}

/// The enclave's state as the host may know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The build's version.
    pub version: String,
    /// The platform: `simulated`, `nitro`, `sev-snp`.
    pub platform: String,
    /// The transcript in hand, if any.
    pub transcript: Option<TranscriptId>,
    /// How far it is.
    pub state: SessionState,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// No session.
    Idle,
    /// Evidence was made; grants are awaited.
    Attested,
    /// Grants were opened; data is awaited.
    Granted,
    /// Rounds run.
    Running,
    /// All releases are made.
    Released,
}

/// A refusal: a stable code and a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Stable, for machines: `job-signature`, `grant-transcript` ...
    pub code: String,
    /// For people: what was expected, found, and what to do.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;

    #[test]
    fn messages_survive_encoding() {
        let transcript = TranscriptId::new(Digest::of("test", &[]));
        for request in [
            Request::Status,
            Request::Load { transcript, index: 1, length: 2 },
            Request::Follow { transcript, from: 0 },
            Request::Abandon { transcript },
        ] {
            let bytes = cbor::encode(&request);
            let again: Request = cbor::decode(&bytes, limits::CONTROL_FRAME).unwrap();
            assert_eq!(format!("{again:?}"), format!("{request:?}"));
        }
        let refusal = Refusal { code: "busy".into(), message: "one job at a time".into() };
        let bytes = cbor::encode(&Reply::Refused(refusal.clone()));
        let again: Reply = cbor::decode(&bytes, limits::CONTROL_FRAME).unwrap();
        assert!(matches!(again, Reply::Refused(found) if found == refusal));
    }
}
