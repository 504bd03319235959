//! `cloister verify nitro`: one attestation document of a Nitro enclave.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use cloister_attestation::{
    Binding, Clock, Freshness, Nonce, RootCertificate, UnixTime,
    nitro::{
        self, CertificateKey, DebugReference, Expectations, Pcr, PcrIndex, Pcrs, Reference,
        ReferenceValues, Roots,
    },
};

use super::{evidence_file, verdict};
use crate::{
    error::{Error, Result},
    ui::Report,
};

/// Verify an attestation document of an AWS Nitro enclave, offline
///
/// Checks the document's structure, the chain of certificates up to AWS's root, the
/// signature, and everything that you expect; lists each check. What you do not want to
/// expect has to be said, and the verdict shows it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister verify nitro document.cose --at 2026-01-31T12:00:00Z --nonce 6f1c... \\
      --binding 07a2... --pcr 0=4b1f... --pcr 1=9c03... --pcr 2=77de...
  cloister verify nitro document.b64 --at 2026-01-31T12:00:00Z --any-nonce --any-binding \\
      --pcr 8=1a2b... --json

Exit code: 0 accepted, 1 denied, 2 wrong use.")]
pub struct Nitro {
    /// The document, or a TLS certificate in DER that carries one: raw, hexadecimal or base64;
    /// - for standard input
    document: PathBuf,
    /// The time of verification; leaf certificates live three hours
    #[arg(long, value_name = "RFC3339", value_parser = evidence_file::time)]
    at: UnixTime,
    #[command(flatten)]
    nonce: ExpectedNonce,
    #[command(flatten)]
    binding: ExpectedBinding,
    /// A register and its value; PCR0 (image) or PCR8 (signer) has to be among them
    #[arg(long = "pcr", value_name = "N=HEX", value_parser = register, required_unless_present = "allow_debug")]
    pcrs: Vec<(PcrIndex, Pcr)>,
    /// Accept an enclave in debug mode, of which nothing is known
    #[arg(long)]
    allow_debug: bool,
    /// Roots to trust instead of AWS's: certificates in PEM or DER. The verdict calls them
    /// simulated
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Accept a TLS certificate whose key the document does not vouch for
    #[arg(long)]
    any_certificate_key: bool,
    /// How old the document may be
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    max_age: u64,
    #[command(flatten)]
    ear: verdict::Ear,
}

/// What the nonce has to be.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct ExpectedNonce {
    /// The nonce that the document was made for
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// Any nonce: a document may be replayed while it is not too old
    #[arg(long)]
    any_nonce: bool,
}

/// What the evidence has to vouch for.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct ExpectedBinding {
    /// What the evidence vouches for: `user_data` of Nitro, `REPORT_DATA` of SEV-SNP
    #[arg(long, value_name = "HEX", value_parser = binding)]
    binding: Option<Binding>,
    /// Any binding: the evidence vouches for no key and no task
    #[arg(long)]
    any_binding: bool,
}

impl ExpectedBinding {
    /// The binding, or that any will do.
    pub(super) fn get(&self) -> Binding {
        self.binding.clone().unwrap_or(Binding::AcceptAnyBinding)
    }
}

impl Nitro {
    /// Verifies the document.
    pub fn run(&self) -> Result<Report> {
        let document = evidence_file::read(&self.document)?;
        let freshness = match &self.nonce.nonce {
            Some(nonce) => Freshness::Nonce(nonce.clone()),
            None => Freshness::AcceptAnyNonce,
        };
        let expectations = Expectations {
            roots: self.roots(&document)?,
            clock: Clock::at(self.at).max_age(Duration::from_secs(self.max_age)),
            freshness,
            binding: self.binding.get(),
            reference: self.reference()?,
        };
        let verdict = if document.starts_with(&[0x30]) {
            let key = if self.any_certificate_key {
                CertificateKey::AcceptAny
            } else {
                CertificateKey::Vouched
            };
            nitro::verify_certificate(&document, &expectations, key)
        } else {
            nitro::verify(&document, &expectations)
        };
        verdict::report(&verdict, &self.ear)
    }

    fn reference(&self) -> Result<ReferenceValues> {
        let mut pcrs = Pcrs::new();
        for (index, value) in &self.pcrs {
            if pcrs.insert(*index, value.clone()).is_some() {
                return Err(Error::usage(format!("--pcr {index} is there twice")));
            }
        }
        let mut debug_pcrs = pcrs.clone();
        debug_pcrs.retain(|index, _| !PcrIndex::IMAGE.contains(index));
        let name = "--pcr";
        // Zeros are what a debug enclave measures to: the debug rule is to say so, not we.
        let production = Reference::as_measured(name, pcrs);
        let debug = || DebugReference::new(name, debug_pcrs).map_err(Error::usage);
        match (production, self.allow_debug) {
            (Ok(reference), false) => Ok(ReferenceValues::production(reference)),
            (Ok(reference), true) => Ok(ReferenceValues::production(reference).or_debug(debug()?)),
            (Err(_), true) => Ok(ReferenceValues::debug_only(debug()?)),
            (Err(error), false) => Err(Error::usage(error)),
        }
    }

    /// AWS's root, or of the given ones that which the document says it rests on.
    fn roots(&self, document: &[u8]) -> Result<Roots> {
        let Some(folder) = &self.roots else { return Ok(Roots::aws()) };
        let mut roots = Vec::new();
        for (path, bytes) in evidence_file::contents(folder).map_err(Error::usage)? {
            let parsed = match std::str::from_utf8(&bytes) {
                Ok(text) => RootCertificate::from_text(text).map(|root| root.roots()),
                Err(_) => Roots::simulated(&bytes),
            };
            match parsed {
                Ok(root) => roots.push(root),
                Err(nitro::RootError::NotSimulated) => roots.push(Roots::aws()),
                Err(error) => return Err(Error::usage(format!("{}: {error}", path.display()))),
            }
        }
        let claimed = nitro::claimed_root(document);
        let claimed = roots.iter().find(|root| Some(root.sha256()) == claimed.as_ref());
        claimed.or(roots.first()).copied().ok_or_else(|| {
            Error::usage(format!("{}: no certificate there; put the root in it", folder.display()))
        })
    }
}

fn register(text: &str) -> std::result::Result<(PcrIndex, Pcr), String> {
    let (index, value) = text.split_once('=').ok_or("write it as 0=HEX")?;
    let index = index.parse().map_err(|_| format!("{index:?} is no index below 32"))?;
    let index = PcrIndex::new(index).map_err(|error| error.to_string())?;
    Ok((index, Pcr::from_hex(value).map_err(|error| error.to_string())?))
}

fn nonce(text: &str) -> std::result::Result<Nonce, String> {
    Nonce::new(evidence_file::hexadecimal(text)?).map_err(|error| error.to_string())
}

fn binding(text: &str) -> std::result::Result<Binding, String> {
    if text.is_empty() {
        return Err("empty: nothing is vouched for by no bytes".to_owned());
    }
    Ok(Binding::UserData(evidence_file::hexadecimal(text)?))
}
