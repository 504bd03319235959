//! The parties that this one has accepted.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use cloister_protocol::{KeyId, PublicKey, Signed};
use thiserror::Error;

use crate::{
    enrolment::{Enrolment, EnrolmentError},
    names::{PartyName, Role, ServiceAddress},
};

/// How the file of an enrolment ends.
pub(crate) const SUFFIX: &str = ".cloister";

/// More than the largest enrolment: nothing larger is read.
const FILE: u64 = 64 * 1024;

/// A party that is known: a verified [`Enrolment`] that was accepted.
///
/// As an axum extractor it is the caller of a request (see [`crate::server`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    enrolment: Enrolment,
    id: KeyId,
    authority_key: Vec<u8>,
}

impl Peer {
    pub(crate) fn open(signed: &Signed<Enrolment>) -> Result<Self, EnrolmentError> {
        let enrolment = Enrolment::open(signed)?;
        let authority_key = enrolment.authority_key()?;
        Ok(Self { id: enrolment.key.id(), authority_key, enrolment })
    }

    /// What it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.enrolment.role
    }

    /// What this party calls it: the name in its enrolment.
    #[must_use]
    pub fn name(&self) -> &PartyName {
        &self.enrolment.name
    }

    /// Identifies its signing key: its fingerprint, and what policies name.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Its signing key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.enrolment.key
    }

    /// The key its broker signs grants with, if it is an owner.
    #[must_use]
    pub fn broker_key(&self) -> Option<&PublicKey> {
        self.enrolment.broker_key.as_ref()
    }

    /// The population of its data, if it is an owner.
    #[must_use]
    pub fn population(&self) -> Option<&str> {
        self.enrolment.population.as_deref()
    }

    /// Where its service is, if it offers one.
    #[must_use]
    pub fn address(&self) -> Option<&ServiceAddress> {
        self.enrolment.address.as_ref()
    }

    /// Its certificate authority, X.509 in DER.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        &self.enrolment.tls_ca
    }

    /// Whether both have one authority, in whatever certificates.
    pub(crate) fn shares_authority(&self, other: &Self) -> bool {
        self.authority_key == other.authority_key
    }
}

/// Why the peers cannot be known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeersError {
    /// The directory or a file in it cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not a valid enrolment.
    #[error("{path}: {source}")]
    Enrolment {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: EnrolmentError,
    },
    /// A file has another name than the party it introduces.
    #[error("{path} introduces {name}: add enrolments with `cloister enrol`, not by copying")]
    Misnamed {
        /// Which.
        path: PathBuf,
        /// The name inside.
        name: PartyName,
    },
    /// Two enrolments claim one identity.
    #[error(
        "{first} and {second} have the same {what}, so it would not be known who is calling: remove the one that is wrong"
    )]
    Ambiguous {
        /// One.
        first: PartyName,
        /// The other.
        second: PartyName,
        /// What they share.
        what: &'static str,
    },
}

/// All accepted peers, by name. No two share a key or a certificate authority.
#[derive(Clone, Debug, Default)]
pub struct Peers(BTreeMap<PartyName, Peer>);

impl Peers {
    /// Reads a directory of enrolments. One bad file is an error: it is for a person to look at.
    pub fn read(directory: &Path) -> Result<Self, PeersError> {
        let mut peers = Self::default();
        for path in files(directory)?.into_keys() {
            peers.insert(read_peer(&path)?)?;
        }
        Ok(peers)
    }

    /// Like [`Peers::read`], for a service that has to go on: a bad file makes nobody
    /// known, of two that claim one identity neither is, and each is logged.
    #[must_use]
    pub(crate) fn read_what_is_good(paths: &Files) -> Self {
        let mut all = Vec::new();
        for path in paths.keys() {
            match read_peer(path) {
                Ok(peer) => all.push(peer),
                Err(error) => tracing::warn!(%error, "peer ignored"),
            }
        }
        let mut peers = Self::default();
        for (index, peer) in all.iter().enumerate() {
            let others = all.iter().enumerate().filter(|(other, _)| *other != index);
            let shared = others.map(|(_, other)| shared(peer, other)).find(Option::is_some);
            match shared {
                Some(what) => tracing::warn!(peer = %peer.name(), ?what, "ambiguous peer ignored"),
                None => drop(peers.0.insert(peer.name().clone(), peer.clone())),
            }
        }
        peers
    }

    /// Adds a peer; the same name and key again replaces what was known of it.
    pub(crate) fn insert(&mut self, peer: Peer) -> Result<(), PeersError> {
        for other in self.0.values() {
            let same_party = other.name() == peer.name() && other.id() == peer.id();
            if let (false, Some(what)) = (same_party, shared(&peer, other)) {
                let (first, second) = (other.name().clone(), peer.name().clone());
                return Err(PeersError::Ambiguous { first, second, what });
            }
        }
        self.0.insert(peer.name().clone(), peer);
        Ok(())
    }

    /// All peers, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.values()
    }

    /// The peers of one role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Peer> {
        self.iter().filter(move |peer| peer.role() == role)
    }

    /// The peer of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Peer> {
        self.iter().find(|peer| peer.name().as_str() == name)
    }

    /// The peer that signs with this key.
    #[must_use]
    pub fn by_id(&self, id: &KeyId) -> Option<&Peer> {
        self.iter().find(|peer| peer.id() == id)
    }

    /// The owner whose broker signs grants with this key.
    #[must_use]
    pub fn by_broker(&self, id: &KeyId) -> Option<&Peer> {
        self.iter().find(|peer| peer.broker_key().is_some_and(|key| key.id() == *id))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What two peers share that only one may have.
fn shared(a: &Peer, b: &Peer) -> Option<&'static str> {
    let keys = |peer: &Peer| [Some(*peer.key()), peer.broker_key().copied()];
    if a.name() == b.name() {
        Some("name")
    } else if keys(a).iter().flatten().any(|key| keys(b).contains(&Some(*key))) {
        Some("key")
    } else if a.shares_authority(b) {
        Some("certificate authority")
    } else {
        None
    }
}

/// Enrolment files, and what tells whether each has changed. (A file replaced by
/// renaming has another inode, so a change is seen even within a clock tick.)
pub(crate) type Files = BTreeMap<PathBuf, (u64, u64, Option<SystemTime>)>;

/// The enrolment files in a directory; temporary ones begin with a dot.
pub(crate) fn files(directory: &Path) -> Result<Files, PeersError> {
    use std::os::unix::fs::MetadataExt;
    let read = |source| PeersError::Read { path: directory.to_owned(), source };
    let mut files = Files::new();
    for entry in fs::read_dir(directory).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with('.') || !name.ends_with(SUFFIX) {
            continue;
        }
        // A file removed in between is as good as never seen.
        let Ok(found) = entry.metadata() else { continue };
        files.insert(entry.path(), (found.ino(), found.len(), found.modified().ok()));
    }
    Ok(files)
}

fn read_peer(path: &Path) -> Result<Peer, PeersError> {
    let read = |source| PeersError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(read)?.len() > FILE {
        return Err(read(io::Error::other("it is too large for an enrolment")));
    }
    let bytes = fs::read(path).map_err(read)?;
    let peer = Peer::open(&Signed::from_bytes(bytes))
        .map_err(|source| PeersError::Enrolment { path: path.to_owned(), source })?;
    if path.file_name().and_then(|name| name.to_str()) != Some(&file_name(peer.name())) {
        return Err(PeersError::Misnamed { path: path.to_owned(), name: peer.name().clone() });
    }
    Ok(peer)
}

/// The file of the peer of this name.
pub(crate) fn file_name(name: &PartyName) -> String {
    format!("{name}{SUFFIX}")
}
