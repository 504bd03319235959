//! `cloister collateral`: certificates and revocation lists that reports are verified with.

mod bundle;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use cloister_attestation::{
    UnixTime,
    snp::{Bundle, Collateral, CollateralError, Entry, EntryKind},
};
use cloister_protocol::{Digest, PublicKey};
use serde_json::{Value, json};

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{self, Page, Report, printable},
    verify::{contents, time},
};

pub use bundle::SignedBy;

/// A month before something ends, `check` says so.
const SOON: Duration = Duration::from_hours(30 * 24);

/// Commands on collateral.
#[derive(Debug, Subcommand)]
pub enum Command {
    Add(Add),
    Show(Show),
    Check(Check),
    Sign(bundle::Sign),
}

/// Put certificates and revocation lists into a folder, once each
///
/// Takes DER, PEM, certificate tables and signed bundles, under any names. A file is named
/// after what is in it. Nothing is fetched, and nothing is trusted for being there:
/// verification leads to AMD's roots, or it fails.
///
/// A broker reads the folder `collateral` of its home with each request.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister collateral add vcek.der ask_ark.pem --to certificates
  cloister collateral add table.bin crl.der --to hospital-a/collateral --json
  cloister collateral add lab.bundle --signed-by lab/enrolment.cloister --to certificates")]
pub struct Add {
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The folder; made if it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    signed_by: SignedBy,
}

/// Say what is in a folder of collateral; nothing is verified
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister collateral show certificates")]
pub struct Show {
    /// The folder, or one file
    collateral: PathBuf,
}

/// Say what is missing from a folder of collateral, what has ended, and what soon will
///
/// Exit code: 0 if everything is complete and valid, 1 if not.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister collateral check certificates --at 2026-01-31T12:00:00Z")]
pub struct Check {
    /// The folder, or one file
    collateral: PathBuf,
    /// The time to check for; now if not said
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    at: Option<UnixTime>,
    #[command(flatten)]
    signed_by: SignedBy,
}

impl Command {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        match self {
            Self::Add(add) => add.run(),
            Self::Show(show) => show.run(),
            Self::Check(check) => check.run(),
            Self::Sign(sign) => sign.run(),
        }
    }
}

impl Add {
    fn run(&self) -> Result<Report> {
        let (key, now) = (self.signed_by.key()?, seconds(now()));
        let mut collateral = Collateral::new();
        for path in &self.files {
            let bytes = files::read(path, Bundle::LIMIT as u64)?;
            if !take(&mut collateral, path, &bytes, Bundles::Of(key.as_ref(), now))? {
                return Err(if key.is_some() { not_signed(path) } else { not_collateral(path) });
            }
        }
        fs::create_dir_all(&self.to).with_path(&self.to)?;
        let (mut new, mut page) = (0, Page::new());
        let entries = collateral.entries();
        for entry in &entries {
            let path = self.to.join(file_name(entry));
            // Damaged ones are replaced.
            if !path.is_file() || files::read(&path, Bundle::LIMIT as u64)? != entry.der {
                files::write(&path, entry.der)?;
                new += 1;
            }
            page = page.row(printable(&entry.name), path.display());
        }
        let known = entries.len() - new;
        let title = format!("Added {new} to {}; {known} were there already", self.to.display());
        let next = format!("cloister collateral check {}", self.to.display());
        let json = json!({ "folder": self.to, "added": new, "known": known });
        Ok(Report::done(Page::new().good(title).append(page).next(next), json))
    }
}

impl Show {
    fn run(&self) -> Result<Report> {
        let (collateral, ignored) = read(&self.collateral, Bundles::Unverified)?;
        let mut page = Page::new();
        let entries = collateral.entries();
        for entry in &entries {
            page = described(page, entry).blank();
        }
        for path in &ignored {
            page = page.text(format!("{}: not collateral", path.display()));
        }
        let page = page.loud("This is what the files say. Nothing has been verified yet.");
        let entries: Vec<_> = entries.iter().map(claims).collect();
        Ok(Report::done(page, json!({ "entries": entries, "ignored": ignored, "verified": false })))
    }
}

impl Check {
    fn run(&self) -> Result<Report> {
        let now = self.at.map_or_else(now, |at| at.as_secs());
        let key = self.signed_by.key()?;
        let (collateral, ignored) =
            read(&self.collateral, Bundles::Of(key.as_ref(), seconds(now)))?;
        let (mut page, mut findings) = (Page::new(), Vec::new());
        let entries = collateral.entries();
        for entry in &entries {
            let trouble = trouble(entry, now);
            if let Some(trouble) = &trouble {
                page = page.bad(format!("{}: {trouble}", printable(&entry.name)));
            } else if entry.until < now.saturating_add(SOON.as_secs()) {
                let until = ui::time(entry.until);
                page = page.loud(format!("{}: ends at {until}", printable(&entry.name)));
            } else {
                page = page.row(printable(&entry.name), format!("until {}", ui::time(entry.until)));
            }
            let mut claims = claims(entry);
            claims["trouble"] = json!(trouble);
            findings.push(claims);
        }
        let leaves = entries.iter().filter(|entry| entry.kind == EntryKind::Leaf).count();
        for path in &ignored {
            page = page.bad(format!(
                "{}: not collateral; a broker stops at it: take it out",
                path.display()
            ));
        }
        let good = findings.iter().all(|one| one["trouble"].is_null()) && ignored.is_empty();
        let holds = leaves > 0 && good;
        let end = if leaves == 0 {
            Page::new().bad(
                "No VCEK or VLEK there, the certificate of the key that signs reports: add it \
                 with `cloister collateral add`",
            )
        } else if holds {
            let now = ui::time(now);
            Page::new().good(format!("Complete and in date at {now}, by names and dates alone"))
        } else {
            Page::new().bad("Not all of it can be relied on; see above")
        };
        let json =
            json!({ "holds": holds, "at": ui::time(now), "entries": findings, "ignored": ignored });
        Ok(Report { page: page.append(end), json, holds })
    }
}

/// What keeps an entry from being of use.
fn trouble(entry: &Entry<'_>, now: u64) -> Option<String> {
    if !entry.complete {
        let issuer = printable(&entry.issuer);
        return Some(format!("the certificate of its issuer, {issuer}, is missing: add it"));
    }
    if now < entry.from {
        return Some(format!("valid only from {}: check the time", ui::time(entry.from)));
    }
    if now > entry.until {
        let what = if entry.kind == EntryKind::RevocationList { "a new list" } else { "a new one" };
        return Some(format!("ended at {}: get {what}", ui::time(entry.until)));
    }
    None
}

/// What is done with signed bundles.
#[derive(Clone, Copy)]
pub enum Bundles<'a> {
    /// Those that the holder of this key signed are taken, if they are good at that time.
    Of(Option<&'a PublicKey>, UnixTime),
    /// What they say is shown.
    Unverified,
}

/// Everything in a folder or file that is collateral, and the files that are not.
pub fn read(path: &Path, bundles: Bundles<'_>) -> Result<(Collateral, Vec<PathBuf>)> {
    let (mut collateral, mut ignored) = (Collateral::new(), Vec::new());
    for (file, bytes) in contents(path)? {
        match take(&mut collateral, &file, &bytes, bundles) {
            Ok(true) => {}
            Ok(false) if path.is_dir() => ignored.push(file),
            Ok(false) if matches!(bundles, Bundles::Of(Some(_), _)) => {
                return Err(not_signed(&file));
            }
            Ok(false) => return Err(not_collateral(&file)),
            Err(error) => return Err(error),
        }
    }
    Ok((collateral, ignored))
}

/// Takes what is in a file, if it is collateral. Who names a signer takes nothing that is not
/// signed: else whoever takes the signature off could take a list out, too.
fn take(to: &mut Collateral, path: &Path, bytes: &[u8], bundles: Bundles<'_>) -> Result<bool> {
    if Bundle::is_one(bytes) {
        for entry in bundle::open(path, bytes, bundles)?.entries() {
            to.add(entry.der).with_path(path)?;
        }
        return Ok(true);
    }
    if matches!(bundles, Bundles::Of(Some(_), _)) {
        return Ok(false);
    }
    match to.add(bytes) {
        Ok(_) => Ok(true),
        // A damaged list would otherwise be passed over.
        Err(CollateralError::Format) if !looks_like_collateral(bytes) => Ok(false),
        Err(error) => Err(error).with_path(path),
    }
}

/// Whether bytes begin as DER or PEM does.
fn looks_like_collateral(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30) || bytes.trim_ascii_start().starts_with(b"-----BEGIN")
}

fn not_collateral(path: &Path) -> Error {
    Error::failed(format!("{}: {}", path.display(), CollateralError::Format))
}

fn not_signed(path: &Path) -> Error {
    Error::failed(format!(
        "{}: no signed bundle, and with --signed-by nothing else is taken; add plain files without it",
        path.display()
    ))
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn seconds(since_1970: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(since_1970))
}

fn described(page: Page, entry: &Entry<'_>) -> Page {
    page.title(printable(&entry.name))
        .row("about", &entry.about)
        .row("issuer", printable(&entry.issuer))
        .row("valid", format!("{} to {}", ui::time(entry.from), ui::time(entry.until)))
}

fn claims(entry: &Entry<'_>) -> Value {
    json!({
        "name": entry.name,
        "issuer": entry.issuer,
        "about": entry.about,
        "from": ui::time(entry.from),
        "until": ui::time(entry.until),
        "complete": entry.complete,
    })
}

/// What it is, and enough of its digest to tell it from others of that name.
fn file_name(entry: &Entry<'_>) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = entry.name.chars().map(safe).take(40).collect();
    let ending = if entry.kind == EntryKind::RevocationList { "crl" } else { "der" };
    format!("{name}-{}.{ending}", Digest::of("collateral", &[entry.der]).short())
}
