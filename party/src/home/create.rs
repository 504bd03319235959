//! Making a party.

use std::{error::Error, fs, io, os::unix::fs::PermissionsExt, path::Path};

use cloister_protocol::{KeyId, Signed, SigningKey};
use jiff::Timestamp;
use serde_bytes::ByteBuf;

use super::{Home, HomeError, Identity, PUBLIC, damaged, file, read_secret};
use crate::{
    certificates::{Authority, Pair},
    enrolment::{self, Enrolment},
    files::{create_private_directory, sync_directory, write_atomically},
    names::{PartyName, Role, ServiceAddress},
};

const SECRET: u32 = 0o600;

/// What a party is to be.
#[derive(Clone, Debug)]
pub struct NewParty {
    /// Its role.
    pub role: Role,
    /// Its name.
    pub name: PartyName,
    /// Where others reach its service: required of owners and hosts, and of nobody else.
    pub address: Option<ServiceAddress>,
    /// What its data are about: required of owners, and of nobody else.
    pub population: Option<String>,
}

impl Home {
    /// Makes a new party in `path`, which must not exist or be empty.
    pub fn create(path: &Path, party: &NewParty) -> Result<Self, HomeError> {
        Self::create_with(path, party, |_, _| Ok(()))
    }

    /// Like [`Home::create`], with what else a home of this kind has to hold. `furnish`
    /// gets the directory under its temporary name, and the key that was made: what it
    /// writes is there as soon as the home is, or the home is not made.
    pub fn create_with(
        path: &Path,
        party: &NewParty,
        furnish: impl FnOnce(&Path, &KeyId) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<Self, HomeError> {
        check(party)?;
        let occupied = fs::read_dir(path).map(|mut entries| entries.next().is_some());
        match occupied {
            Ok(false) => {}
            Ok(true) => return Err(HomeError::Exists(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file(path)(error)),
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(file(parent))?;
        // A temporary directory goes away if anything fails.
        let new = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(file(parent))?;
        let id = write_party(new.path(), party, Timestamp::now())?;
        furnish(new.path(), &id).map_err(HomeError::Furnish)?;
        sync_directory(new.path()).map_err(file(path))?;
        fs::rename(new.path(), path).map_err(file(path))?;
        drop(new.keep());
        sync_directory(parent).map_err(file(parent))?;
        Self::open(path)
    }

    /// Makes new certificates for serving and calling, below the same authority, so
    /// that no peer notices. Services take them up when they are started again.
    pub fn renew_certificates(&self) -> Result<(), HomeError> {
        let path = self.path.join("tls/ca.key");
        let pem = read_secret(&path)?;
        let pem = std::str::from_utf8(&pem).map_err(damaged(&path))?;
        let now = Timestamp::now();
        let authority = Authority::from_key(self.role(), self.name(), pem, now)?;
        write_leaves(&self.path.join("tls"), &authority, self.identity.address.as_ref(), now)
    }
}

fn check(party: &NewParty) -> Result<(), HomeError> {
    let refuse = |why| Err(HomeError::Role { role: party.role, why });
    match (party.role.has_service(), &party.address) {
        (true, None) => return refuse("it needs the address of its service"),
        (false, Some(_)) => return refuse("it has no service, so no address"),
        _ => {}
    }
    match (party.role == Role::Owner, &party.population) {
        (true, None) => refuse("it needs the name of its population"),
        (false, Some(_)) => refuse("only an owner has a population"),
        (true, Some(text)) if !enrolment::is_population(text) => {
            refuse("a population's name has 1 to 128 bytes without control characters")
        }
        _ => Ok(()),
    }
}

fn write_party(path: &Path, party: &NewParty, now: Timestamp) -> Result<KeyId, HomeError> {
    let write = |name: &str, bytes: &[u8], mode| {
        let path = path.join(name);
        write_atomically(&path, bytes, mode).map_err(file(&path))
    };
    for name in ["tls", "peers"] {
        create_private_directory(&path.join(name)).map_err(file(path))?;
    }
    let (key, document) = SigningKey::generate()?;
    write("identity.key", &document, SECRET)?;
    let broker_key = match party.role {
        Role::Owner => {
            let (broker, document) = SigningKey::generate()?;
            write("broker.key", &document, SECRET)?;
            Some(*broker.public())
        }
        _ => None,
    };
    let authority = Authority::generate(party.role, &party.name, now)?;
    let certificate = authority.certificate()?;
    write("tls/ca.pem", certificate.pem().as_bytes(), PUBLIC)?;
    write("tls/ca.key", authority.key().as_bytes(), SECRET)?;
    write_leaves(&path.join("tls"), &authority, party.address.as_ref(), now)?;
    let enrolment = Enrolment {
        version: enrolment::VERSION,
        role: party.role,
        name: party.name.clone(),
        key: *key.public(),
        broker_key,
        population: party.population.clone(),
        tls_ca: ByteBuf::from(certificate.der().to_vec()),
        address: party.address.clone(),
    };
    write("enrolment.cloister", Signed::sign(&enrolment, &key)?.as_bytes(), PUBLIC)?;
    let identity = Identity {
        role: party.role,
        name: party.name.clone(),
        address: party.address.clone(),
        population: party.population.clone(),
        created: now,
    };
    let toml = toml::to_string(&identity).map_err(damaged(&path.join("identity.toml")))?;
    write("identity.toml", toml.as_bytes(), PUBLIC)?;
    Ok(key.id())
}

fn write_leaves(
    tls: &Path,
    authority: &Authority,
    address: Option<&ServiceAddress>,
    now: Timestamp,
) -> Result<(), HomeError> {
    let write = |name: &str, pair: &Pair| {
        let (key, pem) = (tls.join(format!("{name}.key")), tls.join(format!("{name}.pem")));
        write_atomically(&key, pair.key.as_bytes(), SECRET).map_err(file(&key))?;
        write_atomically(&pem, pair.certificate.as_bytes(), PUBLIC).map_err(file(&pem))
    };
    write("client", &authority.client(now)?)?;
    match address {
        Some(address) => write("server", &authority.server(address, now)?),
        None => Ok(()),
    }
}
