//! AMD's products: how reports and certificates name them, and their roots.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A family of processors with a root of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004, 97x4 and 8004: Genoa, Bergamo and Siena share roots and layouts.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// Every product that reports are known of.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// SHA-256 of the DER of the AMD root key's certificate (ARK).
    #[must_use]
    pub fn root_sha256(self) -> [u8; 32] {
        match self {
            Self::Milan => MILAN,
            Self::Genoa => GENOA,
            Self::Turin => TURIN,
        }
    }

    /// By family, model and stepping, as CPUID has them and reports since version 3.
    pub(super) fn of_processor([family, model, _stepping]: [u8; 3]) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// By the name in a leaf certificate, which may have a stepping: `Milan-B0`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let product = name.split('-').next()?;
        Self::ALL.into_iter().find(|candidate| candidate.name() == product)
    }

    /// By the name of a root: `ARK-Milan`.
    pub(super) fn of_root(name: &str) -> Option<Self> {
        Self::of_name(name.strip_prefix("ARK-")?)
    }

    /// As AMD writes it in certificates.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// How many bytes of a chip's id are its own; the others are zero.
    pub(super) fn chip_id_length(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const MILAN: [u8; 32] = [
    0x69, 0xd0, 0x63, 0xb4, 0x53, 0x44, 0xd2, 0x6a, 0x2e, 0x94, 0xe1, 0xf4, 0x21, 0x0d, 0xe4, 0x9e,
    0xf5, 0x55, 0x30, 0x82, 0x87, 0xd4, 0xc1, 0x74, 0x44, 0x5c, 0x95, 0x63, 0x9a, 0x54, 0x0b, 0xcd,
];
const GENOA: [u8; 32] = [
    0x4c, 0x65, 0x98, 0xd1, 0x9c, 0x18, 0x71, 0x9c, 0x5d, 0xfd, 0x4a, 0x7d, 0x33, 0x5f, 0x67, 0x4e,
    0x5b, 0xfe, 0x1d, 0x8f, 0x80, 0x0c, 0xea, 0x2c, 0xf2, 0x70, 0xc1, 0x0d, 0x10, 0x3d, 0xb2, 0xf1,
];
const TURIN: [u8; 32] = [
    0x1f, 0x08, 0x41, 0x61, 0xa4, 0x4b, 0xb6, 0xd9, 0x37, 0x78, 0xa9, 0x04, 0x87, 0x7d, 0x48, 0x19,
    0xca, 0xfa, 0x5d, 0x05, 0xef, 0x41, 0x93, 0xb2, 0xde, 0xd9, 0xdd, 0x9c, 0x73, 0xdd, 0x3f, 0x6a,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_known_by_processor_and_by_name() {
        for (processor, name, product) in [
            ([0x19, 0x01, 0x01], "Milan-B0", Product::Milan),
            ([0x19, 0x11, 0x01], "Genoa", Product::Genoa),
            ([0x19, 0xa0, 0x02], "Genoa-B2", Product::Genoa),
            ([0x1a, 0x02, 0x01], "Turin", Product::Turin),
        ] {
            assert_eq!(Product::of_processor(processor), Some(product));
            assert_eq!(Product::of_name(name), Some(product));
        }
        assert_eq!(Product::of_processor([0x17, 0x31, 0]), None);
        for name in ["", "milan", "MilanX", "Rome", "-Milan"] {
            assert_eq!(Product::of_name(name), None, "{name}");
        }
    }
}
