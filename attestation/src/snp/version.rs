//! Versions of firmware and of its interface, as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Numbers with points between them, compared from the first on: `1.55` of an ABI, `1.55.29`
/// of a firmware build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version<const N: usize>(pub [u8; N]);

/// Text that is not so many numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[version] expected {expected} numbers from 0 to 255 with points between them")]
pub struct VersionError {
    /// How many numbers it should be.
    pub expected: usize,
}

impl<const N: usize> FromStr for Version<N> {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers: Result<Vec<u8>, _> = text.split('.').map(str::parse).collect();
        let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
        numbers.map(Self).ok_or(VersionError { expected: N })
    }
}

impl<const N: usize> fmt::Display for Version<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(u8::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl<const N: usize> Serialize for Version<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Version<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text: &str| text.parse::<Version<3>>();
        assert!(version("1.55.29").unwrap() < version("1.55.30").unwrap());
        assert!(version("1.9.200").unwrap() < version("1.10.0").unwrap());
        assert_eq!(version("1.55.29").unwrap().to_string(), "1.55.29");
        for wrong in ["", "1.55", "1.55.29.1", "1.55.256", "1.55.x"] {
            assert_eq!(version(wrong), Err(VersionError { expected: 3 }), "{wrong}");
        }
    }
}
