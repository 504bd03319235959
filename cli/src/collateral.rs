//! `cloister collateral`: certificates and revocation lists that reports are verified with.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use cloister_attestation::{
    UnixTime,
    snp::{Collateral, CollateralError, Entry, EntryKind},
};
use cloister_protocol::Digest;
use serde_json::{Value, json};

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{self, Page, Report, printable},
    verify::{contents, time},
};

/// A month before something ends, `check` says so.
const SOON: Duration = Duration::from_hours(30 * 24);

/// Commands on collateral.
#[derive(Debug, Subcommand)]
pub enum Command {
    Add(Add),
    Show(Show),
    Check(Check),
}

/// Put certificates and revocation lists into a folder, once each
///
/// Takes DER, PEM and certificate tables, under any names. A file is named after what is in
/// it. Nothing is fetched, and nothing is trusted for being there: verification leads to
/// AMD's roots, or it fails.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister collateral add vcek.der ask_ark.pem --to certificates
  cloister collateral add table.bin crl.der --to certificates --json")]
pub struct Add {
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The folder; made if it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
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
}

impl Command {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        match self {
            Self::Add(add) => add.run(),
            Self::Show(show) => show.run(),
            Self::Check(check) => check.run(),
        }
    }
}

impl Add {
    fn run(&self) -> Result<Report> {
        let mut collateral = Collateral::new();
        for path in &self.files {
            let bytes = files::read(path, 256 * 1024)?;
            collateral.add(&bytes).with_path(path)?;
        }
        fs::create_dir_all(&self.to).with_path(&self.to)?;
        let (mut new, mut page) = (0, Page::new());
        let entries = collateral.entries();
        for entry in &entries {
            let path = self.to.join(file_name(entry));
            if !path.exists() {
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
        let (collateral, ignored) = read(&self.collateral)?;
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = self.at.map_or(now.as_secs(), |at| at.as_secs());
        let (collateral, _) = read(&self.collateral)?;
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
        let holds = leaves > 0 && findings.iter().all(|one| one["trouble"].is_null());
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
        let json = json!({ "holds": holds, "at": ui::time(now), "entries": findings });
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

/// Everything in a folder or file that is collateral, and the files that are not.
pub fn read(path: &Path) -> Result<(Collateral, Vec<PathBuf>)> {
    let (mut collateral, mut ignored) = (Collateral::new(), Vec::new());
    for (file, bytes) in contents(path)? {
        match collateral.add(&bytes) {
            Ok(_) => {}
            Err(CollateralError::Format) if path.is_dir() => ignored.push(file),
            Err(error) => return Err(Error::failed(format!("{}: {error}", file.display()))),
        }
    }
    Ok((collateral, ignored))
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
