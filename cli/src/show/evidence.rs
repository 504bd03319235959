//! Pages of evidence.

use cloister_attestation::{AttestationResult, Unverified, snp::Bundle};
use serde_json::json;

use super::Found;
use crate::{
    ui::{self, Page, printable},
    verify::decode,
};

/// An attestation document or report, raw, in hexadecimal or in base64, if it is one.
pub(super) fn evidence(bytes: &[u8]) -> Option<Found> {
    if let Ok(result) = AttestationResult::unverified(bytes) {
        return Some(attestation_result(&result));
    }
    if let Ok(bundle) = Bundle::unverified(bytes) {
        return Some(collateral(&bundle));
    }
    let evidence = Unverified::read(&decode(bytes.to_vec()))?;
    let mut page = Page::new().title(format!("Evidence: {}", evidence.form));
    for (name, value) in &evidence.fields {
        page = page.row(name, value);
    }
    let next = if evidence.form.contains("SNP") {
        "cloister verify snp REPORT --collateral DIR --at TIME --binding HEX --measurement HEX"
    } else {
        "cloister verify nitro DOC --at TIME --nonce HEX --binding HEX --pcr 0=HEX"
    };
    let claims = json!({ "form": evidence.form, "fields": evidence });
    Some(Found { kind: "evidence", page: page.next(next), claims })
}

fn collateral(bundle: &Bundle) -> Found {
    let entries = bundle.collateral.entries();
    let mut page = Page::new()
        .title("A bundle of collateral: certificates and revocation lists for SEV-SNP")
        .row("made", ui::time(bundle.made))
        .row("until", ui::time(bundle.until));
    for entry in &entries {
        page = page.row(printable(&entry.name), &entry.about);
    }
    let page = page.next("cloister collateral add FILE --signed-by ENROLMENT --to DIR");
    let names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
    let (made, until) = (ui::time(bundle.made), ui::time(bundle.until));
    let claims = json!({ "made": made, "until": until, "entries": names });
    Found { kind: "collateral-bundle", page, claims }
}

fn attestation_result(result: &AttestationResult) -> Found {
    let page = Page::new()
        .title("An attestation result (EAR): what a verifier says of evidence")
        .row("attester", printable(&result.attester))
        .row("status", format!("{:?}", result.status))
        .row("vector", format!("{:?}", result.vector))
        .row("policy", printable(&result.policy))
        .row("verifier", printable(&result.build))
        .row("at", ui::time(result.issued_at));
    Found { kind: "attestation-result", page, claims: json!(result) }
}
