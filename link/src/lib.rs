//! Frames between host and enclave, over vsock, Unix sockets or TCP.
//!
//! [`connect`] and [`Listener`] make a [`Link`]; a [`Link`] carries one exchange of
//! [`cloister_protocol::frames`]: control frames of deterministic CBOR, and bulk
//! data that a control frame announced. Each frame is a length of four bytes,
//! big-endian, and its body.
//!
//! What holds for every link, whoever is at the other end:
//!
//! - a length is compared with its limit before memory is set aside for it;
//! - no write to the socket is larger than [`limits::SOCKET_WRITE`];
//! - bulk data is handed on frame by frame, so the reader's pace reaches the writer;
//! - whatever waits for the peer ends with [`LinkError::Stalled`] when the peer does nothing.
//!
//! [`limits::SOCKET_WRITE`]: cloister_protocol::limits::SOCKET_WRITE

#![forbid(unsafe_code)]

mod address;
mod bulk;
mod capped;
mod connect;
mod error;
mod hybrid;
mod link;
mod listener;

pub use address::{Address, AddressError};
pub use bulk::Bulk;
pub use connect::connect;
pub use error::LinkError;
pub use link::{Link, Socket};
pub use listener::Listener;
