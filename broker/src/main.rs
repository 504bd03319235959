//! `cloister-broker`: serves one owner's home.

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use cloister_broker::{
    Broker, HomeLock, Vault,
    service::{self, Surroundings, System},
};
use cloister_party::{
    Home, Role, Server,
    daemon::{self, Log},
};

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
    #[command(flatten)]
    log: Log,
}

fn main() -> ExitCode {
    daemon::main("cloister-broker", run)
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.log.start();
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
    runtime.block_on(serve(arguments.listen, &home, broker))
}

async fn serve(listen: SocketAddr, home: &Home, broker: Broker) -> anyhow::Result<()> {
    let server = Server::bind(listen, home).await?;
    let address = server.local_address();
    let ledger_head = broker.ledger().head()?;
    let (owner, version) = (home.name(), env!("CARGO_PKG_VERSION"));
    tracing::info!(%owner, %address, version, ?ledger_head, "broker ready");
    // Scripts wait for this line.
    let mut output = std::io::stdout();
    writeln!(output, "listening on {address}").and_then(|()| output.flush())?;
    server.run(service::router(broker, System), daemon::asked_to_stop()).await?;
    Ok(())
}
