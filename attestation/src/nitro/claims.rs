//! What a document says, once its signature is known to be good.

use serde::{Serialize, Serializer};

use super::{Pcr, PcrIndex, Pcrs};

/// The fields of a document, interpreted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Claims {
    /// The enclave's id, chosen by the platform.
    pub module_id: String,
    /// When the document was made, in milliseconds since 1970, by the platform's clock.
    pub timestamp_ms: u64,
    /// Whether PCR0 to PCR2 are all zero, as in an enclave in debug mode.
    pub debug: bool,
    /// The registers.
    pub pcrs: Pcrs,
    /// A key of the enclave's own; Cloister leaves it empty.
    #[serde(skip_serializing_if = "Optional::is_absent")]
    pub public_key: Optional,
    /// What the enclave vouches for; Cloister's binding.
    #[serde(skip_serializing_if = "Optional::is_absent")]
    pub user_data: Optional,
    /// The nonce of whoever asked for the document.
    #[serde(skip_serializing_if = "Optional::is_absent")]
    pub nonce: Optional,
    /// When the leaf certificate expires, in seconds since 1970.
    pub certificate_not_after: u64,
    /// SHA-256 of the root certificate that all this rests on.
    #[serde(serialize_with = "hexadecimal")]
    pub root_sha256: [u8; 32],
}

impl Claims {
    /// Finds out whether these are the registers of an enclave in debug mode.
    pub(super) fn are_debug(pcrs: &Pcrs) -> bool {
        PcrIndex::IMAGE.iter().all(|index| pcrs.get(index).is_some_and(Pcr::is_zero))
    }
}

/// An optional field of a document. Absent, null and empty are three things, and all three
/// occur in real documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Optional {
    /// The map has no such field.
    Absent,
    /// The field is null.
    Null,
    /// The field is a byte string, perhaps of length 0.
    Bytes(Vec<u8>),
}

impl Optional {
    /// Whether the map has no such field.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The byte string, if the field is one.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Absent | Self::Null => None,
        }
    }

    /// The field in words.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Absent => "no such field".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Bytes(bytes) => crate::text::bytes(bytes),
        }
    }
}

impl Serialize for Optional {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.bytes() {
            Some(bytes) => serializer.serialize_str(&hex::encode(bytes)),
            None => serializer.serialize_none(),
        }
    }
}

pub(super) fn hexadecimal<S: Serializer>(
    bytes: &[u8; 32],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}
