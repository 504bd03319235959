//! Reference values: which enclaves are approved, by what they measure to.

use serde::{Deserialize, Serialize};

use super::{PcrIndex, Pcrs};
use crate::text;

/// An approved enclave: a name for people, and registers that must all have these values.
///
/// It identifies code: PCR0 (the image) or PCR8 (who signed it) is among the registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Reference {
    name: String,
    pcrs: Pcrs,
}

/// An enclave in debug mode that is accepted all the same, without any statement about its
/// code: PCR0 to PCR2 are zeros. Other registers may be pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct DebugReference {
    name: String,
    pcrs: Pcrs,
}

/// Approved enclaves, any of which will do. There is always one.
#[derive(Clone, Debug)]
pub struct ReferenceValues {
    pub(super) production: Vec<Reference>,
    pub(super) debug: Vec<DebugReference>,
}

/// Why registers identify no enclave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing would say which code runs.
    #[error(
        "[reference-code] the reference value {name} says nothing about the code: give PCR0 (the image) or PCR8 (who signed it)"
    )]
    NoCode {
        /// The reference value's name.
        name: String,
    },
    /// Zero means that nothing was measured.
    #[error(
        "[reference-zero] {index} of the reference value {name} is zero, as in an enclave in debug mode: take the value of a production enclave"
    )]
    Zero {
        /// The reference value's name.
        name: String,
        /// The register.
        index: PcrIndex,
    },
    /// Registers of Nitro are SHA-384 values.
    #[error(
        "[reference-length] {index} of the reference value {name} should have 48 bytes, found {found}: copy the whole SHA-384 value"
    )]
    Length {
        /// The reference value's name.
        name: String,
        /// The register.
        index: PcrIndex,
        /// Its length in bytes.
        found: usize,
    },
    /// Debug enclaves measure zeros there.
    #[error(
        "[reference-debug] the debug reference value {name} gives {index}, which is zero in debug mode: leave it out, or approve a production enclave"
    )]
    DebugCode {
        /// The reference value's name.
        name: String,
        /// The register.
        index: PcrIndex,
    },
}

impl Reference {
    /// Approves what measures to `pcrs`.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] if neither PCR0 nor PCR8 is given, if PCR0, 1, 2 or 8 is zero, or if
    /// a register has not 48 bytes.
    pub fn new(name: impl Into<String>, pcrs: Pcrs) -> Result<Self, ReferenceError> {
        let reference = Self::as_measured(name, pcrs)?;
        for index in PcrIndex::IMAGE.into_iter().chain([PcrIndex::SIGNER]) {
            if reference.pcrs.get(&index).is_some_and(super::Pcr::is_zero) {
                return Err(ReferenceError::Zero { name: text::quoted(&reference.name), index });
            }
        }
        Ok(reference)
    }

    /// Approves what measures to `pcrs`, zeros as well: for one look at one document. An image
    /// of zeros is a debug enclave's, which the debug rule refuses.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] if neither PCR0 nor PCR8 is given, or if a register has not 48 bytes.
    pub fn as_measured(name: impl Into<String>, pcrs: Pcrs) -> Result<Self, ReferenceError> {
        let name = name.into();
        let [image, ..] = PcrIndex::IMAGE;
        if !pcrs.contains_key(&image) && !pcrs.contains_key(&PcrIndex::SIGNER) {
            return Err(ReferenceError::NoCode { name: text::quoted(&name) });
        }
        check_lengths(&name, &pcrs)?;
        Ok(Self { name, pcrs })
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registers that must match.
    #[must_use]
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }
}

impl DebugReference {
    /// Accepts enclaves in debug mode whose other registers match `pcrs`, which may be empty.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] if one of PCR0 to PCR2 is given, or if a register has not 48 bytes.
    pub fn new(name: impl Into<String>, pcrs: Pcrs) -> Result<Self, ReferenceError> {
        let name = name.into();
        check_lengths(&name, &pcrs)?;
        for index in PcrIndex::IMAGE {
            if pcrs.contains_key(&index) {
                return Err(ReferenceError::DebugCode { name: text::quoted(&name), index });
            }
        }
        Ok(Self { name, pcrs })
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registers that must match.
    #[must_use]
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }
}

impl ReferenceValues {
    /// Approves one enclave.
    #[must_use]
    pub fn production(reference: Reference) -> Self {
        Self { production: vec![reference], debug: Vec::new() }
    }

    /// Accepts only enclaves in debug mode. The verdict says so.
    #[must_use]
    pub fn debug_only(reference: DebugReference) -> Self {
        Self { production: Vec::new(), debug: vec![reference] }
    }

    /// Approves another enclave as well.
    #[must_use]
    pub fn or(mut self, reference: Reference) -> Self {
        self.production.push(reference);
        self
    }

    /// Accepts enclaves in debug mode as well. A verdict that rests on it says so.
    #[must_use]
    pub fn or_debug(mut self, reference: DebugReference) -> Self {
        self.debug.push(reference);
        self
    }
}

pub(super) fn check_lengths(name: &str, pcrs: &Pcrs) -> Result<(), ReferenceError> {
    for (&index, value) in pcrs {
        let found = value.as_bytes().len();
        if found != 48 {
            let name = text::quoted(name);
            return Err(ReferenceError::Length { name, index, found });
        }
    }
    Ok(())
}

/// As written, before the rules above.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    name: String,
    pcrs: Pcrs,
}

impl TryFrom<Unchecked> for Reference {
    type Error = ReferenceError;

    fn try_from(Unchecked { name, pcrs }: Unchecked) -> Result<Self, ReferenceError> {
        Self::new(name, pcrs)
    }
}

impl TryFrom<Unchecked> for DebugReference {
    type Error = ReferenceError;

    fn try_from(Unchecked { name, pcrs }: Unchecked) -> Result<Self, ReferenceError> {
        Self::new(name, pcrs)
    }
}
