//! Parties in temporary directories, and a service that says who called.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    http::StatusCode,
    routing::{get, post, put},
};
use cloister_party::{Cbor, Client, Home, NewParty, Peer, Refused, Role, Server};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::oneshot};

/// A party of this role whose service, if it has one, is at a free port of this machine.
pub fn party(root: &Path, role: Role, name: &str) -> Home {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    party_at(root, role, name, port)
}

/// A party whose service, if it has one, is at this port.
pub fn party_at(root: &Path, role: Role, name: &str, port: u16) -> Home {
    let address = role.has_service().then(|| format!("https://127.0.0.1:{port}").parse().unwrap());
    let population = (role == Role::Owner).then(|| "patients".to_owned());
    let party = NewParty { role, name: name.parse().unwrap(), address, population };
    Home::create(&root.join(name), &party).unwrap()
}

/// `home` accepts `other`.
pub fn accept(home: &Home, other: &Home) -> Peer {
    home.add_peer(other.enrolment().as_bytes()).unwrap()
}

/// A running service; stops when dropped.
pub struct Service {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
    _stop: oneshot::Sender<()>,
}

impl Service {
    /// Runs the service of `home` where its enrolment says.
    pub fn start(home: &Home) -> Self {
        let port = home.identity().address.as_ref().unwrap().port();
        let runtime = Runtime::new().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = runtime.block_on(Server::bind(address, home)).unwrap();
        let server = server.with_handshake_time(Duration::from_millis(300));
        let (stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(server.run(router(), async move {
            let _ = stopped.await;
        }));
        Self { address, runtime: Some(runtime), _stop: stop }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

fn router() -> Router {
    Router::new()
        .route("/who", get(who))
        .route("/twice", post(|body: Bytes| async move { twice(&body) }))
        .route("/sum", put(|body: Bytes| async move { sum(&body) }))
        .route("/no", get(no).put(no))
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
}

async fn who(peer: Peer) -> Json<Value> {
    Json(json!({ "name": peer.name(), "role": peer.role(), "id": peer.id().to_string() }))
}

fn twice(body: &[u8]) -> Result<Cbor<u64>, Refused> {
    Ok(Cbor(cloister_party::reply::read_cbor::<u64>(body, 16)? * 2))
}

fn sum(body: &[u8]) -> Json<Value> {
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    Json(json!({ "length": body.len(), "sum": sum }))
}

async fn no() -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "not-today", "come back tomorrow")
}

/// Who the service of `peer` says that `home` is.
pub fn ask_who(home: &Home, peer: &Peer) -> Result<String, cloister_party::ClientError> {
    let who: Value = Client::new(home, peer)?.get_json("/who")?;
    Ok(who["name"].as_str().unwrap().to_owned())
}
