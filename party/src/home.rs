//! The directory of one party.
//!
//! ```text
//! identity.toml        role, name, address, population, created
//! identity.key         the signing key (ES384), PKCS#8 in DER, 0600
//! broker.key           an owner's broker signs grants with it, likewise
//! enrolment.cloister   what others need to know this party; public
//! tls/                 ca.pem ca.key client.pem client.key [server.pem server.key]
//! peers/NAME.cloister  enrolments of others that this party has accepted
//! ```
//!
//! Keys have mode 0600 and are refused with any other that lets somebody else read
//! them; directories have mode 0700. A home is made under another name and renamed
//! when it is complete.

mod create;
mod error;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use cloister_protocol::{KeyId, PublicKey, Signed, SigningKey};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    enrolment::Enrolment,
    files::{create_private_directory, sync_directory, write_atomically},
    names::{PartyName, Role, ServiceAddress},
    peers::{self, Peer, Peers},
};

pub use create::NewParty;
pub use error::HomeError;

const PUBLIC: u32 = 0o644;

/// What `identity.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// What the party is.
    pub role: Role,
    /// What it is called.
    pub name: PartyName,
    /// Where its service is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<ServiceAddress>,
    /// What its data are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<String>,
    /// When it was made (RFC 3339).
    #[serde(with = "rfc3339")]
    pub created: Timestamp,
}

/// A time as RFC 3339 text.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A party's home directory. Keys are read when they are needed and not kept.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    identity: Identity,
    enrolment: Signed<Enrolment>,
    myself: Peer,
}

impl Home {
    /// Opens the party in `path`.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let toml = path.join("identity.toml");
        let text = match fs::read_to_string(&toml) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(HomeError::NotAHome(path.to_owned()));
            }
            other => other.map_err(file(&toml))?,
        };
        let identity: Identity = toml::from_str(&text).map_err(damaged(&toml))?;
        let own = path.join("enrolment.cloister");
        let enrolment = Signed::from_bytes(fs::read(&own).map_err(file(&own))?);
        let myself = Peer::open(&enrolment).map_err(damaged(&own))?;
        if (myself.role(), myself.name()) != (identity.role, &identity.name) {
            return Err(damaged(&own)("it is not of the party that identity.toml names"));
        }
        Ok(Self { path: path.to_owned(), identity, enrolment, myself })
    }

    /// Opens the party in `path`, which has to be of this role.
    pub fn open_as(path: &Path, expected: Role) -> Result<Self, HomeError> {
        let home = Self::open(path)?;
        let found = home.identity.role;
        if found != expected {
            return Err(HomeError::WrongRole { path: path.to_owned(), expected, found });
        }
        Ok(home)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in this home.
    #[must_use]
    pub fn file(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }

    /// A directory in this home, made with mode 0700 if it is not there.
    pub fn directory(&self, name: &str) -> Result<PathBuf, HomeError> {
        let path = self.path.join(name);
        match create_private_directory(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(&path)(error)),
            _ => Ok(path),
        }
    }

    /// What the party is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.identity.role
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PartyName {
        &self.identity.name
    }

    /// Identifies its signing key: the fingerprint that it tells others.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        self.myself.id()
    }

    /// Its public signing key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.myself.key()
    }

    /// What others need to know this party.
    #[must_use]
    pub fn enrolment(&self) -> &Signed<Enrolment> {
        &self.enrolment
    }

    /// This party as others see it.
    #[must_use]
    pub fn myself(&self) -> &Peer {
        &self.myself
    }

    /// Its signing key.
    pub fn signing_key(&self) -> Result<SigningKey, HomeError> {
        self.key("identity.key", self.myself.key())
    }

    /// The key that an owner's broker signs with.
    pub fn broker_key(&self) -> Result<SigningKey, HomeError> {
        match self.myself.broker_key() {
            Some(public) => self.key("broker.key", public),
            None => Err(HomeError::WrongRole {
                path: self.path.clone(),
                expected: Role::Owner,
                found: self.role(),
            }),
        }
    }

    fn key(&self, name: &str, public: &PublicKey) -> Result<SigningKey, HomeError> {
        let path = self.path.join(name);
        let key = SigningKey::from_pkcs8(&read_secret(&path)?).map_err(damaged(&path))?;
        if key.public() != public {
            return Err(damaged(&path)("it is not the key that enrolment.cloister names"));
        }
        Ok(key)
    }

    /// The parties that this one has accepted.
    pub fn peers(&self) -> Result<Peers, HomeError> {
        Ok(Peers::read(&self.peers_directory())?)
    }

    /// The peer of this name; the error lists those there are.
    pub fn peer(&self, name: &str) -> Result<Peer, HomeError> {
        let peers = self.peers()?;
        peers.named(name).cloned().ok_or_else(|| {
            let known: Vec<_> = peers.iter().map(|peer| peer.name().as_str()).collect();
            HomeError::NoPeer { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// Accepts a party by its enrolment. Its fingerprint ([`Peer::id`]) should have
    /// been compared over another channel. The same party again is brought up to date.
    pub fn add_peer(&self, enrolment: &[u8]) -> Result<Peer, HomeError> {
        let signed = Signed::from_bytes(enrolment.to_vec());
        let peer = Peer::open(&signed)?;
        if peer.id() == self.id() || peer.shares_authority(&self.myself) {
            return Err(HomeError::Myself);
        }
        let mut peers = self.peers()?;
        // The party's own name is taken, too: a service knows itself as a caller.
        peers.insert(self.myself.clone())?;
        peers.insert(peer.clone())?;
        let path = self.peers_directory().join(peers::file_name(peer.name()));
        write_atomically(&path, signed.as_bytes(), PUBLIC).map_err(file(&path))?;
        Ok(peer)
    }

    /// Forgets a peer. A running service refuses its next request.
    pub fn remove_peer(&self, name: &str) -> Result<(), HomeError> {
        let peer = self.peer(name)?;
        let path = self.peers_directory().join(peers::file_name(peer.name()));
        fs::remove_file(&path).map_err(file(&path))?;
        sync_directory(&self.peers_directory()).map_err(file(&path))
    }

    /// The directory of the accepted enrolments.
    #[must_use]
    pub fn peers_directory(&self) -> PathBuf {
        self.path.join("peers")
    }

    /// The certificate of this party's service, and its key.
    pub(crate) fn server_certificate(&self) -> Result<Certified, HomeError> {
        let (certificate, key) = self.certificate("server")?;
        let certificate = CertificateDer::from_pem_slice(&certificate)
            .map_err(damaged(&self.path.join("tls/server.pem")))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(damaged(&self.path.join("tls/server.key")))?;
        Ok((vec![certificate], key))
    }

    /// The certificate that this party calls with, and its key, in PEM.
    pub(crate) fn client_certificate(&self) -> Result<CertifiedPem, HomeError> {
        self.certificate("client")
    }

    fn certificate(&self, name: &str) -> Result<CertifiedPem, HomeError> {
        let path = self.path.join(format!("tls/{name}.pem"));
        let certificate = fs::read(&path).map_err(file(&path))?;
        Ok((certificate, read_secret(&self.path.join(format!("tls/{name}.key")))?))
    }
}

/// A certificate chain and its private key.
pub(crate) type Certified = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);
/// A certificate and its private key, in PEM.
type CertifiedPem = (Vec<u8>, Zeroizing<Vec<u8>>);

/// Reads a private key, if only its owner can.
fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    let mode = fs::metadata(path).map_err(file(path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(HomeError::KeyMode { path: path.to_owned(), mode });
    }
    Ok(Zeroizing::new(fs::read(path).map_err(file(path))?))
}

fn file(path: &Path) -> impl Fn(io::Error) -> HomeError + use<> {
    let path = path.to_owned();
    move |source| HomeError::File { path: path.clone(), source }
}

fn damaged<E: ToString>(path: &Path) -> impl Fn(E) -> HomeError + use<E> {
    let path = path.to_owned();
    move |why| HomeError::Damaged { path: path.clone(), why: why.to_string() }
}
