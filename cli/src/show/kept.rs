//! Pages of what programs keep for themselves: keys, certificates, databases, public sets.

use cloister_party::files::{LEDGER_APPLICATION, QUEUE_APPLICATION};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use x509_parser::parse_x509_certificate;

use super::Found;
use crate::ui::{self, Page, printable};

/// Where a `SQLite` file says what it is: a big-endian number of four bytes.
const APPLICATION: std::ops::Range<usize> = 68..72;

/// PKCS#8 of a P-384 key, up to where the key begins.
const P384_PRIVATE_KEY: &[u8] = &[
    0x30, 0x81, 0xb6, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
    0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22,
];

/// How an Arrow IPC stream begins.
const ARROW_STREAM: &[u8] = &[0xff; 4];

/// A file that programs keep, if it is one.
pub(super) fn kept(bytes: &[u8]) -> Option<Found> {
    let of = |kind, title: &str, page: Page, claims| {
        Some(Found { kind, page: Page::new().title(title).append(page), claims })
    };
    let size = Page::new().row("size", ui::bytes(bytes.len() as u64));
    if bytes.starts_with(b"SQLite format 3\0") {
        let application = bytes.get(APPLICATION).and_then(|field| field.try_into().ok());
        return match application.map(u32::from_be_bytes) {
            Some(LEDGER_APPLICATION) => {
                let next = "cloister-broker keeps it: what was granted, and what it cost";
                of("ledger", "A broker's ledger", size.text(next), json!({}))
            }
            Some(QUEUE_APPLICATION) => {
                let next = "cloister-host keeps it: jobs, and where their releases are";
                of("queue", "A host's queue of jobs", size.text(next), json!({}))
            }
            _ => None,
        };
    }
    if bytes.starts_with(P384_PRIVATE_KEY) || contains(bytes, b"PRIVATE KEY-----") {
        let page = Page::new().loud("Nobody but its owner's programs may read this file.");
        return of("secret-key", "A secret key", page, json!({}));
    }
    if bytes.starts_with(ARROW_STREAM) {
        return of("public-set", "An Arrow IPC stream, as public sets are", size, json!({}));
    }
    let certificate = CertificateDer::from_pem_slice(bytes).ok()?;
    let (_, certificate) = parse_x509_certificate(&certificate).ok()?;
    let [subject, issuer] =
        [certificate.subject(), certificate.issuer()].map(|name| printable(&name.to_string()));
    let validity = certificate.validity();
    let [from, until] = [validity.not_before, validity.not_after]
        .map(|time| ui::time(u64::try_from(time.timestamp()).unwrap_or(0)));
    let page = Page::new()
        .row("subject", &subject)
        .row("issuer", &issuer)
        .row("valid", format!("{from} to {until}"));
    let claims = json!({ "subject": subject, "issuer": issuer, "from": from, "until": until });
    of("certificate", "An X.509 certificate", page, claims)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
