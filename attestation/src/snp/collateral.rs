//! Certificates and revocation lists that reports are verified with.

use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::leaf::{self, Endorsed};
use super::{TableError, limits, table};
use crate::certificate::common_name;

/// What was collected to verify reports with, in any order and number. Nothing in it is
/// trusted: a chain has to lead from a pinned root to the key that signed.
#[derive(Clone, Debug, Default)]
pub struct Collateral {
    certificates: Vec<Stored>,
    revocation_lists: Vec<Vec<u8>>,
}

/// A certificate, and what it calls itself and its issuer.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) der: Vec<u8>,
    pub(super) subject: String,
    pub(super) issuer: String,
}

/// What bytes in DER are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoded {
    Certificate,
    RevocationList,
}

/// What an entry of a collateral is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A root or an intermediate.
    Authority,
    /// The certificate of a key that signs reports.
    Leaf,
    /// A revocation list.
    RevocationList,
}

/// What one certificate or revocation list says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The bytes.
    pub der: &'a [u8],
    /// What it is for, by its subject.
    pub kind: EntryKind,
    /// The common name of its subject; of a list, of its issuer.
    pub name: String,
    /// The common name of its issuer.
    pub issuer: String,
    /// What it is for: chip and TCB of a VCEK, the provider of a VLEK, or what it is.
    pub about: String,
    /// Its first second, since 1970.
    pub from: u64,
    /// Its last second, since 1970; of a list, when the next one is due.
    pub until: u64,
    /// Whether its issuer is here, too; roots issue themselves.
    pub complete: bool,
}

/// Why bytes are no collateral.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralError {
    /// Not a certificate, a list, or a table of them.
    #[error(
        "[collateral-format] neither a certificate nor a revocation list, in DER or PEM, nor a certificate table"
    )]
    Format,
    /// Too long.
    #[error("[collateral-size] {what} has {found} bytes, more than {most}")]
    Size {
        /// A certificate or a list.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// The most that are taken.
        most: usize,
    },
    /// Too many.
    #[error(
        "[collateral-many] more than 4096 certificates or 64 revocation lists: keep those that you need"
    )]
    Many,
    /// A certificate table that is damaged.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Collateral {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the contents of a file: certificates and revocation lists in DER or PEM, several
    /// in PEM, or the certificate table of an extended report. Gives how many it took.
    ///
    /// # Errors
    ///
    /// [`CollateralError`]; what came before the error in the same file is kept.
    pub fn add(&mut self, bytes: &[u8]) -> Result<usize, CollateralError> {
        if table::is_table(bytes) { self.add_table(bytes) } else { self.add_encoded(bytes) }
    }

    /// Takes a certificate table, which may be empty or begin with an unknown kind.
    pub(super) fn add_table(&mut self, bytes: &[u8]) -> Result<usize, CollateralError> {
        let mut count = 0;
        for (_, certificate) in table::entries(bytes)? {
            count += self.add_encoded(certificate)?;
        }
        Ok(count)
    }

    /// Takes what came with evidence behind what the caller gave, each with a limit of its own.
    pub(super) fn append(&mut self, other: Self) {
        let Self { certificates, revocation_lists } = other;
        for one in certificates {
            if !self.certificates.iter().any(|known| known.der == one.der) {
                self.certificates.push(one);
            }
        }
        for one in revocation_lists {
            if !self.revocation_lists.contains(&one) {
                self.revocation_lists.push(one);
            }
        }
    }

    fn add_encoded(&mut self, bytes: &[u8]) -> Result<usize, CollateralError> {
        if bytes.first() == Some(&0x30) {
            return self.add_der(bytes).map(|_| 1);
        }
        let mut count = 0;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
            match section.map_err(|_| CollateralError::Format)? {
                (SectionKind::Certificate | SectionKind::Crl, der) => {
                    self.add_der(&der)?;
                }
                _ => return Err(CollateralError::Format),
            }
            count += 1;
        }
        if count == 0 { Err(CollateralError::Format) } else { Ok(count) }
    }

    /// Takes one certificate or revocation list in DER, and says which it is.
    pub(super) fn add_der(&mut self, der: &[u8]) -> Result<Encoded, CollateralError> {
        if let Ok(([], certificate)) = parse_x509_certificate(der) {
            let size = |found, most| CollateralError::Size { what: "a certificate", found, most };
            if der.len() > limits::CERTIFICATE {
                return Err(size(der.len(), limits::CERTIFICATE));
            }
            if self.certificates.iter().any(|stored| stored.der == der) {
                return Ok(Encoded::Certificate);
            }
            if self.certificates.len() == limits::CERTIFICATES {
                return Err(CollateralError::Many);
            }
            let [subject, issuer] = [certificate.subject(), certificate.issuer()]
                .map(|name| common_name(name).unwrap_or_default().to_owned());
            self.certificates.push(Stored { der: der.to_vec(), subject, issuer });
            return Ok(Encoded::Certificate);
        }
        if let Ok(([], _)) = CertificateRevocationList::from_der(der) {
            if der.len() > limits::CRL {
                let what = "a revocation list";
                return Err(CollateralError::Size { what, found: der.len(), most: limits::CRL });
            }
            if self.revocation_lists.iter().any(|known| known == der) {
                return Ok(Encoded::RevocationList);
            }
            if self.revocation_lists.len() == limits::CRLS {
                return Err(CollateralError::Many);
            }
            self.revocation_lists.push(der.to_vec());
            return Ok(Encoded::RevocationList);
        }
        Err(CollateralError::Format)
    }

    /// Everything in it, as it says of itself: authorities first, leaves, then lists.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let known = |issuer: &str| self.certificates.iter().any(|one| one.subject == issuer);
        let mut entries: Vec<_> =
            self.certificates.iter().map(|one| one.entry(known(&one.issuer))).collect();
        entries.sort_by_key(|entry| entry.kind);
        for der in &self.revocation_lists {
            let Ok((_, list)) = CertificateRevocationList::from_der(der) else { continue };
            let issuer = common_name(list.issuer()).unwrap_or_default().to_owned();
            let revoked = list.iter_revoked_certificates().count();
            entries.push(Entry {
                der,
                kind: EntryKind::RevocationList,
                name: issuer.clone(),
                about: format!("a revocation list of {revoked} certificates"),
                from: seconds(list.last_update().timestamp()),
                until: list.next_update().map_or(0, |next| seconds(next.timestamp())),
                complete: known(&issuer),
                issuer,
            });
        }
        entries
    }

    /// All certificates.
    pub(super) fn stored(&self) -> &[Stored] {
        &self.certificates
    }

    /// All certificates of a subject's name, in their order.
    pub(super) fn of_subject(&self, name: &str) -> Vec<&Stored> {
        self.certificates.iter().filter(|one| one.subject == name).collect()
    }

    /// All revocation lists.
    pub(super) fn lists(&self) -> &[Vec<u8>] {
        &self.revocation_lists
    }
}

impl Stored {
    fn entry(&self, complete: bool) -> Entry<'_> {
        let (from, until) = parse_x509_certificate(&self.der).map_or((0, 0), |(_, parsed)| {
            let validity = parsed.validity();
            (seconds(validity.not_before.timestamp()), seconds(validity.not_after.timestamp()))
        });
        let kind = match leaf::kind(&self.subject) {
            Some(_) => EntryKind::Leaf,
            None => EntryKind::Authority,
        };
        let about = match (kind, Endorsed::read(&self.der)) {
            (EntryKind::Leaf, Ok(Endorsed { product, tcb, chip: Some(chip), .. })) => {
                format!("{product} chip {}, {tcb}", hex::encode(chip))
            }
            (EntryKind::Leaf, Ok(Endorsed { product, tcb, provider, .. })) => {
                let provider = provider.unwrap_or_default();
                format!("{product} of {}, {tcb}", crate::text::quoted(&provider))
            }
            (EntryKind::Leaf, Err(wrong)) => format!("not as AMD specifies: {wrong}"),
            (_, _) if self.subject == self.issuer => "a root".to_owned(),
            (_, _) => "an intermediate".to_owned(),
        };
        let (name, issuer) = (self.subject.clone(), self.issuer.clone());
        Entry { der: &self.der, kind, name, issuer, about, from, until, complete }
    }
}

/// Seconds since 1970, none before it.
fn seconds(at: i64) -> u64 {
    u64::try_from(at).unwrap_or(0)
}
