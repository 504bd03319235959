//! Reaching an enclave.

use std::{future::Future, io, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockStream};

use crate::{Address, Link, LinkError, hybrid};

/// Connects to the enclave at `address` within `patience`, which is also how long
/// the link waits for the peer in every later step (see [`Link::set_patience`]).
pub async fn connect(address: &Address, patience: Duration) -> Result<Link, LinkError> {
    match address {
        Address::Vsock { cid: VMADDR_CID_ANY, .. } => {
            let source = io::Error::new(
                io::ErrorKind::InvalidInput,
                "that is an address to listen on; name the enclave's CID",
            );
            Err(LinkError::Connect { address: address.to_string(), source })
        }
        Address::Vsock { cid, port } => {
            let vsock = VsockStream::connect(VsockAddr::new(*cid, *port));
            Ok(Link::over(open(address, patience, vsock).await?, patience))
        }
        Address::Unix(path) => {
            let mut unix = open(address, patience, UnixStream::connect(path)).await?;
            timeout(patience, hybrid::call(&mut unix))
                .await
                .map_err(|_| LinkError::Stalled { doing: "the handshake", patience })??;
            Ok(Link::over(unix, patience))
        }
        Address::Tcp { host, port } => {
            let connecting = TcpStream::connect((host.as_str(), *port));
            let tcp = open(address, patience, connecting).await?;
            tcp.set_nodelay(true).map_err(LinkError::Io)?;
            Ok(Link::over(tcp, patience))
        }
    }
}

async fn open<S>(
    address: &Address,
    patience: Duration,
    connecting: impl Future<Output = io::Result<S>>,
) -> Result<S, LinkError> {
    match timeout(patience, connecting).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(source)) => Err(LinkError::Connect { address: address.to_string(), source }),
        Err(_) => Err(LinkError::Stalled { doing: "connecting", patience }),
    }
}
