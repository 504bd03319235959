//! AWS Nitro attestation documents, and simulated ones of the same shape.
//!
//! A document is a `COSE_Sign1` (RFC 9052) whose payload is a CBOR map with the enclave's
//! registers (PCRs), the certificate of the key that signed it and the chain up to the root.
//! The format is AWS's, "Verifying the root of trust" in the documentation of the Nitro
//! Enclaves NSM API. AWS says there not to check CRLs, and so it is here.

mod chain;
mod claims;
mod envelope;
mod interpret;
mod limits;
mod pcr;
mod policy;
mod ra_tls;
mod reference;
mod roots;
mod rules;
pub mod tpm;

pub use claims::{Claims, Optional};
pub use pcr::{Pcr, PcrError, PcrIndex, Pcrs};
pub use ra_tls::{CertificateKey, document_in_certificate, verify_certificate};
pub use reference::{DebugReference, Reference, ReferenceError, ReferenceValues};
pub use roots::{AWS_ROOT_SHA256, RootError, Roots};
pub use rules::RULES;

use crate::certificate::Certificate;
use crate::verdict::{Checks, Stop};
use crate::{Binding, Cache, Clock, Freshness, Unverified, Verdict, text, verdict};
use envelope::{Envelope, Kind};

/// Everything that a verifier expects of a document. There is no default for any part:
///
/// ```compile_fail,E0063
/// use cloister_attestation::{Binding, Clock, Freshness, nitro};
///
/// fn without_reference_values(roots: nitro::Roots, clock: Clock) -> nitro::Expectations {
///     nitro::Expectations {
///         roots,
///         clock,
///         freshness: Freshness::WithinBinding,
///         binding: Binding::Exactly([0; 64]),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Whose root is trusted, and so which platform this is.
    pub roots: Roots,
    /// The time of verification.
    pub clock: Clock,
    /// How the document is known to be fresh.
    pub freshness: Freshness,
    /// What the document must vouch for.
    pub binding: Binding,
    /// Which enclaves are approved.
    pub reference: ReferenceValues,
}

/// Verifies a document.
///
/// Never fails as such: whatever is wrong with `evidence` is in the verdict. Nearly all of
/// its time goes into P-384 verifications, about half a millisecond each: one for every
/// certificate below the root, and one for the document. Memory is in proportion to the
/// document, which is at most 16 KiB.
pub fn verify(evidence: &[u8], expectations: &Expectations) -> Verdict {
    verify_with(evidence, expectations, &mut Cache::new())
}

/// The same, without verifying again the signatures of certificate authorities that `cache`
/// knows. What it did not know is in it afterwards.
pub fn verify_with(evidence: &[u8], expectations: &Expectations, cache: &mut Cache) -> Verdict {
    let mut checks = Checks::default();
    let claims = steps(evidence, expectations, cache, &mut checks).ok();
    let platform = expectations.roots.platform();
    Verdict::new(platform, checks, claims.map(verdict::Claims::Nitro))
}

fn steps(
    evidence: &[u8],
    expectations: &Expectations,
    cache: &mut Cache,
    checks: &mut Checks,
) -> Result<Claims, Stop> {
    // 1. Bound sizes and take out the structure that verification needs.
    let envelope = Envelope::extract(evidence, Kind::Enclave, checks)?;
    // 2. Chain and signature, over the bytes as received.
    let Expectations { roots, clock, .. } = expectations;
    let leaf = chain::verify(&envelope, roots, clock.now, cache, checks)?;
    envelope.verify_signature(&leaf, checks);
    checks.end_of_step()?;
    // 3. Interpret.
    let claims = interpret::claims(&envelope, &leaf, checks)?;
    // 4. Compare with what is expected.
    policy::appraise(&claims, expectations, checks);
    Ok(claims)
}

/// What a document says of itself, unverified.
pub(crate) fn unverified(evidence: &[u8]) -> Option<Unverified> {
    let nothing = &mut Checks::default();
    let envelope = Envelope::extract(evidence, Kind::Enclave, nothing).ok()?;
    let leaf = Certificate::parse(&envelope.certificate)?.into_leaf()?;
    let claims = interpret::claims(&envelope, &leaf, nothing).ok()?;
    let mut shown = Unverified::new("an attestation document of the Nitro shape")
        .with("module_id", text::quoted(&claims.module_id))
        .with("made at", text::time(claims.timestamp_ms / 1000))
        .with("certificate until", text::time(claims.certificate_not_after))
        .with("root SHA-256", hex::encode(claims.root_sha256))
        .with("debug mode", if claims.debug { "yes: PCR0, PCR1 and PCR2 are zero" } else { "no" });
    for (index, value) in claims.pcrs.iter().filter(|(_, value)| !value.is_zero()) {
        shown = shown.with(index.to_string(), value);
    }
    let Claims { public_key, user_data, nonce, .. } = &claims;
    for (name, field) in [("public_key", public_key), ("user_data", user_data), ("nonce", nonce)] {
        shown = shown.with(name, field.shown());
    }
    Some(shown)
}

/// The SHA-256 of the root certificate that `evidence` claims to rest on, unverified: only
/// good for choosing which expectations to verify it with.
#[must_use]
pub fn claimed_root(evidence: &[u8]) -> Option<[u8; 32]> {
    let envelope = Envelope::extract(evidence, Kind::Enclave, &mut Checks::default()).ok()?;
    Some(envelope.root_sha256())
}
