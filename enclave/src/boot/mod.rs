//! From the command line to a listening enclave.

mod arguments;

pub use arguments::{Arguments, HELP, Platform, UsageError};

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use cloister_link::{Address, Listener};
use thiserror::Error;

use crate::{
    attester::{Attester, AttesterError, Simulated},
    events,
    rounds::Workshop,
    serve::{Enclave, PATIENCE},
};

/// Why the enclave does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BootError {
    /// The platform cannot vouch for this program.
    #[error("{0}")]
    Attester(#[from] AttesterError),
    /// The address cannot be listened on.
    #[error("{0}")]
    Listen(#[from] cloister_link::LinkError),
    /// No asynchronous runtime.
    #[error("the runtime does not start: {0}")]
    Runtime(#[source] std::io::Error),
    /// The program does not find itself.
    #[error("this program's own path is not known ({0}): mount /proc")]
    Program(#[source] std::io::Error),
}

/// Listens, and serves until the process is ended.
///
/// # Errors
///
/// [`BootError`].
pub fn serve(
    listen: &Address,
    platform: &Platform,
    workers: Option<usize>,
) -> Result<(), BootError> {
    events::install();
    no_core_dumps();
    let attester: Box<dyn Attester> = match platform {
        Platform::Simulated { vendor } => Box::new(Simulated::open(vendor)?),
    };
    let program = env::current_exe().map_err(BootError::Program)?;
    let enclave = Enclave::new(attester, workshop(program, workers));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(BootError::Runtime)?.block_on(async {
        let listener = Listener::bind(listen, PATIENCE).await?;
        enclave.serve(listener).await;
        Ok(())
    })
}

/// Workers that are `program` itself, as many as there are processors unless told.
#[must_use]
pub fn workshop(program: PathBuf, workers: Option<usize>) -> Workshop {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Workshop::new(workers.unwrap_or(processors), move || {
        let mut command = Command::new(&program);
        command.arg("worker");
        command
    })
}

/// Makes a simulated vendor.
///
/// # Errors
///
/// [`BootError`].
pub fn make_vendor(directory: &Path) -> Result<(), BootError> {
    Ok(Simulated::create(directory)?)
}

/// The measurements of this program on the simulated platform, in TOML.
///
/// # Errors
///
/// [`BootError`].
pub fn measure(vendor: &Path) -> Result<String, BootError> {
    Ok(Simulated::open(vendor)?.measurements())
}

/// Memory with rows in it must not be written anywhere when the process crashes.
fn no_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, none);
}
