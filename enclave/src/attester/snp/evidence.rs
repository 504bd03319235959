//! A report and the host's certificates, as the verifier reads them.

use std::ops::Range;

use cloister_protocol::limits;
use thiserror::Error;

/// A report, by AMD publication 56860, section "`ATTESTATION_REPORT` Structure".
const REPORT: usize = 1184;
/// Its field `REPORT_DATA`.
const REPORT_DATA: Range<usize> = 0x50..0x90;
/// An entry of the certificate table; one of zeros is the last.
const ENTRY: usize = 24;

/// Why a report and a table are no evidence.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum EvidenceError {
    /// The report is not one that verifiers know.
    #[error(
        "the report has {found} bytes instead of {REPORT}: use a kernel that knows this processor"
    )]
    Report {
        /// Its bytes.
        found: usize,
    },
    /// The report is for something else.
    #[error("the report binds something else than it was asked to: try again")]
    Binding,
    /// The table is too long to be sent.
    #[error(
        "report and certificate table have {found} bytes, more than {most}: let the host give only VCEK or VLEK, ASK and ARK"
    )]
    Size {
        /// The bytes of both.
        found: usize,
        /// The most there may be.
        most: usize,
    },
}

/// The report, then the table unless it is empty, both byte by byte as they came.
///
/// The table is the host's, and nothing here looks into it: the verifier, who has nothing to
/// lose, checks its bounds.
pub(super) fn compose(
    report: &[u8],
    table: &[u8],
    binding: &[u8; 64],
) -> Result<Vec<u8>, EvidenceError> {
    if report.len() != REPORT {
        return Err(EvidenceError::Report { found: report.len() });
    }
    if report[REPORT_DATA] != *binding {
        return Err(EvidenceError::Binding);
    }
    // A host without certificates gives no table, or one with nothing in it.
    let empty = table.iter().take(ENTRY).all(|&byte| byte == 0);
    let table = if empty { &[] } else { table };
    let found = report.len() + table.len();
    if found > limits::EVIDENCE {
        return Err(EvidenceError::Size { found, most: limits::EVIDENCE });
    }
    Ok([report, table].concat())
}

#[cfg(test)]
mod tests {
    use cloister_attestation::snp::{Collateral, is_report};

    use super::*;

    const BINDING: [u8; 64] = [7; 64];

    /// A version 3 report for [`BINDING`], of which only the verifier's first look is true.
    fn report() -> Vec<u8> {
        let mut report = vec![0xa5; REPORT];
        report[..4].copy_from_slice(&3_u32.to_le_bytes());
        report[REPORT_DATA].copy_from_slice(&BINDING);
        report
    }

    /// A table as Linux passes it on, with these kinds of certificates.
    fn table(entries: &[(u128, &[u8])]) -> Vec<u8> {
        let mut list = Vec::new();
        let mut bodies = Vec::new();
        for (guid, body) in entries {
            let offset = ENTRY * (entries.len() + 1) + bodies.len();
            list.extend(guid.to_be_bytes());
            list.extend(u32::try_from(offset).unwrap().to_le_bytes());
            list.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
            bodies.extend_from_slice(body);
        }
        list.extend([0; ENTRY]);
        list.extend(bodies);
        list
    }

    #[test]
    fn report_and_table_are_passed_on_byte_by_byte_and_the_verifier_reads_them() {
        const ASK: u128 = 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782;
        const ARK: u128 = 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae;
        let root = include_bytes!("../../../../attestation/tests/fixtures/snp/root.der");
        let chain = include_bytes!("../../../../attestation/tests/fixtures/snp/chain.pem");
        let mut alone = Collateral::new();
        let certificates = alone.add(chain).unwrap();

        let (report, table) = (report(), table(&[(ASK, chain), (ARK, root)]));
        let evidence = compose(&report, &table, &BINDING).unwrap();
        let (first, rest) = evidence.split_at(REPORT);
        assert_eq!((first, rest), (&report[..], &table[..]));
        assert!(is_report(first));
        let mut collateral = Collateral::new();
        assert_eq!(collateral.add(rest), Ok(certificates + 1));
    }

    #[test]
    fn without_certificates_the_report_is_alone() {
        for table in [vec![], vec![0; ENTRY], vec![0; 4096], table(&[])] {
            assert_eq!(compose(&report(), &table, &BINDING).unwrap(), report());
        }
    }

    #[test]
    fn what_no_verifier_would_take_is_refused_by_reason() {
        let most = limits::EVIDENCE;
        let full = vec![1; most - REPORT];
        assert_eq!(compose(&report(), &full, &BINDING).unwrap().len(), most);
        for (report, table, error) in [
            (report(), vec![1; full.len() + 1], EvidenceError::Size { found: most + 1, most }),
            (vec![], vec![], EvidenceError::Report { found: 0 }),
            ([report(), vec![0]].concat(), vec![], EvidenceError::Report { found: REPORT + 1 }),
            (vec![0; REPORT], vec![], EvidenceError::Binding),
        ] {
            assert_eq!(compose(&report, &table, &BINDING), Err(error));
        }
    }
}
