//! From the command line to a listening enclave.

mod arguments;
mod simulated;

pub use arguments::{Arguments, UsageError, help};

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use cloister_link::{Address, Listener};
use thiserror::Error;

use crate::{
    attester::{self, AttesterError, Platform},
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
    /// How much memory there is cannot be read.
    #[error("the memory of this machine is not known: mount /proc")]
    Memory,
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
    let attester = attester::open(platform)?;
    let program = env::current_exe().map_err(BootError::Program)?;
    let enclave = Enclave::new(attester, workshop(program, workers)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(BootError::Runtime)?.block_on(async {
        let listener = Listener::bind(listen, PATIENCE).await?;
        enclave.serve(listener).await;
        Ok(())
    })
}

/// Workers that are `program` itself, as many as there are processors unless told.
///
/// # Errors
///
/// [`BootError::Memory`].
pub fn workshop(program: PathBuf, workers: Option<usize>) -> Result<Workshop, BootError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = memory().ok_or(BootError::Memory)?;
    Ok(Workshop::new(workers.unwrap_or(processors), memory, move || {
        let mut command = Command::new(&program);
        command.arg("worker");
        command
    }))
}

/// Bytes of memory of this machine, which inside a TEE is the enclave.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Makes a simulated vendor.
///
/// # Errors
///
/// [`BootError`], always without the simulated platform.
pub fn make_vendor(directory: &Path) -> Result<(), BootError> {
    Ok(simulated::create(directory)?)
}

/// The measurements of this program on the simulated platform, in TOML.
///
/// # Errors
///
/// [`BootError`], always without the simulated platform: other platforms measure images,
/// from outside.
pub fn measure(vendor: &Path) -> Result<String, BootError> {
    Ok(simulated::measurements(vendor)?)
}

/// Memory with rows in it must not be written anywhere when the process crashes, nor be
/// read by other processes of the same user.
fn no_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // A pipe that collects core dumps ignores the limit, but not this.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, none);
}
