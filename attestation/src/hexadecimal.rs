//! Bytes of a fixed length that people read and write in hexadecimal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::{ByteBuf, Bytes};

/// `N` bytes. Hexadecimal in human-readable formats, a byte string in others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// Text that is not `N` bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[hex] expected {expected} bytes in hexadecimal, found {found}")]
pub struct HexError {
    /// How many bytes it should be.
    pub expected: usize,
    /// What it is instead.
    pub found: String,
}

impl<const N: usize> Hex<N> {
    /// Whether every byte is zero, which in a report often means that something is not there.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        let error = |found| HexError { expected: N, found };
        let bytes = hex::decode(text).map_err(|_| error("no hexadecimal".to_owned()))?;
        let found = bytes.len();
        bytes.try_into().map(Self).map_err(|_| error(format!("{found} bytes")))
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hex({self})")
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            Bytes::new(&self.0).serialize(serializer)
        }
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        let bytes = ByteBuf::deserialize(deserializer)?.into_vec();
        let found = format!("{} bytes", bytes.len());
        bytes.try_into().map(Self).map_err(|_| de::Error::custom(HexError { expected: N, found }))
    }
}
