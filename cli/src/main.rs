//! `cloister`: what a person types.
//!
//! A command is a file here. It returns a [`ui::Report`], a page for people and the same
//! for machines, or an [`error::Error`], which is one line that says what to do.

mod budget;
mod code;
mod collateral;
mod data;
mod enrol;
mod error;
mod files;
mod home;
mod host;
mod init;
mod interrupt;
mod policy;
mod renew;
mod run;
mod show;
mod tensors;
mod ui;
mod unit;
mod verify;

use std::process::ExitCode;

use anstream::ColorChoice;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::{
    error::{Error, Result},
    ui::{Page, Report, Ui},
};

/// Train on data that nobody may see
///
/// An owner's rows stay sealed until they are inside an enclave whose code and task the
/// owner has approved; what comes out is an aggregate with a privacy cost.
#[derive(Debug, Parser)]
#[command(
    name = "cloister",
    version,
    max_term_width = 90,
    after_help = "Examples:
  cloister owner init hospital-a --name hospital-a --population patients --address https://127.0.0.1:7101
  cloister data seal patients.csv --dataset dataset.toml --home hospital-a
  cloister run job.toml --home lab --host node-1
  cloister verify results --trust measurements.toml"
)]
struct Cloister {
    #[command(subcommand)]
    command: Command,
    /// One JSON object (for `run` and `follow`, one a line) instead of pages
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Nothing but errors
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, help_heading = "Output")]
    color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    /// On a terminal
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Become a data owner
    #[command(
        subcommand,
        after_help = "Example:
  cloister owner init hospital-a --name hospital-a --population patients --address https://127.0.0.1:7101"
    )]
    Owner(init::Owner),
    /// Become an orchestrator: who orders jobs
    #[command(
        subcommand,
        after_help = "Example:
  cloister orchestrator init lab --name lab"
    )]
    Orchestrator(init::Orchestrator),
    /// Become an author of compute code
    #[command(
        subcommand,
        after_help = "Example:
  cloister author init author --name acme"
    )]
    Author(init::Author),
    /// Become a host: who runs enclaves and is trusted by nobody
    #[command(
        subcommand,
        after_help = "Example:
  cloister host init node-1 --name node-1 --address https://127.0.0.1:7201 \\
      --enclave cloister-enclave --vendor vendor"
    )]
    Host(init::Host),
    Enrol(enrol::Enrol),
    Renew(renew::Renew),
    /// Seal tables, and bring them to a host
    #[command(
        subcommand,
        after_help = "Example:
  cloister data seal patients.csv --dataset dataset.toml --home hospital-a"
    )]
    Data(data::Data),
    /// Begin, build, sign and approve compute code
    #[command(
        subcommand,
        after_help = "Example:
  cloister code approve logistic@1.code --home hospital-a"
    )]
    Code(code::Code),
    /// Write, explain and sign the policy of an owner's data
    #[command(
        subcommand,
        after_help = "Example:
  cloister policy check --home hospital-a"
    )]
    Policy(policy::Policy),
    /// Say what may become known about people, and what of that is spent
    #[command(
        subcommand,
        after_help = "Example:
  cloister budget show --home hospital-a"
    )]
    Budget(budget::Budget),
    /// Keep the certificates that SEV-SNP reports are verified with
    #[command(
        subcommand,
        after_help = "Example:
  cloister collateral add vcek.der ask_ark.pem --to certificates"
    )]
    Collateral(collateral::Command),
    Run(run::Run),
    Follow(run::follow::Follow),
    Jobs(run::jobs::Jobs),
    Verify(Box<verify::Verify>),
    Show(show::Show),
    /// Print completions for a shell
    #[command(after_help = "Example:
  cloister completions bash > /etc/bash_completion.d/cloister")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    // How `code test` starts this program as the worker that code runs in.
    if std::env::args_os().nth(1).is_some_and(|first| first == code::WORKER) {
        return cloister_sandbox::worker::main();
    }
    let arguments = match Cloister::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return unusable(&error),
    };
    ColorChoice::write_global(match arguments.color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    });
    let ui = Ui { json: arguments.json, quiet: arguments.quiet };
    match arguments.command.run(ui) {
        Ok(report) => {
            ui.report(&report);
            if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            if ui.json {
                ui.json_line(&json!({ "error": error.to_string() }));
            }
            anstream::eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

impl Command {
    fn run(&self, ui: Ui) -> Result<Report> {
        match self {
            Self::Owner(command) => command.run(),
            Self::Orchestrator(command) => command.run(),
            Self::Author(command) => command.run(),
            Self::Host(command) => command.run(),
            Self::Enrol(command) => command.run(),
            Self::Renew(command) => command.run(),
            Self::Data(command) => command.run(ui),
            Self::Code(command) => command.run(ui),
            Self::Policy(command) => command.run(),
            Self::Budget(command) => command.run(),
            Self::Collateral(command) => command.run(),
            Self::Run(command) => command.run(ui),
            Self::Follow(command) => command.run(ui),
            Self::Jobs(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Show(command) => command.run(ui),
            Self::Completions { shell } => Ok(completions(*shell)),
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cloister::command(), "cloister", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Report::done(Page::new().text(&script), json!({ "shell": shell.to_string(), "script": script }))
}

/// Help and versions as clap prints them; mistakes as one line of ours.
fn unusable(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => {
            let error = Error::usage(cloister_party::one_line_usage(&error.render().to_string()));
            if std::env::args_os().any(|argument| argument == "--json") {
                let ui = Ui { json: true, quiet: false };
                ui.json_line(&json!({ "error": error.to_string() }));
            }
            anstream::eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cloister::command().debug_assert();
    }

    fn each(command: &clap::Command, path: &str, visit: &mut impl FnMut(&clap::Command, &str)) {
        let path = format!("{path} {}", command.get_name());
        visit(command, path.trim());
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            each(sub, &path, visit);
        }
    }

    #[test]
    fn every_command_has_an_example_that_begins_with_it() {
        let mut count = 0;
        each(&Cloister::command(), "", &mut |command, path| {
            count += 1;
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{path} has no example");
            let example = format!("\n  {path} ");
            assert!(help.contains(&example), "{path}: no example of itself in\n{help}");
        });
        assert!(count > 25, "{count}");
    }

    /// `4b1f...` stands for 48 bytes, and after `--check`, a digest, for 64.
    fn whole((before, word): (&str, &str)) -> String {
        match word.strip_suffix("...") {
            Some(start) => {
                let digits = start.rsplit('=').next().unwrap_or(start).len();
                let all = if before == "--check" { 128 } else { 96 };
                format!("{start}{}", "0".repeat(all - digits))
            }
            None => word.to_owned(),
        }
    }

    /// The examples are command lines that the program would take.
    #[test]
    fn every_example_parses() {
        each(&Cloister::command(), "", &mut |command, path| {
            let help = command.get_after_help().expect(path).to_string().replace("\\\n", " ");
            for line in help.lines().filter(|line| line.starts_with("  cloister ")) {
                let words = line.split(" > ").next().unwrap_or_default().split_whitespace();
                let before = std::iter::once("").chain(words.clone());
                let parsed = Cloister::try_parse_from(before.zip(words).map(whole));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        });
    }
}
