//! `NitroTPM` documents: what an instance, not an enclave, says of itself.
//!
//! Their envelope, chain and root are those of enclaves' documents, their registers are a
//! TPM's and in a field of their own, `nitrotpm_pcrs`. An instance's operator can log into it;
//! therefore nothing of it is ever taken for an enclave's, and it has its own expectations,
//! claims and platform.

use serde::Serialize;

use super::claims::hexadecimal;
use super::envelope::{Envelope, Kind};
use super::policy::{self, Candidate};
use super::{Optional, PcrIndex, Pcrs, ReferenceError, Roots, chain, interpret, rules};
use crate::verdict::{self, Checks, Stop};
use crate::{Binding, Cache, Clock, Freshness, Platform, Verdict, text};

/// Everything that a verifier expects of a `NitroTPM` document. There is no default for any part.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Whose root is trusted.
    pub roots: Roots,
    /// The time of verification.
    pub clock: Clock,
    /// How the document is known to be fresh.
    pub freshness: Freshness,
    /// What the document must vouch for.
    pub binding: Binding,
    /// Which instances are approved; any of them will do.
    pub reference: Vec<Reference>,
}

/// An approved instance: registers of its TPM that must all have these values, PCR4 (what was
/// booted) among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    name: String,
    pcrs: Pcrs,
}

/// The fields of a `NitroTPM` document, interpreted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Claims {
    /// The instance's id.
    pub module_id: String,
    /// When the document was made, in milliseconds since 1970, by the platform's clock.
    pub timestamp_ms: u64,
    /// The TPM's registers.
    pub nitrotpm_pcrs: Pcrs,
    /// A key of the instance's own.
    #[serde(skip_serializing_if = "Optional::is_absent")]
    pub public_key: Optional,
    /// What the instance vouches for.
    #[serde(skip_serializing_if = "Optional::is_absent")]
    pub user_data: Optional,
    /// The nonce of whoever asked for the document.
    #[serde(skip_serializing_if = "Optional::is_absent")]
    pub nonce: Optional,
    /// When the leaf certificate expires, in seconds since 1970.
    pub certificate_not_after: u64,
    /// SHA-256 of the root certificate that all this rests on.
    #[serde(serialize_with = "hexadecimal")]
    pub root_sha256: [u8; 32],
}

impl Reference {
    /// Approves what measures to `pcrs`.
    ///
    /// # Errors
    ///
    /// [`ReferenceError::NoCode`] if PCR4 is not given or zero, and
    /// [`ReferenceError::Length`].
    pub fn new(name: impl Into<String>, pcrs: Pcrs) -> Result<Self, ReferenceError> {
        let name = name.into();
        if pcrs.get(&PcrIndex::BOOTED).is_none_or(super::Pcr::is_zero) {
            return Err(ReferenceError::NoCode { name: text::quoted(&name) });
        }
        super::reference::check_lengths(&name, &pcrs)?;
        Ok(Self { name, pcrs })
    }
}

/// Verifies a `NitroTPM` document. An enclave's is refused, as this type is by
/// [`nitro::verify`](super::verify).
pub fn verify(evidence: &[u8], expectations: &Expectations) -> Verdict {
    let mut checks = Checks::default();
    let claims = steps(evidence, expectations, &mut checks).ok();
    let platform = match expectations.roots.platform() {
        Platform::Nitro => Platform::NitroTpm,
        other => other,
    };
    Verdict::new(platform, checks, claims.map(verdict::Claims::NitroTpm))
}

fn steps(
    evidence: &[u8],
    expectations: &Expectations,
    checks: &mut Checks,
) -> Result<Claims, Stop> {
    let Expectations { roots, clock, freshness, binding, reference } = expectations;
    let envelope = Envelope::extract(evidence, Kind::NitroTpm, checks)?;
    let leaf = chain::verify(&envelope, roots, clock.now, &mut Cache::new(), checks)?;
    envelope.verify_signature(&leaf, checks);
    checks.end_of_step()?;
    let claims = interpret::claims(&envelope, &leaf, checks)?;
    let candidates: Vec<_> =
        reference.iter().map(|one| Candidate { name: &one.name, pcrs: &one.pcrs }).collect();
    match candidates.iter().min_by_key(|one| one.differences(&claims.pcrs)) {
        Some(nearest) => {
            let all = |_| true;
            nearest.compare(&rules::PCRS_TPM, all, candidates.len(), &claims.pcrs, checks);
        }
        None => {
            checks.judge(&rules::PCRS_TPM, false, "an approved instance", "none is approved");
        }
    }
    policy::fresh_and_bound(&claims, *clock, freshness, binding, checks);
    let super::Claims { module_id, timestamp_ms, debug: _, pcrs, public_key, .. } = claims;
    Ok(Claims {
        module_id,
        timestamp_ms,
        nitrotpm_pcrs: pcrs,
        public_key,
        user_data: claims.user_data,
        nonce: claims.nonce,
        certificate_not_after: claims.certificate_not_after,
        root_sha256: claims.root_sha256,
    })
}
