//! What the programs that keep running do alike: read arguments, log, stop.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Args, Parser};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Runs a program with its arguments. It ends with 2 for wrong arguments and with 1 if
/// `run` fails; either is said in one line on standard error that begins with `name`.
pub fn main<A: Parser, E: Display>(name: &str, run: impl FnOnce(A) -> Result<(), E>) -> ExitCode {
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            eprintln!("{name}: {}", crate::one_line_usage(&error.render().to_string()));
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is logged, and how. Logs go to standard error.
#[derive(Args)]
pub struct Log {
    /// Write the log as JSON lines
    #[arg(long)]
    json: bool,
    /// What to log: error, warn, info, debug or trace, or one for each module as in
    /// `warn,cloister_host=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "CLOISTER_LOG")]
    log: Targets,
}

impl Log {
    /// Logs from now on, in the whole process; to be called once.
    pub fn start(self) {
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
        let registry = tracing_subscriber::registry().with(self.log);
        if self.json {
            registry.with(lines.json()).init();
        } else {
            registry.with(lines.with_ansi(io::stderr().is_terminal())).init();
        }
    }
}

/// Waits until somebody asks the process to stop, by SIGTERM or SIGINT.
pub async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Better to serve and be killed in the end than not to serve.
        tracing::error!("signals-unavailable");
        return std::future::pending().await;
    };
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "stopping");
}
