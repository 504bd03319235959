//! The signatures of a piece of evidence by themselves: taken out beforehand, so that only their
//! verification is timed. They are the evidence's own, under its own keys.

use anyhow::{Context, Result, anyhow, ensure};
use coset::{CborSerializable, CoseSign1, TaggedCborSerializable};
use ring::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::evidence::Chain;

/// One signature, over bytes, under a key.
#[derive(Clone)]
pub struct Signature {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    bytes: Vec<u8>,
}

impl Signature {
    /// Verifies it.
    pub fn verify(&self) -> Result<()> {
        UnparsedPublicKey::new(self.algorithm, &self.key)
            .verify(&self.message, &self.bytes)
            .map_err(|_| anyhow!("a signature of accepted evidence does not hold by itself"))
    }

    fn of_certificate(
        algorithm: &'static dyn VerificationAlgorithm,
        issuer: &[u8],
        subject: &[u8],
    ) -> Result<Self> {
        let [issuer, subject] = [parse(issuer)?, parse(subject)?];
        Ok(Self {
            algorithm,
            key: issuer.public_key().subject_public_key.data.to_vec(),
            message: subject.tbs_certificate.as_ref().to_vec(),
            bytes: subject.signature_value.data.to_vec(),
        })
    }
}

/// What signatures need of a document's payload.
#[derive(Deserialize)]
struct Payload {
    certificate: ByteBuf,
    cabundle: Vec<ByteBuf>,
}

/// Those of a Nitro document: of each certificate below the root, and of the document.
pub fn of_document(document: &[u8]) -> Result<Vec<Signature>> {
    let envelope = CoseSign1::from_slice(document)
        .or_else(|_| CoseSign1::from_tagged_slice(document))
        .map_err(|error| anyhow!("not a COSE_Sign1: {error}"))?;
    let payload = envelope.payload.as_deref().context("a document without a payload")?;
    let Payload { certificate, cabundle } = ciborium::from_reader(payload)?;
    let path: Vec<_> = cabundle.iter().chain([&certificate]).collect();
    let mut signatures = path
        .windows(2)
        .map(|pair| Signature::of_certificate(&ECDSA_P384_SHA384_ASN1, pair[0], pair[1]))
        .collect::<Result<Vec<_>>>()?;
    signatures.push(Signature {
        algorithm: &ECDSA_P384_SHA384_FIXED,
        key: parse(&certificate)?.public_key().subject_public_key.data.to_vec(),
        message: envelope.tbs_data(&[]),
        bytes: envelope.signature,
    });
    Ok(signatures)
}

/// That of an SEV-SNP report: its signed part ends where r and s begin, both little endian and
/// padded to 72 bytes (AMD publication 56860, tables 23 and 138).
pub fn of_report(report: &[u8], chain: &Chain) -> Result<Signature> {
    const SIGNED: usize = 0x2a0;
    ensure!(report.len() == 1184, "a report of {} bytes", report.len());
    let number = |start: usize| report[start..start + 48].iter().rev();
    Ok(Signature {
        algorithm: &ECDSA_P384_SHA384_FIXED,
        key: parse(&chain.leaf)?.public_key().subject_public_key.data.to_vec(),
        message: report[..SIGNED].to_vec(),
        bytes: number(SIGNED).chain(number(SIGNED + 72)).copied().collect(),
    })
}

/// Those of the certificates below AMD's root.
pub fn of_chain(chain: &Chain) -> Result<[Signature; 2]> {
    let Chain { leaf, intermediate, root } = chain;
    Ok([
        Signature::of_certificate(&RSA_PSS_2048_8192_SHA384, root, intermediate)?,
        Signature::of_certificate(&RSA_PSS_2048_8192_SHA384, intermediate, leaf)?,
    ])
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>> {
    Ok(X509Certificate::from_der(der).context("not a certificate")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Nitro, Snp};

    #[test]
    fn a_signature_for_each_certificate_below_the_root_and_one_for_the_document() {
        let signatures = of_document(&Nitro::fixture().unwrap().document).unwrap();
        // An intermediate, the leaf, the document.
        assert_eq!(signatures.len(), 3);
        signatures.iter().try_for_each(Signature::verify).unwrap();
    }

    #[test]
    fn a_report_has_one_of_its_own_and_two_of_certificates() {
        let Snp { report, chain, .. } = Snp::fixture().unwrap();
        of_report(&report, &chain).unwrap().verify().unwrap();
        of_chain(&chain).unwrap().iter().try_for_each(Signature::verify).unwrap();
    }

    #[test]
    fn a_changed_message_is_noticed() {
        let Snp { mut report, chain, .. } = Snp::fixture().unwrap();
        report[0] ^= 1;
        assert!(of_report(&report, &chain).unwrap().verify().is_err());
    }
}
