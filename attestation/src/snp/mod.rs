//! AMD SEV-SNP attestation reports.
//!
//! A report is 1184 bytes that the processor's firmware makes for a guest and signs with a key
//! of the chip (VCEK) or of a cloud provider (VLEK). The certificates of that key come
//! separately, as [`Collateral`]. The format is that of the "SEV Secure Nested Paging Firmware
//! ABI Specification" (AMD publication 56860).
//!
//! ```
//! use std::time::Duration;
//! use cloister_attestation::{Binding, Freshness, Hex, UnixTime, snp};
//!
//! let report = include_bytes!("../../tests/fixtures/snp/report.bin");
//! let mut collateral = snp::Collateral::new();
//! collateral.add(include_bytes!("../../tests/fixtures/snp/chain.pem"))?;
//! let root = include_bytes!("../../tests/fixtures/snp/root.der");
//!
//! let measurement: Hex<48> = "99".repeat(48).parse()?;
//! let least = snp::Tcb { fmc: None, bootloader: 10, tee: 0, snp: 23, microcode: 84 };
//! let products = [(snp::Product::Genoa, snp::LeastTcb { reported: Some(least), ..Default::default() })];
//! let guest = snp::Guest::new("cloister-enclave 0.1.0", measurement, products);
//!
//! let expectations = snp::Expectations {
//!     // A test vendor; reports of real chips rest on `Roots::amd()`.
//!     roots: snp::Roots::simulated(snp::Product::Genoa, root)?,
//!     collateral,
//!     now: UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600)),
//!     freshness: Freshness::WithinBinding,
//!     binding: Binding::Exactly([7; 64]),
//!     reference: snp::ReferenceValues::new(snp::Reference::new(guest)?),
//! };
//! let verdict = snp::verify(report, &expectations);
//! assert!(verdict.accepted(), "{verdict}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binding;
mod bundle;
mod chain;
mod claims;
mod collateral;
mod hcl;
mod leaf;
mod limits;
mod path;
mod policy;
mod product;
mod pss;
mod reference;
mod report;
mod revocation;
mod roots;
mod rules;
mod table;
mod tcb;
mod version;

pub use bundle::{Bundle, BundleError};
pub use claims::{Claims, GuestPolicy, Mitigations, PlatformInfo, SignedBy};
pub use collateral::{Collateral, CollateralError, Entry, EntryKind};
pub use hcl::is_wrapped;
pub use product::Product;
pub use reference::{
    Allowance, Feature, Guest, LeastTcb, Reference, ReferenceError, ReferenceValues,
};
pub use roots::Roots;
pub use rules::RULES;
pub use table::TableError;
pub use tcb::Tcb;
pub use version::{Version, VersionError};

use std::borrow::Cow;

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::UnixTime;

use crate::hexadecimal::Hex;
use crate::verdict::{Checks, Stop};
use crate::{Binding, Cache, Freshness, Unverified, Verdict, text, verdict};
use chain::{Chain, key_name};
use hcl::Wrapped;
use leaf::Endorsed;
use report::{Report, SigningKey};

/// Everything that a verifier expects of a report. There is no default for any part:
///
/// ```compile_fail,E0063
/// use cloister_attestation::{Binding, Freshness, UnixTime, snp};
///
/// fn without_reference_values(collateral: snp::Collateral, now: UnixTime) -> snp::Expectations {
///     snp::Expectations {
///         roots: snp::Roots::amd(),
///         collateral,
///         now,
///         freshness: Freshness::WithinBinding,
///         binding: Binding::Exactly([0; 64]),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Whose roots are trusted.
    pub roots: Roots,
    /// Certificates and revocation lists, none of which is trusted for being here.
    pub collateral: Collateral,
    /// The time of verification, at which all certificates have to be valid.
    pub now: UnixTime,
    /// How the report is known to be fresh. Reports have no nonce: it is in the binding.
    pub freshness: Freshness,
    /// What the report must vouch for.
    pub binding: Binding,
    /// Which guests are approved, on which hosts.
    pub reference: ReferenceValues,
}

/// Verifies a report, a report with the certificate table of an extended request right
/// behind it, or Azure's wrapping of a report.
///
/// Never fails as such: whatever is wrong with `evidence` is in the verdict. Its time goes
/// into two RSA-4096 verifications for the chain and a P-384 verification for the report.
/// Memory is in proportion to the evidence, which is at most 33 KiB, and to the collateral.
pub fn verify(evidence: &[u8], expectations: &Expectations) -> Verdict {
    verify_with(evidence, expectations, &mut Cache::new())
}

/// The same, without verifying again the signatures of chains that `cache` knows. What it did
/// not know is in it afterwards.
pub fn verify_with(evidence: &[u8], expectations: &Expectations, cache: &mut Cache) -> Verdict {
    let mut checks = Checks::default();
    let claims = steps(evidence, expectations, cache, &mut checks).ok();
    let platform = expectations.roots.platform();
    Verdict::new(platform, checks, claims.map(|claims| verdict::Claims::SevSnp(Box::new(claims))))
}

/// Whether `evidence` has the form of a report or of Azure's wrapping, unverified: only good
/// for choosing which expectations to verify it with.
#[must_use]
pub fn is_report(evidence: &[u8]) -> bool {
    // Documents of the Nitro shape begin with other bytes: versions have small numbers.
    let small = |version: &[u8]| version[1..4].iter().all(|&byte| byte == 0);
    is_wrapped(evidence) || evidence.len() >= limits::REPORT && small(evidence)
}

/// What the processor has signed of a report, unverified: two reports that agree in it say the
/// same, whatever their signatures look like.
#[must_use]
pub fn signed_part(evidence: &[u8]) -> Option<&[u8]> {
    if is_wrapped(evidence) {
        return Some(Report::new(Wrapped::read(evidence).ok()?.report)?.signed());
    }
    Some(Report::new(evidence.get(..limits::REPORT)?)?.signed())
}

/// Takes the certificate table off that may be behind a report. What is in it goes to the end
/// of the collateral: what the caller gave is tried first.
fn without_table<'a, 'b>(
    evidence: &'a [u8],
    collateral: &'b Collateral,
    checks: &mut Checks,
) -> Result<(&'a [u8], Cow<'b, Collateral>), Stop> {
    const EXPECTED: &str = "a certificate table that holds together, if there is one";
    // The firmware's whole response: status, size of the report, reserved.
    const RESPONSE: &[u8] = &[0, 0, 0, 0, 0xa0, 0x04, 0, 0];
    if evidence.starts_with(RESPONSE) {
        return Ok((evidence, Cow::Borrowed(collateral)));
    }
    let collateral = Cow::Borrowed(collateral);
    match evidence.split_at_checked(limits::REPORT) {
        Some((report, table)) if !table.is_empty() && !is_wrapped(evidence) => {
            let mut sent = Collateral::new();
            match sent.add_table(table) {
                Ok(count) => {
                    let mut collateral = collateral;
                    collateral.to_mut().append(sent);
                    let found = format!("{count} certificates");
                    checks.pass(&rules::EVIDENCE_TABLE, EXPECTED, found);
                    Ok((report, collateral))
                }
                Err(error) => Err(checks.stop(&rules::EVIDENCE_TABLE, EXPECTED, error.to_string())),
            }
        }
        _ => Ok((evidence, collateral)),
    }
}

/// What a report says of itself, unverified.
pub(crate) fn unverified(evidence: &[u8]) -> Option<Unverified> {
    if !is_report(evidence) {
        return None;
    }
    let nothing = &mut Checks::default();
    let nobody = Collateral::new();
    let (evidence, _) = without_table(evidence, &nobody, nothing).ok()?;
    let (report, wrapped) = unwrap(evidence, nothing).ok()?;
    let product = report.processor().map(Product::of_processor);
    let processor = match (report.processor(), product) {
        (_, Some(Some(product))) => product.to_string(),
        (Some([family, model, _]), _) => format!("unknown, family {family:#x} model {model:#x}"),
        (None, _) => "not said, as in reports before version 3".to_owned(),
    };
    let form = match wrapped {
        Some(_) => "an SEV-SNP report in Azure's wrapping",
        None => "an SEV-SNP attestation report",
    };
    // Of the layouts, Turin's is its own; processors before it make no other.
    let layout = product.flatten().unwrap_or(Product::Genoa);
    let tcb = |bytes| Tcb::from_bytes(bytes, layout);
    let policy = GuestPolicy(report.policy());
    let mut shown = Unverified::new(form)
        .with("version", report.version())
        .with("processor", processor)
        .with("signed by", key_name(report.signing_key()))
        .with("chip id", Hex(report.chip_id()))
        .with("guest policy", format!("{:#x}", policy.0))
        .with("debugging", if policy.has(policy::DEBUG_BIT) { "allowed" } else { "forbidden" })
        .with("platform", format!("{:#x}", report.platform_info()))
        .with("vmpl", report.vmpl())
        .with("measurement", Hex(report.measurement()))
        .with("report data", Hex(report.report_data()))
        .with("host data", Hex(report.host_data()))
        .with("id key", Hex(report.id_key_digest()))
        .with("author key", Hex(report.author_key_digest()))
        .with("reported tcb", tcb(report.reported_tcb()))
        .with("committed tcb", tcb(report.committed_tcb()))
        .with("current tcb", tcb(report.current_tcb()))
        .with("launch tcb", tcb(report.launch_tcb()))
        .with("firmware", Version(report.current_firmware()));
    if let Some(wrapped) = wrapped {
        shown = shown.with("runtime claims", text::quoted(wrapped.claims));
    }
    Some(shown)
}

fn steps(
    evidence: &[u8],
    expectations: &Expectations,
    cache: &mut Cache,
    checks: &mut Checks,
) -> Result<Claims, Stop> {
    // 1. Take out the structure that verification needs.
    let Expectations { roots, collateral, now, .. } = expectations;
    let (evidence, collateral) = without_table(evidence, collateral, checks)?;
    let (report, wrapped) = unwrap(evidence, checks)?;
    let signature = structure(report, checks)?;
    // 2. Chain and signature, over the bytes as received.
    let expected = (roots, *now);
    let chain = chain::verify(report, &signature, &collateral, expected, cache, checks)?;
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &chain.leaf.public_key);
    let holds = key.verify(report.signed(), &signature).is_ok();
    let found = if holds { "a valid signature" } else { "an invalid signature" };
    checks.judge(&rules::REPORT_SIGNATURE, holds, "a valid signature", found);
    checks.end_of_step()?;
    // 3. Interpret.
    let mut claims = interpret(report, &chain, checks)?;
    if let Some(wrapped) = wrapped {
        let [expected, found] = [Hex(wrapped.report_data()), claims.report_data];
        let holds = expected == found;
        checks.judge(&rules::HCL, holds, expected.to_string(), found.to_string());
        checks.end_of_step()?;
        claims.runtime_claims = Some(wrapped.claims.to_owned());
    }
    // 4. Compare with what is expected.
    policy::appraise(&claims, expectations, checks);
    Ok(claims)
}

fn unwrap<'a>(
    evidence: &'a [u8],
    checks: &mut Checks,
) -> Result<(Report<'a>, Option<Wrapped<'a>>), Stop> {
    const EXPECTED: &str = "a report of 1184 bytes, or Azure's wrapping of one";
    let wrapped = if is_wrapped(evidence) {
        let wrapped = Wrapped::read(evidence);
        Some(wrapped.map_err(|found| checks.stop(&rules::EVIDENCE_SIZE, EXPECTED, found))?)
    } else {
        None
    };
    let report = wrapped.map_or(evidence, |wrapped| wrapped.report);
    let found = format!("{} bytes", evidence.len());
    match Report::new(report) {
        Some(report) => {
            checks.pass(&rules::EVIDENCE_SIZE, EXPECTED, found);
            Ok((report, wrapped))
        }
        None => Err(checks.stop(&rules::EVIDENCE_SIZE, EXPECTED, found)),
    }
}

/// What is needed of a report to verify its signature. Gives the signature.
fn structure(report: Report<'_>, checks: &mut Checks) -> Result<[u8; 96], Stop> {
    let algorithm = report.signature_algorithm();
    checks.judge(
        &rules::REPORT_ALGORITHM,
        algorithm == Report::ECDSA_P384_SHA384,
        "algorithm 1",
        format!("algorithm {algorithm}"),
    );
    let key = report.signing_key();
    let found = match key {
        SigningKey::Vcek | SigningKey::Vlek => key_name(key).to_owned(),
        SigningKey::Other(7) => "none".to_owned(),
        SigningKey::Other(other) => format!("key {other}"),
    };
    let known = !matches!(key, SigningKey::Other(_));
    checks.judge(&rules::REPORT_SIGNING_KEY, known, "VCEK or VLEK", found);
    let masked = report.chip_key_masked();
    let found = if masked { "masked" } else { "not masked" };
    checks.judge(&rules::REPORT_CHIP_KEY, !masked, "not masked", found);
    let signature = report.signature();
    let found = if signature.is_some() { "zeros around r and s" } else { "other bytes" };
    let holds = signature.is_some();
    checks.judge(&rules::REPORT_SIGNATURE_FORM, holds, "zeros around r and s", found);
    checks.end_of_step()?;
    signature.ok_or_else(Stop::now)
}

/// What the fields and the certificate say, and whether they agree.
fn interpret(report: Report<'_>, chain: &Chain<'_>, checks: &mut Checks) -> Result<Claims, Stop> {
    let version = report.version();
    let known = Report::VERSIONS.contains(&version);
    let expected = "version 2, 3 or 5";
    checks.require(&rules::REPORT_VERSION, known, expected, format!("version {version}"))?;
    let zero = report.reserved_are_zero();
    let found = if zero { "zeros" } else { "other bytes" };
    checks.judge(&rules::REPORT_RESERVED, zero, "zeros", found);

    let expected = "each extension once and well formed";
    let leaf = match Endorsed::read(chain.leaf_der) {
        Ok(leaf) => {
            checks.pass(&rules::LEAF_EXTENSIONS, expected, expected);
            leaf
        }
        Err(found) => return Err(checks.stop(&rules::LEAF_EXTENSIONS, expected, found)),
    };
    let processor = report.processor().map(Product::of_processor);
    let agree = leaf.product == chain.product
        && processor.is_none_or(|processor| processor == Some(chain.product));
    let processor = match (report.processor(), processor) {
        (None, _) => "which the report does not name".to_owned(),
        (Some(_), Some(Some(product))) => product.to_string(),
        (Some([family, model, stepping]), _) => {
            format!("unknown, family {family:#x} model {model:#x} stepping {stepping}")
        }
    };
    checks.require(
        &rules::PRODUCT,
        agree,
        format!("{}, as the root", chain.product),
        format!("leaf {}, processor {processor}", leaf.product),
    )?;
    let certified = leaf.tcb;
    let claims = Claims::of(report, chain, leaf);
    let reported = claims.reported_tcb;
    checks.judge(
        &rules::TCB_CERTIFICATE,
        reported == certified,
        format!("{certified}, as the certificate"),
        format!("{reported}"),
    );
    let Claims { committed_tcb, current_tcb, .. } = claims;
    checks.judge(
        &rules::TCB_ORDER,
        committed_tcb.is_at_least(&reported) && current_tcb.is_at_least(&committed_tcb),
        "reported at most committed, committed at most current",
        format!("reported {reported}; committed {committed_tcb}; current {current_tcb}"),
    );
    checks.end_of_step()?;
    Ok(claims)
}
