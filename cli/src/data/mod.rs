//! `cloister data`: an owner's tables, sealed for a host that must not read them.

pub mod check;
mod describe;
mod mock;
mod push;
mod seal;
mod sealer;
pub mod stream;
mod table;
mod units;

use clap::Subcommand;

use crate::{
    error::Result,
    ui::{Report, Ui},
};

pub use describe::Description;
pub use stream::{public_set, random};

/// Work with an owner's data.
#[derive(Debug, Subcommand)]
pub enum Data {
    Seal(seal::Seal),
    Mock(mock::Mock),
    Push(push::Push),
}

impl Data {
    /// Runs the command.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        match self {
            Self::Seal(seal) => seal.run(ui),
            Self::Mock(mock) => mock.run(),
            Self::Push(push) => push.run(ui),
        }
    }
}
