//! `cloister verify snp`: one report of a SEV-SNP guest.

use std::path::PathBuf;

use clap::Args;
use cloister_attestation::{
    Binding, Freshness, Hex, UnixTime,
    snp::{
        self, Allowance, Collateral, Expectations, Feature, Guest, LeastTcb, Product, Reference,
        ReferenceValues, Roots, Tcb,
    },
};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error as ValueError},
};

use super::{evidence_file, nitro::ExpectedBinding, verdict};
use crate::{
    collateral::{self, Bundles, SignedBy},
    error::{Error, Result},
    ui::Report,
};

/// Verify an attestation report of an AMD SEV-SNP guest, offline
///
/// Checks the report's structure, the chain of certificates up to AMD's root, the signature,
/// processor, chip and firmware, guest policy, and everything that you expect; lists each
/// check. What weakens the statement has to be allowed, and the verdict shows it. A binding
/// covers freshness: reports have neither nonce nor time.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister verify snp report.bin --collateral certificates --at 2026-01-31T12:00:00Z \\
      --binding 07a2... --measurement 9f3e... --product genoa \\
      --min-tcb bootloader=10,tee=0,snp=23,microcode=84
  cloister verify snp report.hex --collateral certificates --at 2026-01-31T12:00:00Z \\
      --any-binding --measurement 9f3e... --vmpl 1 --json

Exit code: 0 accepted, 1 denied, 2 wrong use.")]
pub struct Snp {
    /// The report, or Azure's wrapping of one: raw, hexadecimal or base64; - for standard input
    report: PathBuf,
    /// Certificates and revocation lists in DER or PEM under any names, the certificate table
    /// that the host gave with the report, or a signed bundle
    #[arg(long, value_name = "DIR")]
    collateral: PathBuf,
    #[command(flatten)]
    signed_by: SignedBy,
    /// The time of verification
    #[arg(long, value_name = "RFC3339", value_parser = evidence_file::time)]
    at: UnixTime,
    #[command(flatten)]
    binding: ExpectedBinding,
    /// The launch digest
    #[arg(long, value_name = "HEX")]
    measurement: Hex<48>,
    /// The least TCB: bootloader=N,tee=N,snp=N,microcode=N, and on Turin fmc=N; products for
    /// which it is not are refused. Without it any will do, and the verdict shows it
    #[arg(long, value_name = "PARTS", value_parser = tcb)]
    min_tcb: Option<Tcb>,
    /// Products to accept: milan, genoa, turin. All of them if none is named, and the verdict
    /// shows Milan, which is on the deny-list
    #[arg(long = "product", value_name = "NAME", value_parser = named::<Product>)]
    products: Vec<Product>,
    /// Accept a guest that the host may debug, in which nothing is private
    #[arg(long)]
    allow_debug: bool,
    /// Accept what is refused without it: migration, cxl, masked-chip
    #[arg(long, value_name = "NAME", value_parser = named::<Allowance>)]
    allow: Vec<Allowance>,
    /// Require a revocation-list of the root; of the guest's policy: no-smt, single-socket, aes256, no-rapl, ciphertext-hiding,
    /// no-page-swap; of the host: platform-no-smt, platform-tsme, platform-ecc, platform-no-rapl,
    /// platform-ciphertext-hiding, platform-alias-check, platform-no-tio
    #[arg(long, value_name = "NAME", value_parser = named::<Feature>)]
    require: Vec<Feature>,
    /// The privilege level that the report was made at
    #[arg(long, value_name = "N", default_value_t = 0)]
    vmpl: u32,
    /// What the host said at launch
    #[arg(long, value_name = "HEX")]
    host_data: Option<Hex<32>>,
    /// Trust this root instead of AMD's: a certificate in DER. The verdict calls it simulated
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    ear: verdict::Ear,
}

impl Snp {
    /// Verifies the report.
    pub fn run(&self) -> Result<Report> {
        let report = evidence_file::read(&self.report)?;
        let binding = self.binding.get();
        // Azure's paravisor asked for its report at boot: there is no nonce in it to compare.
        let freshness = match binding {
            Binding::AcceptAnyBinding => Freshness::AcceptAnyNonce,
            _ if snp::is_wrapped(&report) => Freshness::AcceptAnyNonce,
            _ => Freshness::WithinBinding,
        };
        let expectations = Expectations {
            roots: self.roots()?,
            collateral: self.collateral()?,
            now: self.at,
            freshness,
            binding,
            reference: self.reference()?,
        };
        verdict::report(&snp::verify(&report, &expectations), &self.ear)
    }

    /// Everything in the folder that is collateral; a report may lie beside its certificates.
    fn collateral(&self) -> Result<Collateral> {
        let key = self.signed_by.key().map_err(Error::usage)?;
        let bundles = Bundles::Of(key.as_ref(), self.at);
        let (collateral, _) = collateral::read(&self.collateral, bundles).map_err(Error::usage)?;
        if collateral.entries().is_empty() {
            return Err(Error::usage(format!(
                "{}: no certificate there; put the VCEK or VLEK, the ASK or ASVK and the ARK in it",
                self.collateral.display()
            )));
        }
        Ok(collateral)
    }

    fn reference(&self) -> Result<ReferenceValues> {
        let least = LeastTcb { reported: self.min_tcb, ..LeastTcb::default() };
        let named = if self.products.is_empty() { &Product::ALL[..] } else { &self.products };
        // A least TCB with fmc is one for Turin, and one without is for the others.
        let fits = |product: Product| match (self.min_tcb, self.products.is_empty()) {
            (Some(tcb), true) => tcb.fmc.is_some() == (product == Product::Turin),
            _ => true,
        };
        let products = named.iter().filter(|one| fits(**one)).map(|product| (*product, least));
        let mut guest = Guest::new("--measurement", self.measurement, products);
        guest.vmpl = self.vmpl;
        guest.host_data = self.host_data;
        guest.require = self.require.iter().copied().collect();
        guest.allow = self.allow.iter().copied().collect();
        // The verdict shows them where they matter. A policy, which somebody relies on for
        // longer than one look, has to name them.
        guest.allow.extend([Allowance::Milan, Allowance::AnyTcb, Allowance::AnyProvider]);
        if self.allow_debug {
            guest.allow.insert(Allowance::Debug);
        }
        Reference::new(guest).map(ReferenceValues::new).map_err(Error::usage)
    }

    fn roots(&self) -> Result<Roots> {
        let Some(path) = &self.root else { return Ok(Roots::amd()) };
        let der = crate::files::read(path, 64 * 1024).map_err(Error::usage)?;
        Roots::of_file(&der).map_err(|error| Error::usage(format!("{}: {error}", path.display())))
    }
}

/// A value of an enumeration, by the name that policies have for it.
fn named<T: for<'de> Deserialize<'de>>(text: &str) -> std::result::Result<T, String> {
    let deserializer: serde::de::value::StrDeserializer<'_, ValueError> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| error.to_string())
}

fn tcb(text: &str) -> std::result::Result<Tcb, String> {
    const FORM: &str = "write it as bootloader=10,tee=0,snp=23,microcode=84";
    let mut tcb = Tcb::default();
    let mut seen = Vec::new();
    for part in text.split(',') {
        let (name, number) = part.split_once('=').ok_or(FORM)?;
        let number =
            number.parse().map_err(|_| format!("{number:?} is no number from 0 to 255"))?;
        match name {
            "fmc" => tcb.fmc = Some(number),
            "bootloader" => tcb.bootloader = number,
            "tee" => tcb.tee = number,
            "snp" => tcb.snp = number,
            "microcode" => tcb.microcode = number,
            _ => return Err(format!("{name:?} is no part of a TCB; {FORM}")),
        }
        if seen.contains(&name) {
            return Err(format!("{name} is there twice"));
        }
        seen.push(name);
    }
    match ["bootloader", "tee", "snp", "microcode"].iter().find(|name| !seen.contains(name)) {
        Some(missing) => Err(format!("{missing} is missing; {FORM}")),
        None => Ok(tcb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcb_has_every_part_once() {
        let whole = "bootloader=10,tee=0,snp=23,microcode=84";
        let expected = Tcb { fmc: None, bootloader: 10, tee: 0, snp: 23, microcode: 84 };
        assert_eq!(tcb(whole), Ok(expected));
        assert_eq!(tcb(&format!("{whole},fmc=1")), Ok(Tcb { fmc: Some(1), ..expected }));
        for wrong in ["", "bootloader=1", "bootloader=256,tee=0,snp=0,microcode=0", "x=1"] {
            assert!(tcb(wrong).is_err(), "{wrong}");
        }
        assert!(tcb(&format!("{whole},tee=1")).unwrap_err().contains("twice"));
    }

    #[test]
    fn names_are_those_of_policies() {
        assert_eq!(named::<Feature>("platform-ecc"), Ok(Feature::PlatformEcc));
        assert_eq!(named::<Product>("genoa"), Ok(Product::Genoa));
        assert!(named::<Allowance>("everything").unwrap_err().contains("masked-chip"));
    }
}
