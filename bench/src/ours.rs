//! Our verifier, and the bare signatures that it cannot do without.

use anyhow::{Result, ensure};
use cloister_attestation::{Cache, Verdict, nitro, snp};

use crate::evidence::{Nitro, Snp};
use crate::{Group, Row, bare};

/// Our rows for a Nitro document.
pub fn of_nitro(evidence: &Nitro) -> Result<Group> {
    let Nitro { origin, document, expectations, .. } = evidence.clone();
    let signatures = bare::of_document(&document)?;
    let count = signatures.len();
    let last = signatures[count - 2..].to_vec();
    let mut cache = Cache::new();
    accepted(nitro::verify_with(&document, &expectations, &mut cache))?;
    let (again, expected) = (document.clone(), expectations.clone());
    let warm = move || accepted(nitro::verify_with(&again, &expected, &mut cache));
    let cold = move || accepted(nitro::verify(&document, &expectations));
    Ok(Group {
        evidence: origin,
        id: "nitro",
        rows: vec![
            Row::new("ours-cold", "Cloister, cold", cold),
            Row::new("ours-warm", "Cloister, authorities verified before", warm),
            Row::new("bare-two", "ring: 2 P-384 verifications, bare", move || {
                last.iter().try_for_each(bare::Signature::verify)
            }),
            Row::new("bare-p384", format!("ring: {count} P-384 verifications, bare"), move || {
                signatures.iter().try_for_each(bare::Signature::verify)
            }),
        ],
        left_out: Vec::new(),
    })
}

/// Our rows for an SEV-SNP report.
pub fn of_snp(evidence: &Snp) -> Result<Group> {
    let Snp { origin, report, chain, mut expectations } = evidence.clone();
    let signature = bare::of_report(&report, &chain)?;
    let certificates = bare::of_chain(&chain)?;
    let mut cache = Cache::new();
    let mut expected = expectations.clone();
    expected.collateral = chain.collateral()?;
    let again = report.clone();
    accepted(snp::verify_with(&again, &expected, &mut cache))?;
    let warm = move || accepted(snp::verify_with(&again, &expected, &mut cache));
    let cold = move || {
        expectations.collateral = chain.collateral()?;
        accepted(snp::verify(&report, &expectations))
    };
    Ok(Group {
        evidence: origin,
        id: "snp",
        rows: vec![
            Row::new("ours-cold", "Cloister, cold", cold),
            Row::new("ours-warm", "Cloister, chain verified before", warm),
            Row::new("bare-p384", "ring: 1 P-384 verification, bare", move || signature.verify()),
            Row::new("bare-rsa", "ring: 2 RSA-PSS-4096 verifications, bare", move || {
                certificates.iter().try_for_each(bare::Signature::verify)
            }),
        ],
        left_out: Vec::new(),
    })
}

fn accepted(verdict: Verdict) -> Result<()> {
    ensure!(verdict.accepted(), "refused, so there is nothing to time:\n{verdict}");
    Ok(())
}
