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
use tokio::task::JoinHandle;
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
    /// A part that runs for as long as the host does has ended: jobs would wait for ever.
    #[error("the host's {part} has died ({why}): start the host again, and report this")]
    Died {
        /// Which part.
        part: &'static str,
        /// What is known of it.
        why: String,
    },
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
    let (enclave, mut supervisor) = Enclave::supervise(launcher, deadlines);

    let home = Arc::new(home);
    let runner = Runner {
        home: home.clone(),
        queue: queue.clone(),
        store: store.clone(),
        enclave: enclave.clone(),
        deadlines,
    };
    let mut running = tokio::spawn(runner.run(stop.clone()));
    let api = Api::new(home, store, queue, enclave.clone(), config.platform().to_owned());
    listening(service.local_address());
    let serving = async {
        let served = service.run(api.router(), stop.clone().cancelled_owned()).await;
        stop.cancel();
        served
    };
    let watching = async {
        let died = first_death(&stop, &mut running, &mut supervisor).await;
        stop.cancel();
        died
    };
    // Whatever ends one ends the other, and then the rest, the enclave last.
    let (served, died) = tokio::join!(serving, watching);
    finish(running).await;
    enclave.stop().await;
    finish(supervisor).await;
    died.map_or(Ok(served?), Err)
}

/// Waits until the host is told to stop, or a task ends without that.
async fn first_death(
    stop: &CancellationToken,
    runner: &mut JoinHandle<()>,
    supervisor: &mut JoinHandle<()>,
) -> Option<HostError> {
    let (part, ended) = tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        ended = runner => ("runner of jobs", ended),
        ended = supervisor => ("supervisor of the enclave", ended),
    };
    let why = ended.map_or_else(|error| error.to_string(), |()| "it ended by itself".to_owned());
    tracing::error!(part, why, "part-died");
    Some(HostError::Died { part, why })
}

/// Waits for a task that was told to stop; one that has ended was waited for already.
async fn finish(task: JoinHandle<()>) {
    if !task.is_finished() {
        let _ = task.await;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_is_named_and_one_that_was_stopped_is_not() {
        let stop = CancellationToken::new();
        let forever = || tokio::spawn(std::future::pending::<()>());
        let (mut runner, mut supervisor) = (tokio::spawn(async { panic!("of a test") }), forever());
        let died = first_death(&stop, &mut runner, &mut supervisor).await.unwrap().to_string();
        assert!(died.contains("runner of jobs") && died.contains("of a test"), "{died}");
        let (mut runner, mut supervisor) = (forever(), tokio::spawn(async {}));
        let died = first_death(&stop, &mut runner, &mut supervisor).await.unwrap().to_string();
        assert!(died.contains("supervisor of the enclave"), "{died}");
        let (mut runner, mut supervisor) = (forever(), tokio::spawn(async {}));
        stop.cancel();
        assert!(first_death(&stop, &mut runner, &mut supervisor).await.is_none());
    }
}
