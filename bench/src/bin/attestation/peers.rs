//! Other people's verifiers, on the same bytes.

use anyhow::{Result, anyhow, ensure};
use attestation_doc_validation::validate_and_parse_attestation_doc;
use cloister_bench::evidence::{Chain, Nitro, Snp};
use cloister_bench::{Group, Row};
use sev::certs::snp::{Chain as SevChain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

use crate::clock;

/// `attestation-doc-validation`: parses, validates the chain and the signature. It compares no
/// register, binding or age.
pub fn of_nitro(evidence: &Nitro, group: &mut Group) {
    if !evidence.is_real() {
        let reason = "attestation-doc-validation trusts AWS's root alone: it needs a real document";
        group.left_out.push(reason.to_owned());
        return;
    }
    let Nitro { document, made, .. } = evidence.clone();
    group.rows.push(Row::new(
        "attestation-doc-validation",
        "attestation-doc-validation",
        move || -> Result<()> {
            let parsed = clock::at(made, || validate_and_parse_attestation_doc(&document))?;
            ensure!(!parsed.module_id.is_empty(), "a document without a module");
            Ok(())
        },
    ));
}

/// `sev`: parses, verifies the root's own signature, the chain's and the report's. It looks at
/// no date, name, extension or field.
pub fn of_snp(evidence: &Snp, group: &mut Group) {
    let Snp { report, chain: Chain { leaf, intermediate, root }, .. } = evidence.clone();
    group.rows.push(Row::new("sev", "sev, with crypto_nossl", move || -> Result<()> {
        let report: &[u8; 1184] = report[..].try_into()?;
        let report = AttestationReport::from_bytes(report)?;
        let chain = SevChain::from_der(&root, &intermediate, &leaf)?;
        (&chain, &report).verify().map_err(|error| anyhow!("sev: {error}"))
    }));
}
