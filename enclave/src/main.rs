//! `cloister-enclave`: the program inside the TEE.

use std::{env, process::ExitCode};

use cloister_enclave::boot::{self, Arguments, BootError};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            fail(&error);
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, BootError> {
    match arguments {
        // First, before anything else has run in this process.
        Arguments::Worker => return Ok(cloister_sandbox::worker::main()),
        Arguments::Serve { listen, platform, workers } => {
            boot::serve(&listen, &platform, workers)?;
        }
        Arguments::Vendor(directory) => boot::make_vendor(&directory)?,
        Arguments::Measure { vendor } => print!("{}", boot::measure(&vendor)?),
        Arguments::Help => print!("{}", boot::help()),
        Arguments::Version => println!("cloister-enclave {}", env!("CARGO_PKG_VERSION")),
    }
    Ok(ExitCode::SUCCESS)
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
