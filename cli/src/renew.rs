//! `cloister renew`: new certificates for a party.

use std::path::PathBuf;

use clap::Args;
use cloister_party::Home;
use serde_json::json;

use crate::{
    error::{Error, Result},
    ui::{Page, Report},
};

/// Make new TLS certificates for a party
///
/// They are below the same authority, so no peer has to be told. A running service
/// takes them up when it is started again.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister renew --home hospital-a")]
pub struct Renew {
    /// The party's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
}

impl Renew {
    /// Renews the certificates.
    pub fn run(&self) -> Result<Report> {
        let home = Home::open(&self.home).map_err(Error::failed)?;
        home.renew_certificates().map_err(Error::failed)?;
        let page = Page::new().good(format!("{} has new certificates", home.name()));
        Ok(Report::done(page, json!({ "home": self.home, "name": home.name().to_string() })))
    }
}
