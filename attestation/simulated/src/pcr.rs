//! Platform configuration registers, computed as the Nitro hypervisor does.

use std::collections::BTreeMap;

use ring::digest::{SHA384, digest};

/// One register: a SHA-384 value of 48 bytes.
pub type Pcr = [u8; 48];

/// Registers by index (0 to 31). Those of 0 to 15 that are missing read as 48 zero bytes in a
/// document, as on hardware.
pub type Pcrs = BTreeMap<u8, Pcr>;

/// A register that was extended once, with `data`.
///
/// `SHA-384(48 zero bytes || SHA-384(data))`, the value that a Nitro enclave image has for
/// each of its measured parts.
#[must_use]
pub fn pcr(data: &[u8]) -> Pcr {
    let mut extended = [0; 96];
    extended[48..].copy_from_slice(digest(&SHA384, data).as_ref());
    let mut value = [0; 48];
    value.copy_from_slice(digest(&SHA384, &extended).as_ref());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hashlib: `sha384(bytes(48) + sha384(b"abc").digest())`.
    #[rustfmt::skip]
    const OF_ABC: Pcr = [
        0x93, 0x73, 0x2e, 0x37, 0x33, 0x51, 0x4a, 0x84, 0x1c, 0x98, 0x2c, 0xfa,
        0x75, 0xea, 0x76, 0xab, 0x55, 0xfe, 0x01, 0x1a, 0xcb, 0x9c, 0xd9, 0x80,
        0xef, 0x45, 0x23, 0x91, 0x3c, 0x65, 0xbe, 0x1b, 0x09, 0x98, 0xe0, 0x4d,
        0x77, 0xf8, 0xc1, 0x74, 0xf8, 0x1a, 0x82, 0x15, 0x16, 0x19, 0xca, 0x40,
    ];

    #[test]
    fn matches_an_independent_computation() {
        assert_eq!(pcr(b"abc"), OF_ABC);
    }
}
