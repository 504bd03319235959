//! Why a home cannot be made or used.

use std::{error::Error, io, path::PathBuf};

use cloister_protocol::keys::KeyError;

use crate::{
    certificates::CertificateError, enrolment::EnrolmentError, names::Role, peers::PeersError,
};

/// Why a home cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// There is something already.
    #[error(
        "{0} exists and is not empty: choose another directory, a party's keys are never overwritten"
    )]
    Exists(PathBuf),
    /// There is no party.
    #[error(
        "{0} is not a party's home (it has no identity.toml): make one with `cloister ROLE init`"
    )]
    NotAHome(PathBuf),
    /// The home is of another role.
    #[error("{path} is the home of an {found}, where that of an {expected} is needed")]
    WrongRole {
        /// Which.
        path: PathBuf,
        /// What is needed.
        expected: Role,
        /// What it is.
        found: Role,
    },
    /// What is asked for does not suit the role.
    #[error("an {role} cannot be made like this: {why}")]
    Role {
        /// The role.
        role: Role,
        /// The rule that was broken.
        why: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else that belongs into a new home could not be made.
    #[error("the home was not made: {0}")]
    Furnish(Box<dyn Error + Send + Sync>),
    /// A key can be read by others.
    #[error(
        "{path} holds a private key and has mode {mode:o}: others may have read it. If not, run `chmod 600`"
    )]
    KeyMode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file is damaged.
    #[error("{path} is damaged: {why}; restore it from a backup")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A key cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An enrolment to be added is not valid.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// The enrolment to be added is this party's own.
    #[error("that is the enrolment of this party itself")]
    Myself,
    /// The peers cannot be known, or one to be added conflicts with one known.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// There is no such peer.
    #[error(
        "no peer is called {name}: known are [{known}]; add its enrolment with `cloister enrol`"
    )]
    NoPeer {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}
