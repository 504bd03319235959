//! Where an enclave is reached.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;
use tokio_vsock::VMADDR_CID_ANY;

/// Where an enclave is reached, or where it listens.
///
/// | written | meaning |
/// |---|---|
/// | `vsock://CID:PORT` | `AF_VSOCK`; what a host connects to |
/// | `vsock:PORT` | `AF_VSOCK` on every CID; what an enclave listens on |
/// | `unix:PATH` | a Unix socket with the hybrid handshake (`CONNECT port`, `OK n`) of Firecracker, Cloud Hypervisor and vhost-device-vsock |
/// | `tcp://HOST:PORT` | TCP, for confidential VMs without vsock; `tcp:HOST:PORT` is read, too |
///
/// ```
/// use cloister_link::Address;
/// let address: Address = "vsock://16:5005".parse().unwrap();
/// assert_eq!(address, Address::Vsock { cid: 16, port: 5005 });
/// assert_eq!(address.to_string(), "vsock://16:5005");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `AF_VSOCK`.
    Vsock {
        /// Context id of the enclave; `VMADDR_CID_ANY` when listening.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// A Unix socket that speaks the hybrid handshake.
    Unix(PathBuf),
    /// TCP.
    Tcp {
        /// Name or address; an IPv6 address without its brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Why a text is not an [`Address`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{text:?} is not an enclave's address ({why}): write vsock://CID:PORT, vsock:PORT (to listen), unix:PATH or tcp://HOST:PORT"
)]
pub struct AddressError {
    text: String,
    why: &'static str,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|why| AddressError { text: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    let (scheme, rest) = text.split_once(':').ok_or("there is no scheme")?;
    match scheme {
        "unix" if rest.is_empty() => Err("the path is missing"),
        "unix" if rest.contains('\0') => Err("the path has a zero byte"),
        "unix" => Ok(Address::Unix(rest.into())),
        "vsock" => match rest.strip_prefix("//") {
            None => Ok(Address::Vsock { cid: VMADDR_CID_ANY, port: number(rest)? }),
            Some(rest) => {
                let (cid, port) = rest.split_once(':').ok_or("the port is missing")?;
                Ok(Address::Vsock { cid: number(cid)?, port: number(port)? })
            }
        },
        "tcp" => {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
            let port = u16::try_from(number(port)?).map_err(|_| "the port is above 65535")?;
            Ok(Address::Tcp { host: bare_host(host)?.to_owned(), port })
        }
        _ => Err("the scheme is unknown"),
    }
}

/// Decimal digits only: no sign, no blanks.
fn number(text: &str) -> Result<u32, &'static str> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a number is expected");
    }
    text.parse().map_err(|_| "a number is too large")
}

/// Takes the brackets from an IPv6 address, and refuses it without them.
fn bare_host(host: &str) -> Result<&str, &'static str> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => Ok(inner),
        Some(_) => Err("what is in brackets is not an IPv6 address"),
        None if host.is_empty() => Err("the host is missing"),
        None if host.contains([':', '/', '[', ']']) => Err("the host is not a name or address"),
        None => Ok(host),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock { cid: VMADDR_CID_ANY, port } => write!(f, "vsock:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock://{cid}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_every_kind() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        for (text, address, again) in [
            ("vsock://3:5005", Address::Vsock { cid: 3, port: 5005 }, "vsock://3:5005"),
            ("vsock:5005", Address::Vsock { cid: VMADDR_CID_ANY, port: 5005 }, "vsock:5005"),
            ("unix:/run/e.sock", Address::Unix("/run/e.sock".into()), "unix:/run/e.sock"),
            ("unix:e.sock", Address::Unix("e.sock".into()), "unix:e.sock"),
            ("tcp://127.0.0.1:80", tcp("127.0.0.1", 80), "tcp://127.0.0.1:80"),
            ("tcp:[::1]:80", tcp("::1", 80), "tcp://[::1]:80"),
            ("tcp:example.org:80", tcp("example.org", 80), "tcp://example.org:80"),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), again, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else_and_says_what_to_write() {
        for text in [
            "",
            "vsock",
            "vsock:",
            "vsock://3",
            "vsock://3:",
            "vsock://:5",
            "vsock://-1:5",
            "vsock://+1:5",
            "vsock://4294967296:5",
            "vsock://3:5:6",
            "unix:",
            "unix:a\0b",
            "tcp://host",
            "tcp://:80",
            "tcp://host:65536",
            "tcp://host: 80",
            "tcp://::1:80",
            "tcp://[host]:80",
            "tcp://a/b:80",
            "http://host:80",
            "/run/e.sock",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("vsock://CID:PORT"), "{text}");
        }
    }
}
