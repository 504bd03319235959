//! The parts, put together.

use std::{
    fs::{File, TryLockError},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use cloister_party::{Home, HomeError, ServeError, Server};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{
    Api, ConfigError, HostConfig, Runner,
    launch::{Enclave, LaunchError},
    queue::{Queue, QueueError},
    store::{Store, StoreError},
};

/// Why a host cannot run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another host runs in this home.
    #[error("another cloister-host is running in {0}: stop it first")]
    Running(PathBuf),
    /// The lock on the home.
    #[error("{path} cannot be locked: {source}")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The enclave's launcher.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The network.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs a host in `home` until `stop`. `wrapper` is the program that starts the
/// enclave (see [`crate::launch::become_child`]); `listening` is told the address once
/// callers can connect.
pub async fn run(
    home: Home,
    wrapper: PathBuf,
    listening: impl FnOnce(SocketAddr),
    stop: CancellationToken,
) -> Result<(), HostError> {
    let config = HostConfig::read(home.path())?;
    let deadlines = config.deadlines()?;
    let _lock = lock(&home)?;

    let root = home.directory("store")?;
    let database = home.file("queue.sqlite");
    let (store, queue) = crate::blocking(move || {
        let store = Store::open(&root)?;
        Ok::<_, HostError>((Arc::new(store), Queue::open(&database)?))
    })
    .await?;
    let service = Server::bind(config.listen, &home).await?;
    let launcher = config.launcher(home.path(), &home.directory("run")?, wrapper)?;
    let (enclave, supervisor) = Enclave::supervise(launcher, deadlines);

    let home = Arc::new(home);
    let runner = Runner {
        home: home.clone(),
        queue: queue.clone(),
        store: store.clone(),
        enclave: enclave.clone(),
        deadlines,
    };
    let running = tokio::spawn(runner.run(stop.clone()));
    let api = Api::new(home, store, queue, enclave.clone(), config.platform().to_owned());
    listening(service.local_address());
    let served = service.run(api.router(), stop.clone().cancelled_owned()).await;

    // Whatever ended the service ends the rest, the enclave last.
    stop.cancel();
    let _ = running.await;
    enclave.stop().await;
    let _ = supervisor.await;
    Ok(served?)
}

/// One host per home: two would take each other's jobs. The lock goes with the process.
fn lock(home: &Home) -> Result<File, HostError> {
    let path = home.file("host.lock");
    let lock = |source| HostError::Lock { path: path.clone(), source };
    let file = File::create(&path).map_err(lock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HostError::Running(home.path().to_owned())),
        Err(TryLockError::Error(source)) => Err(lock(source)),
    }
}
