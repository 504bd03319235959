//! A report without a fault, and hooks to give it one.
#![allow(dead_code)] // each test binary uses its own part

use std::fmt::Write as _;
use std::time::Duration;

use cloister_attestation::snp::{
    self, Allowance, Expectations, Feature, Guest, LeastTcb, Product, Reference, ReferenceValues,
    Roots, Tcb,
};
use cloister_attestation::{Binding, Freshness, Hex, UnixTime, Verdict};
use cloister_simulated::mutations::snp::{Plan, Signed};

/// 2026-01-01T00:00:00Z.
pub const NOW: u64 = 1_767_225_600;
/// What the report vouches for.
pub const BINDING: [u8; 64] = [7; 64];
/// What the guest measures to.
pub const MEASUREMENT: [u8; 48] = [0x99; 48];
/// The report's TCB, all four of them.
pub const TCB: Tcb = Tcb { fmc: None, bootloader: 10, tee: 0, snp: 23, microcode: 84 };

/// The runtime claims of a wrapped report.
const RUNTIME: &str = r#"{"user-data":"00"}"#;

type Hook<T> = Vec<Box<dyn FnOnce(&mut T)>>;

/// One report, and what is expected of it.
#[derive(Default)]
pub struct Case {
    plan: Hook<Plan>,
    signed: Hook<Signed>,
    guest: Hook<Guest>,
    expectations: Hook<Expectations>,
    with_list: bool,
    product: Option<Product>,
    wrapped: bool,
}

impl Case {
    /// Without a fault.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes certificates, list and report before they are signed.
    pub fn on_plan(&mut self, change: impl FnOnce(&mut Plan) + 'static) {
        self.plan.push(Box::new(change));
    }

    /// Changes them after they are signed.
    pub fn on_signed(&mut self, change: impl FnOnce(&mut Signed) + 'static) {
        self.signed.push(Box::new(change));
    }

    /// Changes the approved guest.
    pub fn on_guest(&mut self, change: impl FnOnce(&mut Guest) + 'static) {
        self.guest.push(Box::new(change));
    }

    /// Changes what the verifier expects.
    pub fn on_expectations(&mut self, change: impl FnOnce(&mut Expectations) + 'static) {
        self.expectations.push(Box::new(change));
    }

    /// Writes into the report before it is signed.
    pub fn report(&mut self, at: usize, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.on_plan(move |plan| plan.set(at, &bytes));
    }

    /// Sets or removes an extension of the leaf.
    pub fn extension(&mut self, numbers: &'static [u8], value: Option<&'static [u8]>) {
        self.on_plan(move |plan| plan.set_extension(numbers, value));
    }

    /// Requires a feature.
    pub fn require(&mut self, feature: Feature) {
        self.on_guest(move |guest| {
            guest.require.insert(feature);
        });
    }

    /// Allows a weakness.
    pub fn allow(&mut self, allowance: Allowance) {
        self.on_guest(move |guest| {
            guest.allow.insert(allowance);
        });
    }

    /// Changes the least TCB on Genoa.
    pub fn least(&mut self, change: impl FnOnce(&mut LeastTcb) + 'static) {
        self.on_guest(|guest| change(guest.products.get_mut(&Product::Genoa).unwrap()));
    }

    /// Puts the revocation list into the collateral.
    pub fn with_list(&mut self) {
        self.with_list = true;
    }

    /// Pins the key of an identity block that the report has.
    pub fn pinned_identity(&mut self) {
        self.report(0x0e0, &[5; 48]);
        self.on_guest(|guest| guest.id_key = Some(Hex([5; 48])));
    }

    /// Makes it Milan's report, approved but for the deny-list.
    pub fn on_milan(&mut self) {
        self.product = Some(Product::Milan);
        self.report(0x188, &[0x19, 0x01, 0x01]);
        self.extension(&[2], Some(b"\x16\x08Milan-B0"));
        self.on_plan(|plan| rename(plan, "Milan"));
        self.on_guest(|guest| {
            let least = LeastTcb { reported: Some(TCB), ..LeastTcb::default() };
            guest.products = [(Product::Milan, least)].into();
        });
    }

    /// Makes it Turin's report: another layout, and a chip id of eight bytes.
    pub fn on_turin(&mut self) {
        self.product = Some(Product::Turin);
        self.report(0x188, &[0x1a, 0x02, 0x01]);
        let tcb = [1, 10, 0, 23, 0, 0, 0, 84];
        for at in [0x038, 0x180, 0x1e0, 0x1f0] {
            self.report(at, &tcb);
        }
        self.report(0x1a8, &[0; 56]);
        self.extension(&[2], Some(b"\x16\x05Turin"));
        self.extension(&[3, 9], Some(&[2, 1, 1]));
        self.extension(&[4], Some(&[0xc5; 8]));
        self.on_plan(|plan| rename(plan, "Turin"));
        self.on_guest(|guest| {
            let reported = Some(Tcb { fmc: Some(1), ..TCB });
            guest.products =
                [(Product::Turin, LeastTcb { reported, ..LeastTcb::default() })].into();
        });
    }

    /// Wraps the report as Azure does, with claims that it is the digest of.
    pub fn wrapped(&mut self) {
        self.wrapped = true;
        let digest = ring::digest::digest(&ring::digest::SHA256, RUNTIME.as_bytes());
        let data = [digest.as_ref(), &[0; 32]].concat();
        self.report(0x050, &data.clone());
        self.on_expectations(move |expectations| {
            expectations.binding = Binding::UserData(data);
            expectations.freshness = Freshness::AcceptAnyNonce;
        });
    }

    /// Puts the certificates into a table behind the report.
    pub fn with_table(&mut self) {
        self.on_signed(|signed| {
            let Signed { leaf, intermediate, root, report, .. } = signed;
            report.extend(table(&[
                ("63da758de6644564adc5f4b93be8accd", leaf),
                ("4ab7b379bbac4fe4a02f05aef327c782", intermediate),
                ("c0b406a4a803495297433fb6014cd0ae", root),
            ]));
        });
    }

    /// The guest that is approved.
    pub fn guest() -> Guest {
        let least = LeastTcb { reported: Some(TCB), ..LeastTcb::default() };
        Guest::new("approved guest", Hex(MEASUREMENT), [(Product::Genoa, least)])
    }

    /// What was signed, and what is expected.
    pub fn signed(self) -> (Signed, Expectations) {
        let mut plan = Plan::new(&BINDING, &MEASUREMENT);
        apply(self.plan, &mut plan);
        let mut signed = plan.sign();
        let product = self.product.unwrap_or(Product::Genoa);
        let roots = Roots::simulated(product, &signed.root).unwrap();
        if self.wrapped {
            signed.report = wrap(&signed.report);
        }
        apply(self.signed, &mut signed);

        let mut collateral = snp::Collateral::new();
        for der in [&signed.leaf, &signed.intermediate, &signed.root] {
            if !der.is_empty() {
                collateral.add(der).unwrap();
            }
        }
        if self.with_list {
            collateral.add(&signed.revocation_list).unwrap();
        }
        let mut guest = Self::guest();
        apply(self.guest, &mut guest);
        let mut expectations = Expectations {
            roots,
            collateral,
            now: at(NOW),
            freshness: Freshness::WithinBinding,
            binding: Binding::Exactly(BINDING),
            reference: ReferenceValues::new(Reference::new(guest).unwrap()),
        };
        apply(self.expectations, &mut expectations);
        (signed, expectations)
    }

    /// Verifies it.
    pub fn verify(self) -> Verdict {
        let (signed, expectations) = self.signed();
        snp::verify(&signed.report, &expectations)
    }

    /// A root of the same name and key.
    pub fn other_root() -> Vec<u8> {
        let mut plan = Plan::new(&BINDING, &MEASUREMENT);
        plan.root.serial = vec![9];
        plan.sign().root
    }

    /// The test root, pinned for another product.
    pub fn roots_for(product: Product) -> Roots {
        Roots::simulated(product, &Plan::new(&BINDING, &MEASUREMENT).sign().root).unwrap()
    }

    /// A leaf that says the same of another key.
    pub fn other_leaf() -> Vec<u8> {
        Plan::new(&BINDING, &MEASUREMENT).sign().leaf
    }

    /// A revocation list without entries.
    pub fn current_list() -> Vec<u8> {
        Plan::new(&BINDING, &MEASUREMENT).sign().revocation_list
    }

    /// A leaf of another chip.
    pub fn leaf_for_chip(chip: u8) -> Vec<u8> {
        let mut plan = Plan::new(&BINDING, &MEASUREMENT);
        plan.set_extension(&[4], Some(&[chip; 64]));
        plan.sign().leaf
    }
}

fn apply<T>(hooks: Hook<T>, value: &mut T) {
    for change in hooks {
        change(value);
    }
}

/// Names the certificates after another product.
fn rename(plan: &mut Plan, product: &str) {
    plan.root.subject = format!("ARK-{product}");
    plan.root.issuer.clone_from(&plan.root.subject);
    plan.intermediate.issuer.clone_from(&plan.root.subject);
    plan.intermediate.subject = format!("SEV-{product}");
    plan.leaf.issuer.clone_from(&plan.intermediate.subject);
}

fn wrap(report: &[u8]) -> Vec<u8> {
    let length = u32::try_from(RUNTIME.len()).unwrap();
    let words = [0, 1, 2, 1, length].map(u32::to_le_bytes).concat();
    [&b"HCLA"[..], &[0; 28], report, &words, RUNTIME.as_bytes()].concat()
}

/// Seconds since 1970, as a time.
pub fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// DER in PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        writeln!(pem, "{}", std::str::from_utf8(line).unwrap()).unwrap();
    }
    writeln!(pem, "-----END {label}-----").unwrap();
    pem
}

/// A certificate table with these GUIDs and entries.
pub fn table(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut offset = 24 * (entries.len() + 1);
    let mut table = Vec::new();
    for (guid, bytes) in entries {
        table.extend(hex::decode(guid).unwrap());
        table.extend(u32::try_from(offset).unwrap().to_le_bytes());
        table.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        offset += bytes.len();
    }
    table.extend([0; 24]);
    for (_, bytes) in entries {
        table.extend(*bytes);
    }
    table
}
