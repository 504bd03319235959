//! What is verified: real evidence of `../shared/vectors` if that is there, beside the project,
//! or else the fixtures of the simulated platform, with a word on which.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use cloister_attestation::snp::{Allowance, Collateral, Guest, LeastTcb, Product, Tcb};
use cloister_attestation::{Binding, Claims, Clock, Freshness, Hex, Measurements, UnixTime};
use cloister_attestation::{nitro, snp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// When the fixtures were made: 2026-01-01.
const FIXTURES_MADE: u64 = 1_767_225_600;
/// What they vouch for.
const FIXTURES_BINDING: Binding = Binding::Exactly([7; 64]);
/// 2026-03-01, when all certificates of real chips are valid.
const CHIPS_VALID: u64 = 1_772_323_200;

/// A Nitro document.
#[derive(Clone)]
pub struct Nitro {
    /// Where it is from.
    pub origin: String,
    /// The document.
    pub document: Vec<u8>,
    /// When it was made and is verified, in seconds since 1970.
    pub made: u64,
    /// What is expected of it.
    pub expectations: nitro::Expectations,
}

/// What was established about a real document.
#[derive(Deserialize)]
struct KnownDocument {
    file: String,
    timestamp_ms: u64,
    debug: bool,
    pcr0: String,
    user_data: Option<usize>,
}

impl Nitro {
    /// A real document if there is one, or else the fixture.
    pub fn find() -> Result<Self> {
        vectors().map_or_else(Self::fixture, |vectors| Self::real(&vectors))
    }

    /// The fixture.
    pub fn fixture() -> Result<Self> {
        let text = include_str!("../../attestation/tests/fixtures/measurements.toml");
        let measurements = Measurements::from_toml(text)?;
        let approved = measurements.simulated_references().first().context("nothing simulated")?;
        let reference = nitro::Reference::new(approved.name(), approved.pcrs().clone())?;
        Ok(Self {
            origin: not_real("attestation/tests/fixtures/simulated.cose"),
            document: include_bytes!("../../attestation/tests/fixtures/simulated.cose").to_vec(),
            made: FIXTURES_MADE,
            expectations: nitro::Expectations {
                roots: approved.root().roots(),
                clock: Clock::at(seconds(FIXTURES_MADE)),
                freshness: Freshness::WithinBinding,
                binding: FIXTURES_BINDING,
                reference: nitro::ReferenceValues::production(reference),
            },
        })
    }

    /// The newest document of a production enclave that vouches for 64 bytes.
    fn real(vectors: &Path) -> Result<Self> {
        let facts: Vec<KnownDocument> = facts(vectors, "nitro")?;
        let fact = facts
            .into_iter()
            .filter(|fact| fact.file.starts_with("nitro/docs/"))
            .filter(|fact| !fact.debug && fact.user_data == Some(64))
            .max_by_key(|fact| fact.timestamp_ms)
            .context("no production document in ../shared/vectors that vouches for 64 bytes")?;
        let document = read(vectors, &fact.file)?;
        let made = fact.timestamp_ms / 1000;
        let expect = |pcrs: nitro::Pcrs, freshness, binding| -> Result<nitro::Expectations> {
            let reference = nitro::Reference::new(&fact.file, pcrs)?;
            Ok(nitro::Expectations {
                roots: nitro::Roots::aws(),
                clock: Clock::at(seconds(made)),
                freshness,
                binding,
                reference: nitro::ReferenceValues::production(reference),
            })
        };
        // What it measures and vouches for, and then expect just that, as a broker would.
        let pcr0 = (nitro::PcrIndex::new(0)?, nitro::Pcr::from_hex(&fact.pcr0)?);
        let open = expect([pcr0].into(), Freshness::AcceptAnyNonce, Binding::AcceptAnyBinding)?;
        let Claims::Nitro(claims) = nitro::verify(&document, &open).accept()? else {
            return Err(anyhow!("{} is of another platform", fact.file));
        };
        let image = claims.pcrs.into_iter().filter(|(index, _)| index.get() <= 2).collect();
        let vouched = claims.user_data.bytes().context("no user data")?.to_vec();
        let binding = Binding::UserData(vouched);
        let expectations = expect(image, Freshness::WithinBinding, binding)?;
        Ok(Self { origin: real(&fact.file), document, made, expectations })
    }

    /// Whether it was made by AWS's hardware.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.expectations.roots == nitro::Roots::aws()
    }
}

/// An SEV-SNP report.
#[derive(Clone)]
pub struct Snp {
    /// Where it is from.
    pub origin: String,
    /// The report.
    pub report: Vec<u8>,
    /// The certificates of the key that signed it.
    pub chain: Chain,
    /// What is expected of it; the collateral, which depends on what is measured, is empty.
    pub expectations: snp::Expectations,
}

/// Certificates in DER.
#[derive(Clone)]
pub struct Chain {
    /// The chip's (VCEK).
    pub leaf: Vec<u8>,
    /// The one between (ASK).
    pub intermediate: Vec<u8>,
    /// The root (ARK).
    pub root: Vec<u8>,
}

impl Chain {
    /// All of them, read anew.
    pub fn collateral(&self) -> Result<Collateral> {
        let mut collateral = Collateral::new();
        for certificate in [&self.leaf, &self.intermediate, &self.root] {
            collateral.add(certificate)?;
        }
        Ok(collateral)
    }
}

/// What was established about a real report.
#[derive(Deserialize)]
struct KnownReport {
    dir: String,
    version: u32,
    debug: bool,
    vmpl: u32,
    signing_key: String,
    measurement: Hex<48>,
    report_data: Hex<64>,
    #[serde(default)]
    certs: Vec<String>,
}

impl Snp {
    /// A real report if there is one, or else the fixture.
    pub fn find() -> Result<Self> {
        vectors().map_or_else(Self::fixture, |vectors| Self::real(&vectors))
    }

    /// The fixture.
    pub fn fixture() -> Result<Self> {
        let root = include_bytes!("../../attestation/tests/fixtures/snp/root.der");
        let pem = include_bytes!("../../attestation/tests/fixtures/snp/chain.pem");
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
        let [leaf, intermediate, _root] = <[_; 3]>::try_from(chain)
            .map_err(|chain| anyhow!("{} certificates in the fixture", chain.len()))?
            .map(|der| der.to_vec());
        let tcb = Tcb { fmc: None, bootloader: 10, tee: 0, snp: 23, microcode: 84 };
        let least = LeastTcb { reported: Some(tcb), ..LeastTcb::default() };
        let guest = Guest::new("fixture", Hex([0x99; 48]), [(Product::Genoa, least)]);
        Ok(Self {
            origin: not_real("attestation/tests/fixtures/snp"),
            report: include_bytes!("../../attestation/tests/fixtures/snp/report.bin").to_vec(),
            chain: Chain { leaf, intermediate, root: root.to_vec() },
            expectations: expect(
                snp::Roots::simulated(Product::Genoa, root)?,
                FIXTURES_MADE,
                FIXTURES_BINDING,
                guest,
            )?,
        })
    }

    /// A report of a Genoa signed with the chip's own key, in the newest format there is.
    fn real(vectors: &Path) -> Result<Self> {
        let facts: Vec<KnownReport> = facts(vectors, "snp")?;
        let fact = facts
            .into_iter()
            .filter(|fact| fact.dir.starts_with("snp/reports/genoa"))
            .filter(|fact| fact.signing_key == "VCEK" && !fact.debug && fact.vmpl == 0)
            .max_by_key(|fact| fact.version)
            .context("no report of a Genoa in ../shared/vectors that its VCEK signed")?;
        let report = read(vectors, &format!("{}/report.bin", fact.dir))?;
        let leaf = fact.certs.first().context("a report without its VCEK")?;
        let chain = Chain {
            leaf: read(vectors, &format!("{}/{leaf}", fact.dir))?,
            intermediate: read(vectors, "snp/ca/genoa/ask.der")?,
            root: read(vectors, "snp/ca/genoa/ark.der")?,
        };
        let binding = Binding::Exactly(fact.report_data.0);
        let guest = |least| Guest::new(&fact.dir, fact.measurement, [(Product::Genoa, least)]);
        let expect = |guest| expect(snp::Roots::amd(), CHIPS_VALID, binding.clone(), guest);
        // What TCB it has, and then require just that, as a broker would.
        let mut any = guest(LeastTcb::default());
        any.allow.insert(Allowance::AnyTcb);
        let mut open = expect(any)?;
        open.collateral = chain.collateral()?;
        let Claims::SevSnp(claims) = snp::verify(&report, &open).accept()? else {
            return Err(anyhow!("{} is of another platform", fact.dir));
        };
        let least = LeastTcb { reported: Some(claims.reported_tcb), ..LeastTcb::default() };
        let expectations = expect(guest(least))?;
        let origin = format!("{}, report version {}", real(&fact.dir), fact.version);
        Ok(Self { origin, report, chain, expectations })
    }
}

/// Expectations without collateral.
fn expect(
    roots: snp::Roots,
    now: u64,
    binding: Binding,
    guest: Guest,
) -> Result<snp::Expectations> {
    Ok(snp::Expectations {
        roots,
        collateral: Collateral::new(),
        now: seconds(now),
        freshness: Freshness::WithinBinding,
        binding,
        reference: snp::ReferenceValues::new(snp::Reference::new(guest)?),
    })
}

fn real(name: &str) -> String {
    format!("real hardware, {name} of ../shared/vectors")
}

fn not_real(name: &str) -> String {
    format!("SIMULATED, {name}; real evidence would be in ../shared/vectors, which is not there")
}

/// Where real evidence is, if it is.
fn vectors() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let complete = ["nitro/facts.json", "snp/facts.json"].map(|file| path.join(file).is_file());
    (complete == [true, true]).then_some(path)
}

fn facts<T: DeserializeOwned>(vectors: &Path, platform: &str) -> Result<Vec<T>> {
    let file = format!("{platform}/facts.json");
    serde_json::from_slice(&read(vectors, &file)?).with_context(|| format!("in {file}"))
}

fn read(vectors: &Path, file: &str) -> Result<Vec<u8>> {
    fs::read(vectors.join(file)).with_context(|| format!("cannot read {file} in ../shared/vectors"))
}

fn seconds(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ours;

    #[test]
    fn every_row_of_ours_is_accepted() {
        let nitro = [Nitro::fixture().unwrap(), Nitro::find().unwrap()].map(|n| ours::of_nitro(&n));
        let snp = [Snp::fixture().unwrap(), Snp::find().unwrap()].map(|snp| ours::of_snp(&snp));
        for group in nitro.into_iter().chain(snp) {
            for mut row in group.unwrap().rows {
                (row.run)().unwrap();
            }
        }
    }

    #[test]
    fn a_fixture_says_that_it_is_simulated() {
        assert!(Nitro::fixture().unwrap().origin.starts_with("SIMULATED"));
        assert!(!Nitro::fixture().unwrap().is_real());
        assert!(Snp::fixture().unwrap().origin.starts_with("SIMULATED"));
    }
}
