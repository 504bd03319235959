//! `cloister code`: from a trainer's source to code that owners approve.

mod approve;
mod build;
mod examine;
mod new;
mod recorded;
mod sign;
mod test;

use clap::Subcommand;

use crate::{
    error::Result,
    ui::{Report, Ui},
};

pub use test::WORKER;

/// Work with compute code.
#[derive(Debug, Subcommand)]
pub enum Code {
    New(new::New),
    Build(build::Build),
    Test(Box<test::Test>),
    Sign(sign::Sign),
    Approve(approve::Approve),
}

impl Code {
    /// Runs the command.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        match self {
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Test(test) => test.run(ui),
            Self::Sign(sign) => sign.run(),
            Self::Approve(approve) => approve.run(ui),
        }
    }
}
