//! `cloister-broker`: serves one owner's home.

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use cloister_broker::{
    Broker, HomeLock, Vault,
    service::{self, Surroundings, System},
};
use cloister_party::{Home, Role, Server};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Grants the keys of one owner's sealed datasets, to enclaves that its policy approves.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  cloister-broker --home ~/hospital --listen 0.0.0.0:7443"
)]
struct Arguments {
    /// The owner's home, made by `cloister owner init`
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// Where hosts connect; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Write the log as JSON lines
    #[arg(long)]
    json: bool,
    /// What to log: error, warn, info, debug, or tracing directives
    #[arg(long, value_name = "FILTER", default_value = "info", env = "CLOISTER_LOG")]
    log: String,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let usage = cloister_party::one_line_usage(&error.render().to_string());
            eprintln!("cloister-broker: {usage}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloister-broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log).context("--log")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if arguments.json {
        log.json().init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
    let home = Home::open_as(&arguments.home, Role::Owner)?;
    // Until the process ends.
    let _lock = HomeLock::take(home.path())?;
    let broker =
        Broker::open(Vault::new(home.path()), *home.id(), home.broker_key()?, System.now())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(arguments, &home, broker))
}

async fn serve(arguments: &Arguments, home: &Home, broker: Broker) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let server = Server::bind(arguments.listen, home).await?;
    let address = server.local_address();
    let ledger_head = broker.ledger().head()?;
    let (owner, version) = (home.name(), env!("CARGO_PKG_VERSION"));
    tracing::info!(%owner, %address, version, ?ledger_head, "broker ready");
    // Scripts wait for this line.
    let mut output = std::io::stdout();
    writeln!(output, "listening on {address}").and_then(|()| output.flush())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        tracing::info!("stopping");
    };
    server.run(service::router(broker, System), stop).await?;
    Ok(())
}
