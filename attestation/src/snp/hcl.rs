//! Azure's wrapping of a report: what the paravisor (HCL) leaves in the vTPM.
//!
//! The paravisor is at VMPL 0 and asks for one report at boot. Its `REPORT_DATA` is the digest
//! of runtime claims, JSON that holds the vTPM's attestation key and user data. A header of 32
//! bytes that begins with `HCLA`, the report, a header of 20 bytes, the claims.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

use super::limits;

const MAGIC: &[u8] = b"HCLA";
const HEADER: usize = 32;
const RUNTIME: usize = HEADER + limits::REPORT;
/// Sizes, versions and kinds before the claims.
const CLAIMS: usize = RUNTIME + 20;
/// The kind of report that this is.
const SNP: u32 = 2;

/// A report and the runtime claims around it.
#[derive(Clone, Copy)]
pub(super) struct Wrapped<'a> {
    pub(super) report: &'a [u8],
    pub(super) claims: &'a str,
    hash: &'static Algorithm,
}

/// Whether these bytes begin like Azure's wrapping of a report.
#[must_use]
pub fn is_wrapped(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl<'a> Wrapped<'a> {
    /// Takes report and claims out.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() > limits::HCL {
            return Err(format!("{} bytes", bytes.len()));
        }
        let report = bytes.get(HEADER..RUNTIME).ok_or("an HCL blob that ends in its report")?;
        let number = |at: usize| {
            let field = bytes.get(RUNTIME + at..RUNTIME + at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(field))
        };
        let header = "an HCL blob without runtime claims";
        let kind = number(8).ok_or(header)?;
        if kind != SNP {
            return Err(format!("an HCL blob around a report of kind {kind}"));
        }
        let hash = match number(12).ok_or(header)? {
            1 => &SHA256,
            2 => &SHA384,
            3 => &SHA512,
            other => return Err(format!("an HCL blob with hash {other}")),
        };
        let length = usize::try_from(number(16).ok_or(header)?).map_err(|_| header)?;
        let end = CLAIMS.checked_add(length).ok_or(header)?;
        let claims = bytes.get(CLAIMS..end).ok_or("an HCL blob that ends in its claims")?;
        if bytes[end..].iter().any(|&byte| byte != 0) {
            return Err("an HCL blob with something after its claims".to_owned());
        }
        let claims = std::str::from_utf8(claims).map_err(|_| "claims that are no text")?;
        Ok(Self { report, claims, hash })
    }

    /// What `REPORT_DATA` is if claims and report belong together: their digest, then zeros.
    pub(super) fn report_data(&self) -> [u8; 64] {
        let mut data = [0; 64];
        let digest = digest(self.hash, self.claims.as_bytes());
        data[..digest.as_ref().len()].copy_from_slice(digest.as_ref());
        data
    }
}
