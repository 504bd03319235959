//! Roles, names and addresses: checked when they are made, so that nothing that
//! holds one has to check again.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Owns data; runs a broker.
    Owner,
    /// Orders jobs and takes releases.
    Orchestrator,
    /// Runs enclaves and is trusted by nobody.
    Host,
    /// Signs compute code.
    Author,
}

impl Role {
    /// Whether a party of this role offers a service, and so has an address.
    #[must_use]
    pub const fn has_service(self) -> bool {
        matches!(self, Self::Owner | Self::Host)
    }

    /// The word for it in files and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Orchestrator => "orchestrator",
            Self::Host => "host",
            Self::Author => "author",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a name or address was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Not a name of a party.
    #[error(
        "{0:?} cannot be a party's name: use 1 to 64 ASCII letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
    )]
    Name(String),
    /// Not the address of a service.
    #[error("{text:?} is not a service's address ({why}): write https://HOST:PORT")]
    Address {
        /// What was given.
        text: String,
        /// The rule that was broken.
        why: &'static str,
    },
}

/// A party's name: also a file name, so it can neither leave its directory nor hide in it.
///
/// ```
/// use cloister_party::PartyName;
/// assert!("hospital-a".parse::<PartyName>().is_ok());
/// assert!("../hospital-a".parse::<PartyName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartyName(String);

impl PartyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PartyName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if first && rest && text.len() <= 64 { Ok(Self(text)) } else { Err(NameError::Name(text)) }
    }
}

impl FromStr for PartyName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.to_owned().try_into()
    }
}

impl From<PartyName> for String {
    fn from(name: PartyName) -> Self {
        name.0
    }
}

impl fmt::Display for PartyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a party's service is: `https://HOST:PORT`, nothing after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceAddress {
    host: String,
    port: u16,
}

impl ServiceAddress {
    /// Name or IP address of the machine, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The IP address, if the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether this is the machine itself.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl FromStr for ServiceAddress {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse_address(text).map_err(|why| NameError::Address { text: text.to_owned(), why })
    }
}

fn parse_address(text: &str) -> Result<ServiceAddress, &'static str> {
    let rest = text.strip_prefix("https://").ok_or("it does not begin with https://")?;
    let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    let port = port.parse().map_err(|_| "the port is above 65535")?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match bracketed {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
        Some(_) => return Err("what is in brackets is not an IPv6 address"),
        None if is_host(host) => host,
        None => return Err("the host is not a DNS name or address"),
    };
    Ok(ServiceAddress { host: host.to_owned(), port })
}

fn is_host(host: &str) -> bool {
    host.len() <= 253
        && host.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

impl TryFrom<String> for ServiceAddress {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ServiceAddress> for String {
    fn from(address: ServiceAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for good in ["a", "Hospital_2", "st.mary-7", &"x".repeat(64)] {
            assert_eq!(good.parse::<PartyName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "..", "../x", "a/b", "/a", ".a", "-a", "a b", "a\0", "é", &long] {
            assert_eq!(bad.parse::<PartyName>(), Err(NameError::Name(bad.into())));
        }
    }

    #[test]
    fn addresses_are_read_and_written_alike() {
        for good in ["https://localhost:7443", "https://10.0.0.1:1", "https://[::1]:7443"] {
            assert_eq!(good.parse::<ServiceAddress>().unwrap().to_string(), good);
        }
        for bad in [
            "http://a:1",
            "https://a",
            "https://a:",
            "https://:1",
            "https://a:65536",
            "https://a:1/",
            "https://a/b:1",
            "https://u@a:1",
            "https://::1:1",
            "https://[a]:1",
            "https://a b:1",
        ] {
            assert!(bad.parse::<ServiceAddress>().is_err(), "{bad}");
        }
    }
}
