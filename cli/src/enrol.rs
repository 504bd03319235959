//! `cloister enrol`: accepting another party.

use std::path::PathBuf;

use clap::Args;
use cloister_party::{Home, Role};
use cloister_protocol::{KeyId, limits};
use serde_json::json;

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{Page, Report},
};

/// Accept another party by its enrolment
///
/// The enrolment proves that its maker holds the key in it, not who that is: compare the
/// fingerprint with the party over another channel, before relying on it.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister enrol node-1/enrolment.cloister --home hospital-a")]
pub struct Enrol {
    /// The other party's enrolment.cloister
    enrolment: PathBuf,
    /// The home of the party that accepts it
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
}

impl Enrol {
    /// Accepts the party.
    pub fn run(&self) -> Result<Report> {
        let home = Home::open(&self.home).map_err(Error::failed)?;
        let bytes = files::read(&self.enrolment, limits::SIGNED_OBJECT as u64)?;
        let peer = home.add_peer(&bytes).with_path(&self.enrolment)?;
        let mut page = Page::new()
            .good(format!("{} accepts {} {}", home.name(), peer.role(), peer.name()))
            .row("fingerprint", fingerprint(peer.id()))
            .row_if("population", peer.population())
            .row_if("address", peer.address())
            .text("Compare the fingerprint with theirs over another channel.");
        if peer.role() == Role::Host && home.role() == Role::Owner {
            page = page.next(format!(
                "cloister policy trust-image measurements.toml --home {}",
                self.home.display()
            ));
        }
        let json = json!({
            "home": self.home,
            "accepted": peer.name().to_string(),
            "role": peer.role().to_string(),
            "key": peer.id().to_string(),
        });
        Ok(Report::done(page, json))
    }
}

/// 128 bits of a key's id, as people compare them.
pub fn fingerprint(key: &KeyId) -> String {
    let hex = key.digest().to_hex();
    hex.as_bytes()[..32]
        .chunks(4)
        .map(|four| String::from_utf8_lossy(four))
        .collect::<Vec<_>>()
        .join(" ")
}
