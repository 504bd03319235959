//! `cloister-host --home DIR`

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use cloister_party::{Home, Role};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Holds sealed data, runs an enclave, and carries messages between the owners'
/// brokers, the enclave and orchestrators. It cannot read what is sealed.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example:\n  cloister-host --home ~/cloister/host\n\nThe home is made by `cloister host init`; host.toml in it says where to listen and which\nenclave to run. Logs go to standard error; CLOISTER_LOG=debug shows more."
)]
struct Arguments {
    /// The host's home directory
    #[arg(long, required = true)]
    home: Option<PathBuf>,
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let usage = cloister_party::one_line_usage(&error.render().to_string());
            eprintln!("cloister-host: {usage}");
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloister-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(Internal::Launch { parent, command, arguments }) = arguments.command {
        return Err(cloister_host::launch::become_child(parent, &command, &arguments).into());
    }
    let home = arguments.home.context("--home is needed: the host's home directory")?;
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("CLOISTER_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let home = Home::open_as(&home, Role::Host)?;
    let wrapper = std::env::current_exe().context("this program cannot find itself")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        let listening = |address| println!("cloister-host listens on https://{address}");
        cloister_host::daemon::run(home, wrapper, listening, stop).await
    });
    // A thread that reads a large dataset or waits for a broker does not hold it up.
    runtime.shutdown_timeout(GRACE);
    Ok(ended?)
}

/// SIGTERM or SIGINT: stop taking requests, end the enclave, leave.
async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals-unavailable");
        return;
    };
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "stopping");
    stop.cancel();
}
