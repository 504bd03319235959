//! The certificate table that a host hands to its guests, beside an extended report: "SEV-ES
//! Guest-Hypervisor Communication Block Standardization" (AMD publication 56421), section
//! "SNP Extended Guest Request".
//!
//! Entries of 24 bytes, a GUID and little-endian offset and length from the table's start,
//! up to one of zeros; then the certificates, in DER or PEM.

use super::limits;

const ENTRY: usize = 24;

/// GUIDs as their text has them, byte by byte, and what is there.
const KINDS: [([u8; 16], &str); 5] = [
    (guid(0x63da_758d_e664_4564_adc5_f4b9_3be8_accd), "VCEK"),
    (guid(0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1), "VLEK"),
    (guid(0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782), "ASK"),
    (guid(0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae), "ARK"),
    (guid(0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea), "CRL"),
];

const fn guid(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}

/// Why bytes are no certificate table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Larger than any host hands out.
    #[error("[table-size] a certificate table has at most 32768 bytes, found {found}")]
    Size {
        /// Bytes given.
        found: usize,
    },
    /// The list of entries is not closed by one of zeros.
    #[error("[table-end] the certificate table ends before its list of entries does")]
    Unterminated,
    /// An entry lies outside the table, or in the list of entries.
    #[error("[table-bounds] entry {entry} of the certificate table lies outside of it")]
    Bounds {
        /// Which, from 0.
        entry: usize,
    },
    /// Two entries share bytes.
    #[error("[table-overlap] entry {entry} of the certificate table overlaps another")]
    Overlap {
        /// Which, from 0.
        entry: usize,
    },
    /// The same kind of certificate twice.
    #[error("[table-twice] the certificate table has two entries for {kind}")]
    Twice {
        /// Which kind.
        kind: &'static str,
    },
}

/// Whether these bytes begin like a certificate table, with an entry of a known kind.
pub(super) fn is_table(bytes: &[u8]) -> bool {
    bytes.get(..16).is_some_and(|start| kind_of(start).is_some())
}

/// The certificates and lists of a table, by kind. Entries of unknown kinds are checked for
/// their place and left out.
pub(super) fn entries(table: &[u8]) -> Result<Vec<(&'static str, &[u8])>, TableError> {
    if table.len() > limits::TABLE {
        return Err(TableError::Size { found: table.len() });
    }
    let list: Vec<&[u8]> = table.chunks_exact(ENTRY).take(limits::ENTRIES).collect();
    let end = list.iter().position(|entry| entry.iter().all(|&byte| byte == 0));
    let list = &list[..end.ok_or(TableError::Unterminated)?];
    let data = (list.len() + 1) * ENTRY;

    let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
    let mut found: Vec<(&'static str, &[u8])> = Vec::new();
    for (entry, bytes) in list.iter().enumerate() {
        let number = |at: usize| {
            bytes[at..at + 4].iter().rev().fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte))
        };
        let (offset, length) = (number(16), number(20));
        let range = offset..offset.saturating_add(length);
        if length == 0 || offset < data || range.end > table.len() {
            return Err(TableError::Bounds { entry });
        }
        if taken.iter().any(|other| range.start < other.end && other.start < range.end) {
            return Err(TableError::Overlap { entry });
        }
        if let Some(kind) = kind_of(&bytes[..16]) {
            if found.iter().any(|(other, _)| *other == kind) {
                return Err(TableError::Twice { kind });
            }
            found.push((kind, &table[range.clone()]));
        }
        taken.push(range);
    }
    Ok(found)
}

fn kind_of(guid: &[u8]) -> Option<&'static str> {
    KINDS.iter().find(|(known, _)| known == guid).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of these kinds, offsets and lengths, filled up with `size` bytes of data.
    fn table(list: &[(usize, u32, u32)], size: usize) -> Vec<u8> {
        let mut table = Vec::new();
        for &(kind, offset, length) in list {
            table.extend(KINDS[kind].0);
            table.extend(offset.to_le_bytes());
            table.extend(length.to_le_bytes());
        }
        table.extend([0; ENTRY]);
        table.extend((0..size).map(|at| u8::try_from(at % 251).unwrap()));
        table
    }

    #[test]
    fn entries_are_found_by_their_guid() {
        let bytes = table(&[(0, 72, 5), (3, 77, 3)], 8);
        assert!(is_table(&bytes));
        let found = entries(&bytes).unwrap();
        assert_eq!(found, [("VCEK", &[0, 1, 2, 3, 4][..]), ("ARK", &[5, 6, 7])]);
        // In text order; the mixed order that some platforms use is another kind.
        let text = "63da758d-e664-4564-adc5-f4b93be8accd".replace('-', "");
        assert_eq!(hex::encode(KINDS[0].0), text);
        let mut mixed = bytes;
        mixed[..4].reverse();
        assert!(!is_table(&mixed));
        assert_eq!(entries(&mixed).unwrap(), [("ARK", &[5, 6, 7][..])]);
    }

    #[test]
    fn wrong_tables_are_refused_by_reason() {
        for (bytes, error) in [
            (table(&[(0, 48, 9)], 8), TableError::Bounds { entry: 0 }),
            (table(&[(0, 47, 1)], 8), TableError::Bounds { entry: 0 }),
            (table(&[(0, 48, 0)], 8), TableError::Bounds { entry: 0 }),
            (table(&[(0, u32::MAX, u32::MAX)], 8), TableError::Bounds { entry: 0 }),
            (table(&[(0, 72, 5), (3, 76, 3)], 8), TableError::Overlap { entry: 1 }),
            (table(&[(0, 72, 5), (0, 77, 3)], 8), TableError::Twice { kind: "VCEK" }),
            (KINDS[0].0.to_vec(), TableError::Unterminated),
            (table(&[(0, 48, 8)], 8)[..ENTRY].to_vec(), TableError::Unterminated),
            (vec![1; limits::TABLE + 1], TableError::Size { found: limits::TABLE + 1 }),
        ] {
            assert_eq!(entries(&bytes), Err(error));
        }
    }
}
