//! An HTTP service that knows which peer calls.
//!
//! Every handler can take a [`Peer`]: the enrolled party whose certificate opened
//! the connection. Connections without one never reach a handler. Enrolments that
//! are added or removed count from the next handshake and the next request.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, FromRequestParts, Request, State, connect_info::Connected},
    http::{StatusCode, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::{IncomingStream, Listener},
};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    home::Home,
    peers::Peer,
    reply::Refused,
    tls::{Doorkeeper, TlsError},
};

/// How long a caller may take for the TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many handshakes may be under way; more callers wait in the system's queue.
const HANDSHAKES: usize = 256;
/// How long requests under way may take to end after the service was told to stop.
pub const GRACE: Duration = Duration::from_secs(5);

/// Why a service cannot run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another service running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The home's certificates or peers cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The service ended by itself.
    #[error("the service failed: {0}")]
    Io(#[from] io::Error),
}

/// Serves `router` at `address` as the party of `home`, until `shutdown` is done.
pub async fn serve(
    address: SocketAddr,
    router: Router,
    home: &Home,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    Server::bind(address, home).await?.run(router, shutdown).await
}

/// A service that listens and does not yet answer.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    door: Arc<Doorkeeper>,
    handshake: Duration,
}

impl Server {
    /// Listens on `address` as the party of `home`.
    pub async fn bind(address: SocketAddr, home: &Home) -> Result<Self, ServeError> {
        let door = Arc::new(Doorkeeper::new(home)?);
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address, door, handshake: HANDSHAKE })
    }

    /// The address in use: a port 0 has become the one the system chose.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Gives callers another time than [`HANDSHAKE`] for the handshake.
    #[must_use]
    pub fn with_handshake_time(mut self, time: Duration) -> Self {
        self.handshake = time;
        self
    }

    /// Answers until `shutdown` is done, and then for at most [`GRACE`].
    pub async fn run(
        self,
        router: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let door = self.door.clone();
        let service = router
            .layer(middleware::from_fn_with_state(door, admit))
            .into_make_service_with_connect_info::<Caller>();
        let (told, stopping) = oneshot::channel();
        let shutdown = async move {
            shutdown.await;
            let _ = told.send(());
        };
        let serving = axum::serve(Callers::new(self), service).with_graceful_shutdown(shutdown);
        tokio::select! {
            ended = async { serving.await } => Ok(ended?),
            () = async {
                // An error means that the service ended by itself: the other branch tells.
                if stopping.await.is_err() { std::future::pending::<()>().await; }
                sleep(GRACE).await;
            } => Ok(()),
        }
    }
}

/// Who opened a connection, and from where.
#[derive(Clone, Debug)]
struct Caller {
    peer: Option<Peer>,
    address: SocketAddr,
}

impl Connected<IncomingStream<'_, Callers>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Callers>) -> Self {
        stream.remote_addr().clone()
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Self>().cloned().ok_or_else(not_enrolled)
    }
}

/// Puts the caller into the request, if it is (still) enrolled exactly as it was at the handshake.
async fn admit(
    State(door): State<Arc<Doorkeeper>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let gate = match door.gate() {
        Ok(gate) => gate,
        Err(error) => {
            tracing::error!(%error, "peers cannot be read");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Refused::new(status, "peers-unreadable", "this service cannot read its peers")
                .into_response();
        }
    };
    match caller.peer {
        Some(peer) if gate.knows(&peer) => {
            request.extensions_mut().insert(peer);
            next.run(request).await
        }
        _ => {
            tracing::warn!(from = %caller.address, "caller is no longer enrolled");
            not_enrolled().into_response()
        }
    }
}

fn not_enrolled() -> Refused {
    let message = "the caller is not enrolled here: ask this party to add the caller's enrolment";
    Refused::new(StatusCode::FORBIDDEN, "not-enrolled", message)
}

/// Connections whose handshake is done, made by a task that goes with this.
struct Callers {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, Caller)>,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl Callers {
    fn new(server: Server) -> Self {
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        let address = server.address;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(server, sender));
        Self { ready, address, _accepting: accepting }
    }
}

impl Listener for Callers {
    type Io = TlsStream<TcpStream>;
    type Addr = Caller;

    async fn accept(&mut self) -> (Self::Io, Caller) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task ends only when the runtime does.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(Caller { peer: None, address: self.address })
    }
}

async fn accept(server: Server, ready: mpsc::Sender<(TlsStream<TcpStream>, Caller)>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    let mut handshakes = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        while handshakes.try_join_next().is_some() {}
        let (socket, address) = match server.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, say: it does not help to try again at once.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (door, ready, time) = (server.door.clone(), ready.clone(), server.handshake);
        handshakes.spawn(async move {
            let _place = place;
            match timeout(time, shake_hands(socket, address, &door)).await {
                Ok(Ok(connection)) => drop(ready.send(connection).await),
                Ok(Err(error)) => tracing::info!(from = %address, %error, "caller refused"),
                Err(_) => tracing::info!(from = %address, "caller stalled in the handshake"),
            }
        });
    }
}

async fn shake_hands(
    socket: TcpStream,
    address: SocketAddr,
    door: &Doorkeeper,
) -> io::Result<(TlsStream<TcpStream>, Caller)> {
    socket.set_nodelay(true)?;
    let gate = door.gate().map_err(io::Error::other)?;
    let stream = TlsAcceptor::from(gate.config.clone()).accept(socket).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let peer = gate
        .identify(chain)
        .ok_or_else(|| io::Error::other("its certificate belongs to no peer"))?;
    Ok((stream, Caller { peer: Some(peer), address }))
}
