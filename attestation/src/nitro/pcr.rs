//! Platform configuration registers: what was measured, by index.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

use super::limits;

/// Registers by index.
pub type Pcrs = BTreeMap<PcrIndex, Pcr>;

/// The index of a register, below 32. In human-readable formats a string, as keys of TOML and
/// JSON are; otherwise a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PcrIndex(u8);

/// The value of a register: 32, 48 or 64 bytes. In human-readable formats hexadecimal,
/// otherwise bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Pcr(Vec<u8>);

/// Why a register cannot be what it was said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PcrError {
    /// There are 32 registers.
    #[error(
        "[pcr-index] a PCR index is a number below 32, found {found}: PCR0 is the image, PCR8 its signer"
    )]
    Index {
        /// What was given.
        found: String,
    },
    /// Not the length of a hash.
    #[error("[pcr-length] a PCR is 32, 48 or 64 bytes, found {found}: copy the whole value")]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// Not hexadecimal.
    #[error("[pcr-hex] a PCR is written in hexadecimal: {found}")]
    Hex {
        /// What is wrong.
        found: String,
    },
}

impl PcrIndex {
    /// Takes an index below 32.
    ///
    /// # Errors
    ///
    /// [`PcrError::Index`] for others.
    pub fn new(index: u8) -> Result<Self, PcrError> {
        if usize::from(index) < limits::PCRS {
            Ok(Self(index))
        } else {
            Err(PcrError::Index { found: index.to_string() })
        }
    }

    /// The index as a number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// PCR0 (image), PCR1 (kernel), PCR2 (application): zero in a debug enclave.
    pub const IMAGE: [Self; 3] = [Self(0), Self(1), Self(2)];
    /// PCR4 of a TPM: what was booted.
    pub(super) const BOOTED: Self = Self(4);
    /// PCR8: the certificate that signed the image.
    pub(super) const SIGNER: Self = Self(8);
    /// PCR3 and PCR4: the role and the id of the instance.
    pub(super) const DEPLOYMENT: [Self; 2] = [Self(3), Self(4)];
}

impl fmt::Display for PcrIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PCR{}", self.0)
    }
}

impl Pcr {
    /// Takes a value of 32, 48 or 64 bytes.
    ///
    /// # Errors
    ///
    /// [`PcrError::Length`] for others.
    pub fn new(value: impl Into<Vec<u8>>) -> Result<Self, PcrError> {
        let value = value.into();
        match value.len() {
            32 | 48 | 64 => Ok(Self(value)),
            found => Err(PcrError::Length { found }),
        }
    }

    /// Reads hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`PcrError::Hex`] and [`PcrError::Length`].
    pub fn from_hex(text: &str) -> Result<Self, PcrError> {
        let value =
            hex::decode(text).map_err(|error| PcrError::Hex { found: error.to_string() })?;
        Self::new(value)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing was measured: all bytes are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pcr({self})")
    }
}

impl Serialize for PcrIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0)
        } else {
            serializer.serialize_u8(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for PcrIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Index;

        impl Visitor<'_> for Index {
            type Value = PcrIndex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a PCR index below 32")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<PcrIndex, E> {
                u8::try_from(value)
                    .map_err(|_| PcrError::Index { found: value.to_string() })
                    .and_then(PcrIndex::new)
                    .map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PcrIndex, E> {
                let canonical = |value: &u8| value.to_string() == text;
                text.parse()
                    .ok()
                    .filter(canonical)
                    .ok_or_else(|| PcrError::Index { found: crate::text::quoted(text) })
                    .and_then(PcrIndex::new)
                    .map_err(E::custom)
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Index)
        } else {
            deserializer.deserialize_u8(Index)
        }
    }
}

impl Serialize for Pcr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            Bytes::new(&self.0).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Pcr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Self::from_hex(&text).map_err(de::Error::custom)
        } else {
            let bytes = ByteBuf::deserialize(deserializer)?;
            Self::new(bytes.into_vec()).map_err(de::Error::custom)
        }
    }
}
