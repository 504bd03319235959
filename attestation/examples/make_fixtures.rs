//! Makes the committed fixtures anew: `cargo run -p cloister-attestation --example make_fixtures`.
//!
//! Keys are fresh each time, so all files change together.

use std::path::Path;
use std::time::Duration;

use cloister_attestation::nitro::{Pcr, PcrIndex};
use cloister_attestation::{Measurements, RootCertificate, SimulatedReference};
use cloister_simulated::mutations::snp::Plan;
use cloister_simulated::{LEAF_LIFETIME, Pcrs, UnixTime, Vendor, pcr};

/// 2026-01-01T00:00:00Z.
const MADE_AT: u64 = 1_767_225_600;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(MADE_AT));
    let vendor = Vendor::generate(now)?;
    let pcrs = Pcrs::from([
        (0, pcr(b"fixture image")),
        (1, pcr(b"fixture kernel")),
        (2, pcr(b"fixture application")),
    ]);
    let document =
        vendor.leaf(now, LEAF_LIFETIME)?.document(&[7; 64], None, &pcrs, MADE_AT * 1000)?;

    let mut reference = cloister_attestation::nitro::Pcrs::new();
    for (index, value) in pcrs {
        reference.insert(PcrIndex::new(index)?, Pcr::new(value)?);
    }
    let root = RootCertificate::from_der(vendor.root_der())?;
    let measurements =
        Measurements::simulated(SimulatedReference::new("fixture enclave", root, reference)?);

    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::write(directory.join("simulated.cose"), document)?;
    std::fs::write(directory.join("measurements.toml"), measurements.to_toml())?;
    snp(&directory.join("snp"))
}

/// A report and the test chain that it rests on.
fn snp(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let signed = Plan::new(&[7; 64], &[0x99; 48]).sign();
    let chain: String = [&signed.leaf, &signed.intermediate, &signed.root]
        .map(|der| RootCertificate::from_der(der.as_slice()).map(|one| one.to_pem()))
        .into_iter()
        .collect::<Result<_, _>>()?;
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("report.bin"), signed.report)?;
    std::fs::write(directory.join("root.der"), signed.root)?;
    std::fs::write(directory.join("chain.pem"), chain)?;
    Ok(())
}
