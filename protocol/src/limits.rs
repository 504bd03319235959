//! Every bound on the size of something a peer sends, with its reason.
//!
//! A length is compared with its limit before anything is allocated.

/// Nesting of CBOR: our deepest structure has six levels.
pub const CBOR_DEPTH: usize = 16;

/// One control frame: the largest, an offer of 64 datasets, stays below.
pub const CONTROL_FRAME: usize = 64 * 1024;

/// One write to the socket: several vsock stacks lose or corrupt larger ones.
pub const SOCKET_WRITE: usize = 28 * 1024;

/// One signed object (policy, job, manifest, grant): people write these.
pub const SIGNED_OBJECT: usize = 48 * 1024;

/// A compute component: first-party trainers have tens of kilobytes, a Python one 18 MB.
pub const COMPONENT: u64 = 32 * 1024 * 1024;

/// A public evaluation set: it is held in memory beside the data.
pub const PUBLIC_SET: u64 = 64 * 1024 * 1024;

/// Plaintext of one dataset: it has to fit into the enclave's memory.
pub const DATASET: u64 = 8 * 1024 * 1024 * 1024;

/// Columns of a dataset: bounds the header.
pub const COLUMNS: usize = 4096;

/// Units of a dataset: keeps integer sums inside 64 bits.
pub const UNITS: u64 = 1 << 32;

/// Datasets of one job: bounds the offer and the transcript.
pub const DATASETS: usize = 64;

/// Rounds of one job: bounds the number of releases kept.
pub const ROUNDS: u32 = 10_000;

/// Numbers in a model: 64 MiB as `f32`, and the norm check stays in 128 bits.
pub const MODEL: usize = 16 * 1024 * 1024;

/// A name for people.
pub const NAME: usize = 128;

/// Attestation evidence: real Nitro documents have about 5 KiB, the specification allows 16.
pub const EVIDENCE: usize = 16 * 1024;

/// A receipt: a release and everything it rests on.
pub const RECEIPT: usize = 4 * 1024 * 1024;

/// An owner's log of grants, for auditors: twenty thousand of them and more, of one table each.
pub const GRANT_LOG: usize = 16 * 1024 * 1024;

/// A file of released tensors: the largest model twice, and room for its header.
pub const TENSORS: u64 = 256 * 1024 * 1024;
