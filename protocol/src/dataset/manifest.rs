//! What the owner signs about a sealed dataset once all rows have passed.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{digest::Digest, signed::Kind};

/// BLAKE3 of salt, commitment and all sealed chunks.
///
/// GCM tags do not commit to the plaintext for whoever holds the key; this hash does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BodyHash(pub ByteArray<32>);

/// The manifest of a sealed dataset, signed by its owner. The numbers in it are public.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Digest of the header-core.
    pub header: Digest,
    /// Bytes of salt, commitment and chunks together.
    pub length: u64,
    /// Rows.
    pub rows: u64,
    /// Distinct units: the public divisor of every mean.
    pub units: u64,
    /// The most rows that one unit may have, as the owner declares it: not what was counted.
    pub max_rows_per_unit: u64,
    /// Hash of salt, commitment and chunks.
    pub body: BodyHash,
}

impl Kind for DatasetManifest {
    const KIND: &'static str = "dataset-manifest";
}
