//! `cloister code`: from a trainer's source to code that owners approve.

mod approve;
mod build;
mod sign;

use clap::Subcommand;

use crate::{
    error::Result,
    ui::{Report, Ui},
};

/// Work with compute code.
#[derive(Debug, Subcommand)]
pub enum Code {
    Build(build::Build),
    Sign(sign::Sign),
    Approve(approve::Approve),
}

impl Code {
    /// Runs the command.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        match self {
            Self::Build(build) => build.run(),
            Self::Sign(sign) => sign.run(),
            Self::Approve(approve) => approve.run(ui),
        }
    }
}
