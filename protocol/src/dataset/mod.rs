//! The sealed dataset: what an owner hands to a host that must not read it.
//!
//! ```text
//! "CLOISTER-DATASET" | version u8 | header length u32 | header-core (CBOR)
//! salt (24) | commitment (32) | chunks (16 KiB + 16 each, the last one shorter)
//! manifest (COSE_Sign1) | manifest length u32
//! ```
//!
//! Nothing in the header depends on the rows, so sealing streams; what does is in
//! the manifest, which the owner signs at the end. All integers are big-endian.

mod chunks;
mod file;
mod header;
mod join;
mod manifest;

pub use chunks::{
    CHUNK, ChunkError, ChunkOpener, ChunkSealer, DataKey, PREFIX, SEALED_CHUNK, sealed_length,
};
pub use file::{FILE_MAGIC, FileError, FileLayout, write_prefix, write_suffix};
pub(crate) use header::check_name;
pub use header::{Column, ColumnType, HeaderCore, HeaderError, Population, Role, Unit};
pub use join::{JoinError, Joined};
pub use manifest::{BodyHash, DatasetManifest};
