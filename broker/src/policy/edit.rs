//! Changes to the text of a policy that keep what its owner wrote.

use cloister_attestation::Measurements;
use serde::Deserialize;
use toml::{Spanned, Table};

use super::{Enclave, PolicyError, Unprotected, enclaves, text};

/// Only what is edited.
#[derive(Deserialize)]
struct Version {
    policy: VersionSection,
}

#[derive(Deserialize)]
struct VersionSection {
    version: Spanned<u64>,
}

/// Approves the enclaves of `measurements` (the text of `measurements.toml`) in the
/// text of a policy, and counts its version up. Everything else in the text stays as
/// it is. Returns the new text, and the enclaves that were not approved before; if there
/// are none, the text is unchanged.
///
/// # Errors
///
/// [`PolicyError::Unprotected`] for an enclave that protects nothing and was not allowed,
/// and otherwise when either text cannot be read, or the policy's enclaves are written as
/// an inline array.
pub fn trust_image(
    policy: &str,
    measurements: &str,
    allow: Unprotected,
) -> Result<(String, Vec<Enclave>), PolicyError> {
    let added = Measurements::from_toml(measurements)?;
    for enclave in enclaves(&added) {
        allow.require(&enclave)?;
    }
    let before = approved(policy)?;
    let mut wanted = before.clone().unwrap_or_else(|| added.clone());
    wanted.merge(added.clone());
    if before.as_ref() == Some(&wanted) {
        return Ok((policy.to_owned(), Vec::new()));
    }
    let version = toml::from_str::<Version>(policy)?.policy.version;
    let next = version.get_ref().checked_add(1).ok_or(PolicyError::Edit)?;
    let span = version.span();
    let (head, tail) = (&policy[..span.start], policy[span.end..].trim_end());
    let (mut missing, mut new) = (String::new(), Vec::new());
    for section in sections(&added) {
        if !before.as_ref().is_some_and(|before| contains(before, &section)) {
            missing.push('\n');
            missing.push_str(&section.to_toml());
            new.extend(enclaves(&section));
        }
    }
    let revoked = added.revoked();
    if !revoked.is_empty() && before.as_ref().is_none_or(|before| before.revoked().is_empty()) {
        // A second table would not be TOML: with one there already, a person merges them.
        let table = toml::to_string(revoked).map_err(|_| PolicyError::Edit)?;
        missing.push_str("\n[revoked]\n");
        missing.push_str(&table);
    }
    let text = format!("{head}{next}{tail}\n{missing}");
    // What was written is what was meant, or it is not written.
    match approved(&text) {
        Ok(Some(after)) if after == wanted => Ok((text, new)),
        _ => Err(PolicyError::Edit),
    }
}

/// The enclaves that the text approves. Other sections may still be missing.
fn approved(policy: &str) -> Result<Option<Measurements>, PolicyError> {
    let mut table: Table = toml::from_str(policy)?;
    text::enclaves(text::ENCLAVES.map(|name| table.remove(name)))
}

/// Each approved enclave by itself.
fn sections(of: &Measurements) -> Vec<Measurements> {
    let nitro = of.nitro_references().iter().cloned().map(Measurements::nitro);
    let snp = of.snp_references().iter().cloned().map(Measurements::snp);
    let simulated = of.simulated_references().iter().cloned().map(Measurements::simulated);
    let debug = of.nitro_debug_references().iter().cloned().map(Measurements::nitro_debug);
    nitro.chain(snp).chain(simulated).chain(debug).collect()
}

fn contains(whole: &Measurements, part: &Measurements) -> bool {
    let mut merged = whole.clone();
    merged.merge(part.clone());
    merged == *whole
}
