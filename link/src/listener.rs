//! Waiting for the host, inside the enclave.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_vsock::{VsockAddr, VsockListener};

use crate::{Address, Link, LinkError, hybrid, link::Socket};

/// Unix handshakes in progress; more callers wait in the system's queue.
const HANDSHAKES: usize = 64;

/// Accepts links. A caller that stalls in its handshake keeps nobody else waiting.
pub struct Listener {
    kind: Kind,
    patience: Duration,
    handshakes: JoinSet<Result<UnixStream, LinkError>>,
}

enum Kind {
    Vsock(VsockListener),
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens on `address`; links accepted begin with this `patience`.
    ///
    /// A Unix socket that nobody listens on any more is replaced, one that is in use
    /// is not; it is made accessible to its owner only.
    pub async fn bind(address: &Address, patience: Duration) -> Result<Self, LinkError> {
        let refuse = |source| LinkError::Listen { address: address.to_string(), source };
        let kind = match address {
            Address::Vsock { cid, port } => {
                Kind::Vsock(VsockListener::bind(VsockAddr::new(*cid, *port)).map_err(refuse)?)
            }
            Address::Unix(path) => Kind::Unix(bind_unix(path).await.map_err(refuse)?, path.clone()),
            Address::Tcp { host, port } => {
                Kind::Tcp(TcpListener::bind((host.as_str(), *port)).await.map_err(refuse)?)
            }
        };
        Ok(Self { kind, patience, handshakes: JoinSet::new() })
    }

    /// The address in use: a TCP port 0 has become the one the system chose.
    pub fn address(&self) -> Result<Address, LinkError> {
        match &self.kind {
            Kind::Vsock(vsock) => {
                let local = vsock.local_addr().map_err(LinkError::Io)?;
                Ok(Address::Vsock { cid: local.cid(), port: local.port() })
            }
            Kind::Unix(_, path) => Ok(Address::Unix(path.clone())),
            Kind::Tcp(tcp) => {
                let local = tcp.local_addr().map_err(LinkError::Io)?;
                Ok(Address::Tcp { host: local.ip().to_string(), port: local.port() })
            }
        }
    }

    /// The next link whose handshake is done; failed handshakes are dropped.
    /// Dropping this future loses no connection.
    pub async fn accept(&mut self) -> Result<Link, LinkError> {
        loop {
            let busy = self.handshakes.len() >= HANDSHAKES;
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Ok(unix)) = done {
                        return Ok(Link::over(unix, self.patience));
                    }
                }
                accepted = accept(&self.kind), if !busy => match accepted {
                    Ok(Accepted::Unix(unix)) => { self.handshakes.spawn(greet(unix, self.patience)); }
                    Ok(Accepted::Ready(socket)) => return Ok(Link::over(socket, self.patience)),
                    Err(error) => {
                        // The cause (no descriptors, say) does not go away at once.
                        sleep(Duration::from_millis(100)).await;
                        return Err(LinkError::Accept(error));
                    }
                },
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix(_, path) = &self.kind {
            // A leftover would be replaced by the next listener anyway.
            let _ = fs::remove_file(path);
        }
    }
}

enum Accepted {
    Unix(UnixStream),
    Ready(Box<dyn Socket>),
}

async fn accept(kind: &Kind) -> io::Result<Accepted> {
    match kind {
        Kind::Vsock(vsock) => Ok(Accepted::Ready(Box::new(vsock.accept().await?.0))),
        Kind::Unix(unix, _) => Ok(Accepted::Unix(unix.accept().await?.0)),
        Kind::Tcp(tcp) => {
            let socket = tcp.accept().await?.0;
            socket.set_nodelay(true)?;
            Ok(Accepted::Ready(Box::new(socket)))
        }
    }
}

async fn greet(mut unix: UnixStream, patience: Duration) -> Result<UnixStream, LinkError> {
    timeout(patience, hybrid::answer(&mut unix))
        .await
        .map_err(|_| LinkError::Stalled { doing: "the handshake", patience })??;
    Ok(unix)
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)?;
            }
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
