//! The homes of parties, as commands need them.

use std::path::Path;

use cloister_broker::vault::Vault;
use cloister_party::{Client, Home, Role};
use cloister_protocol::{
    Id, KeyId, SigningKey,
    dataset::{DataKey, DatasetManifest, Population},
    release::DatasetProof,
};

use crate::error::{Error, Result};

/// An owner's home, with its key at hand.
pub struct OwnerHome {
    /// The home.
    pub home: Home,
    /// The owner's signing key.
    pub key: SigningKey,
    /// The key that the owner's broker signs grants with.
    pub broker: KeyId,
}

impl OwnerHome {
    /// Opens an owner's home.
    pub fn open(path: &Path) -> Result<Self> {
        let home = Home::open_as(path, Role::Owner).map_err(Error::failed)?;
        let key = home.signing_key().map_err(Error::failed)?;
        let broker = home.myself().broker_key().map(cloister_protocol::PublicKey::id);
        let broker = broker.ok_or_else(|| Error::failed("the home has no broker's key"))?;
        Ok(Self { home, key, broker })
    }

    /// Whom the owner's data is about.
    pub fn population(&self) -> Result<Population> {
        let population = self.home.identity().population.clone();
        population.ok_or_else(|| {
            Error::failed(format!("{}: no population in identity.toml", self.home.path().display()))
        })
    }

    /// Keeps the key of a sealed dataset, for the broker alone, and its public part.
    pub fn keep(&self, key: &DataKey, proof: &DatasetProof) -> Result<Id<DatasetManifest>> {
        Vault::new(self.home.path()).keep(key, proof).map_err(Error::failed)
    }
}

/// A client of the host that `home` knows by this name.
pub fn host(home: &Home, name: &str) -> Result<Client> {
    let peer = home.peer(name).map_err(Error::failed)?;
    if peer.role() != Role::Host {
        return Err(Error::failed(format!("{name} is an {}, not a host", peer.role())));
    }
    Client::new(home, &peer).map_err(Error::failed)
}
