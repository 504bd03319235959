//! Signed bundles of collateral.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use cloister_attestation::{
    UnixTime,
    snp::{Bundle, Collateral},
};
use cloister_party::{Enrolment, Home};
use cloister_protocol::{PublicKey, Signed, limits};
use serde_json::json;

use super::{Bundles, now, read, seconds};
use crate::{
    error::{Context, Error, Result},
    files,
    ui::{self, Page, Report},
    verify::time,
};

/// Pack a folder of collateral into one signed file, for those whom no folder reaches
///
/// Nobody's signature makes a certificate true: every chain leads to AMD's roots, or it
/// fails. The signature says that nothing was left out, such as a revocation list, and
/// until when that may be relied on.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister collateral sign certificates --home hospital-a --to collateral.bundle
  cloister collateral sign certificates --home lab --until 2027-03-01T00:00:00Z --to lab.bundle")]
pub struct Sign {
    /// The folder, or one file
    collateral: PathBuf,
    /// The home of the party that signs
    #[arg(long, value_name = "HOME")]
    home: PathBuf,
    /// The last second at which to rely on it; in thirty days if not said
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    until: Option<UnixTime>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Whose bundles are taken.
#[derive(Args, Debug)]
pub struct SignedBy {
    /// The enrolment of the party that signed a bundle; folders and plain files need none
    #[arg(long, value_name = "ENROLMENT")]
    signed_by: Option<PathBuf>,
}

/// Thirty days: AMD's revocation lists are good for longer.
const LIFETIME: Duration = Duration::from_hours(30 * 24);

impl Sign {
    /// Writes the bundle.
    pub fn run(&self) -> Result<Report> {
        let home = Home::open(&self.home).map_err(Error::usage)?;
        let key = home.signing_key().map_err(Error::usage)?;
        let made = now();
        let (collateral, ignored) = read(&self.collateral, Bundles::Of(None, seconds(made)))?;
        let count = collateral.entries().len();
        if count == 0 {
            let path = self.collateral.display();
            return Err(Error::failed(format!("{path}: no certificate and no revocation list")));
        }
        let until = self.until.map_or(made + LIFETIME.as_secs(), |until| until.as_secs());
        if until < made {
            return Err(Error::usage("--until is in the past: nobody could rely on it"));
        }
        let bundle = Bundle { made, until, collateral };
        let signed = bundle.sign_with(|bytes| Some(key.sign(bytes).ok()?.to_vec()));
        files::write(&self.to, &signed.doing("cannot sign the bundle")?)?;

        let mut page = Page::new()
            .good(format!("Signed {count} certificates and lists into {}", self.to.display()))
            .row("signed by", key.id())
            .row("until", ui::time(until));
        for path in &ignored {
            page = page.text(format!("{}: not collateral, left out", path.display()));
        }
        let enrolment = home.file("enrolment.cloister");
        let next = format!(
            "cloister collateral add {} --signed-by {} --to DIR",
            self.to.display(),
            enrolment.display()
        );
        let json = json!({
            "file": self.to,
            "entries": count,
            "signed_by": key.id().to_string(),
            "until": ui::time(until),
            "ignored": ignored,
        });
        Ok(Report::done(page.next(next), json))
    }
}

impl SignedBy {
    /// The key, if one was named.
    pub fn key(&self) -> Result<Option<PublicKey>> {
        let Some(path) = &self.signed_by else { return Ok(None) };
        let bytes = files::read(path, limits::SIGNED_OBJECT as u64)?;
        let enrolment = Enrolment::open(&Signed::from_bytes(bytes)).with_path(path)?;
        Ok(Some(enrolment.key))
    }
}

/// What is in a bundle.
pub fn open(path: &Path, bytes: &[u8], bundles: Bundles<'_>) -> Result<Collateral> {
    let bundle = match bundles {
        Bundles::Of(Some(key), at) => Bundle::open(bytes, key.as_bytes(), at),
        Bundles::Unverified => Bundle::unverified(bytes),
        Bundles::Of(None, _) => {
            return Err(Error::usage(format!(
                "{}: a signed bundle; say whose it has to be with --signed-by ENROLMENT",
                path.display()
            )));
        }
    };
    Ok(bundle.with_path(path)?.collateral)
}
