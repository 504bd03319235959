//! A party: its home directory, its keys, whom it knows, and how they talk.
//!
//! | module | what it holds |
//! |---|---|
//! | [`home`] | the directory of one party: identity, keys, certificates, peers |
//! | [`names`] | roles, names and addresses, checked when they are made |
//! | [`enrolment`] | what one party gives another, signed, to become known |
//! | [`peers`] | the parties that this one has accepted |
//! | [`certificates`] | each party's own small certificate authority |
//! | [`tls`] | mutual TLS 1.3: who may connect, and which peer it is |
//! | [`server`] | an HTTP service that knows which peer calls |
//! | [`client`] | a blocking client of one peer's service |
//! | [`reply`] | refusals and CBOR as HTTP responses |
//! | [`daemon`] | arguments, logs and signals of the programs that keep running |
//! | [`files`] | files that are either whole or not there |
//!
//! There is no shared authority: a party trusts exactly the enrolments in its
//! `peers` directory, each of which names one certificate authority. Nothing secret
//! relies on this transport; it keeps strangers out and says who is speaking.

#![forbid(unsafe_code)]

pub mod certificates;
pub mod client;
pub mod daemon;
pub mod enrolment;
pub mod files;
pub mod home;
pub mod names;
pub mod peers;
pub mod reply;
pub mod server;
pub mod tls;
mod usage;

pub use client::{Client, ClientError};
pub use enrolment::{Enrolment, EnrolmentError};
pub use files::{AtomicFile, write_atomically};
pub use home::{Home, HomeError, Identity, NewParty};
pub use names::{PartyName, Role, ServiceAddress};
pub use peers::{Peer, Peers};
pub use reply::{Cbor, Refused};
pub use server::{ServeError, Server, serve};
pub use usage::one_line_usage;
