//! `cloister-host --home DIR`

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use cloister_party::{
    Home, Role,
    daemon::{self, Log},
};
use tokio_util::sync::CancellationToken;

/// Holds sealed data, runs an enclave, and carries messages between the owners'
/// brokers, the enclave and orchestrators. It cannot read what is sealed.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example:\n  cloister-host --home ~/cloister/host\n\nThe home is made by `cloister host init`; host.toml in it says where to listen and which\nenclave to run."
)]
struct Arguments {
    /// The host's home directory
    #[arg(long, required = true)]
    home: Option<PathBuf>,
    #[command(flatten)]
    log: Log,
    #[command(subcommand)]
    command: Option<Internal>,
}

#[derive(Subcommand)]
enum Internal {
    /// Becomes an enclave's process that dies with its parent; used by the host itself
    #[command(hide = true)]
    Launch {
        /// The parent's process id
        parent: u32,
        /// The program to become
        command: OsString,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// How long threads that block may go on after the end.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    daemon::main("cloister-host", run)
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(Internal::Launch { parent, command, arguments }) = arguments.command {
        return Err(cloister_host::launch::become_child(parent, &command, &arguments).into());
    }
    let home = arguments.home.context("--home is needed: the host's home directory")?;
    arguments.log.start();
    let home = Home::open_as(&home, Role::Host)?;
    let wrapper = std::env::current_exe().context("this program cannot find itself")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signalled = stop.clone();
        tokio::spawn(async move {
            daemon::asked_to_stop().await;
            signalled.cancel();
        });
        let listening = |address| println!("cloister-host listens on https://{address}");
        cloister_host::daemon::run(home, wrapper, listening, stop).await
    });
    // A thread that reads a large dataset or waits for a broker does not hold it up.
    runtime.shutdown_timeout(GRACE);
    Ok(ended?)
}
