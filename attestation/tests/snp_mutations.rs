//! For every rule, reports that are correctly made and signed but for one thing, and that this
//! rule alone refuses.

mod snp_common;

use std::collections::BTreeSet;

use cloister_attestation::snp::{self, Allowance, Feature, LeastTcb, Product, Roots, Tcb, Version};
use cloister_attestation::{Binding, Cache, Freshness, Hex, Nonce};
use cloister_simulated::mutations::snp::{Algorithm, Authority, Plan, Signed};
use snp_common::{BINDING, Case, TCB, at};

/// What is wrong, the rule that refuses it, and the change that makes it so.
type Mutation = (&'static str, &'static str, fn(&mut Case));

#[rustfmt::skip] // a table
const MUTATIONS: &[Mutation] = &[
    ("no bytes", "evidence.size", |c| c.on_signed(|s| s.report.clear())),
    ("1183 bytes", "evidence.size", |c| c.on_signed(|s| { s.report.pop(); })),
    ("1185 bytes", "evidence.table", |c| c.on_signed(|s| s.report.push(0))),
    ("the firmware's response around the report", "evidence.size", |c| c.on_signed(|s| { s.report.splice(0..0, [[0, 0, 0, 0, 0xa0, 4, 0, 0], [0; 8], [0; 8], [0; 8]].concat()); })),

    ("a table with an entry outside of it", "evidence.table", |c| { c.with_table(); c.on_signed(|s| s.report[1184 + 20..1184 + 24].fill(0xff)); }),
    ("a table without an end", "evidence.table", |c| { c.with_table(); c.on_signed(|s| s.report.truncate(1184 + 24)); }),

    ("algorithm 0", "report.algorithm", |c| c.report(0x034, &[0])),
    ("algorithm 2", "report.algorithm", |c| c.report(0x034, &[2])),

    ("no signing key", "report.signing-key", |c| c.report(0x048, &[7 << 2])),
    ("signing key 2", "report.signing-key", |c| c.report(0x048, &[2 << 2])),

    ("MASK_CHIP_KEY", "report.chip-key", |c| c.report(0x048, &[2])),

    ("a byte after r", "report.signature-form", |c| c.on_signed(|s| s.report[0x2a0 + 48] = 1)),
    ("a byte after s", "report.signature-form", |c| c.on_signed(|s| s.report[0x2a0 + 143] = 1)),
    ("a byte at the end", "report.signature-form", |c| c.on_signed(|s| s.report[0x49f] = 1)),

    ("no leaf", "collateral.leaf", |c| c.on_signed(|s| s.leaf.clear())),
    ("a VLEK where a VCEK signed", "collateral.leaf", |c| c.on_plan(|p| { p.under_vlek(); p.set(0x048, &[0]); })),
    ("a VCEK where a VLEK signed", "collateral.leaf", |c| c.report(0x048, &[1 << 2])),

    ("no intermediate", "collateral.chain", |c| c.on_signed(|s| s.intermediate.clear())),
    ("no root", "collateral.chain", |c| c.on_signed(|s| s.root.clear())),

    ("a root of the same name", "root.pinned", |c| c.on_signed(|s| s.root = Case::other_root())),
    ("a test root where AMD's are pinned", "root.pinned", |c| c.on_expectations(|e| e.roots = Roots::amd())),
    ("a root that names no product", "root.pinned", |c| c.on_plan(|p| { p.root.subject = "ARK-Rome".into(); p.intermediate.issuer = "ARK-Rome".into(); })),
    ("a root for another product than is pinned", "root.pinned", |c| c.on_expectations(|e| e.roots = Case::roots_for(Product::Turin))),

    ("an ASVK over a VCEK", "chain.kind", |c| c.on_plan(|p| { p.intermediate.subject = "SEV-VLEK-Genoa".into(); p.leaf.issuer = "SEV-VLEK-Genoa".into(); })),
    ("an ASK over a VLEK", "chain.kind", |c| c.on_plan(|p| { p.under_vlek(); p.intermediate.subject = "SEV-Genoa".into(); p.leaf.issuer = "SEV-Genoa".into(); })),
    ("Milan's intermediate under Genoa's root", "chain.kind", |c| c.on_plan(|p| { p.intermediate.subject = "SEV-Milan".into(); p.leaf.issuer = "SEV-Milan".into(); })),

    ("a root that has expired", "root.validity", |c| c.on_plan(|p| p.root.validity[1] = "251231235959Z")),
    ("a root of the future", "root.validity", |c| c.on_plan(|p| p.root.validity[0] = "260102000000Z")),

    ("a root that is no authority", "root.usage", |c| c.on_plan(|p| p.root.authority = None)),
    ("a root that may not sign certificates", "root.usage", |c| c.on_plan(|p| p.root.key_usage = Some(0x02))),
    ("a root without key usage", "root.usage", |c| c.on_plan(|p| p.root.key_usage = None)),
    ("a root for no intermediates", "root.usage", |c| c.on_plan(|p| p.root.authority = Some(Some(0)))),

    ("a leaf that has expired", "chain.path", |c| c.on_plan(|p| p.leaf.validity[1] = "251231235959Z")),
    ("a leaf of the future", "chain.path", |c| c.on_plan(|p| p.leaf.validity[0] = "260102000000Z")),
    ("an intermediate that has expired", "chain.path", |c| c.on_plan(|p| p.intermediate.validity[1] = "251231235959Z")),
    ("a leaf that is an authority", "chain.path", |c| c.on_plan(|p| p.leaf.authority = Some(None))),
    ("an intermediate that is no authority", "chain.path", |c| c.on_plan(|p| p.intermediate.authority = None)),
    ("an intermediate that signed itself", "chain.path", |c| c.on_plan(|p| p.intermediate.signer = Authority::Intermediate)),
    ("a leaf signed by the root's key", "chain.path", |c| c.on_plan(|p| p.leaf.signer = Authority::Root)),
    ("a leaf signed with SHA-256", "chain.path", |c| c.on_plan(|p| p.leaf.algorithm = Algorithm::PssSha256)),
    ("a leaf signed with PKCS #1", "chain.path", |c| c.on_plan(|p| p.leaf.algorithm = Algorithm::Pkcs1)),
    ("an intermediate signed with SHA-256", "chain.path", |c| c.on_plan(|p| p.intermediate.algorithm = Algorithm::PssSha256)),
    ("a leaf whose signature was changed", "chain.path", |c| c.on_signed(|s| *s.leaf.last_mut().unwrap() ^= 1)),

    ("a revoked intermediate", "chain.crl", |c| { c.with_list(); c.on_plan(|p| p.revocation_list.revoked.push(vec![1, 0, 1])); }),
    ("a revoked root", "chain.crl", |c| { c.with_list(); c.on_plan(|p| p.revocation_list.revoked.push(vec![1, 0, 0])); }),
    ("a revoked intermediate on a list that has ended", "chain.crl", |c| { c.with_list(); c.on_plan(|p| { p.revocation_list.revoked.push(vec![1, 0, 1]); p.revocation_list.validity[1] = "251231235959Z"; }); c.on_expectations(|e| { e.collateral.add(&Case::current_list()).unwrap(); }); }),
    ("a revocation list of the future", "chain.crl", |c| { c.with_list(); c.on_plan(|p| p.revocation_list.validity[0] = "260102000000Z"); }),
    ("a revocation list that was due", "chain.crl", |c| { c.with_list(); c.on_plan(|p| p.revocation_list.validity[1] = "251231235959Z"); }),
    ("a revocation list by another key", "chain.crl", |c| { c.with_list(); c.on_plan(|p| p.revocation_list.signer = Authority::Intermediate); }),

    ("an intermediate that may not sign certificates", "chain.usage", |c| c.on_plan(|p| p.intermediate.key_usage = Some(0x80))),

    ("a leaf on P-256", "leaf.key", |c| c.on_plan(|p| p.leaf_on_p256 = true)),

    ("a bit of the report", "report.signature", |c| c.on_signed(|s| s.report[0x29f] ^= 1)),
    ("a bit of r", "report.signature", |c| c.on_signed(|s| s.report[0x2a0] ^= 1)),
    ("a bit of s", "report.signature", |c| c.on_signed(|s| s.report[0x2a0 + 72] ^= 1)),
    ("r and s of zero", "report.signature", |c| c.on_signed(|s| s.report[0x2a0..].fill(0))),
    ("r big-endian", "report.signature", |c| c.on_signed(|s| s.report[0x2a0..0x2a0 + 48].reverse())),
    ("another chip's key", "report.signature", |c| c.on_signed(|s| s.leaf = Case::other_leaf())),

    ("version 0", "report.version", |c| c.report(0, &[0])),
    ("version 1", "report.version", |c| c.report(0, &[1])),
    ("version 4", "report.version", |c| c.report(0, &[4])),
    ("version 6", "report.version", |c| c.report(0, &[6])),
    ("version 2^32-1", "report.version", |c| c.report(0, &[0xff; 4])),

    ("reserved bits of the flags", "report.reserved", |c| c.report(0x049, &[1])),
    ("reserved bytes after the flags", "report.reserved", |c| c.report(0x04c, &[1])),
    ("reserved bytes after the processor", "report.reserved", |c| c.report(0x19f, &[1])),
    ("mitigations before version 5", "report.reserved", |c| c.report(0x1f8, &[1])),
    ("a processor before version 3", "report.reserved", |c| c.report(0, &[2])),
    ("reserved bytes at the end", "report.reserved", |c| c.report(0x29f, &[1])),
    ("reserved bytes at the end of version 5", "report.reserved", |c| { c.report(0, &[5]); c.report(0x208, &[1]); }),

    ("a leaf without product", "leaf.extensions", |c| c.extension(&[2], None)),
    ("a leaf for an unknown product", "leaf.extensions", |c| c.extension(&[2], Some(&[0x16, 4, b'R', b'o', b'm', b'e']))),
    ("a leaf with microcode twice", "leaf.extensions", |c| c.on_plan(|p| p.leaf.extensions.push((vec![3, 8], vec![2, 1, 84])))),
    ("a leaf without microcode", "leaf.extensions", |c| c.extension(&[3, 8], None)),
    ("a leaf with a TCB in text", "leaf.extensions", |c| c.extension(&[3, 3], Some(&[0x16, 1, 23]))),
    ("a leaf with a negative TCB", "leaf.extensions", |c| c.extension(&[3, 3], Some(&[2, 1, 0xff]))),
    ("a leaf with a TCB of 256", "leaf.extensions", |c| c.extension(&[3, 3], Some(&[2, 2, 1, 0]))),
    ("a leaf with bytes after a TCB", "leaf.extensions", |c| c.extension(&[3, 3], Some(&[2, 1, 23, 0]))),
    ("a leaf without chip", "leaf.extensions", |c| c.extension(&[4], None)),
    ("a leaf with a short chip id", "leaf.extensions", |c| c.extension(&[4], Some(&[0xc5; 8]))),
    ("a leaf with fmc where there is none", "leaf.extensions", |c| c.extension(&[3, 9], Some(&[2, 1, 0]))),
    ("a VLEK without provider", "leaf.extensions", |c| c.on_plan(|p| { p.under_vlek(); p.set_extension(&[5], None); })),
    ("a VLEK with a chip", "leaf.extensions", |c| c.on_plan(|p| { p.under_vlek(); p.set_extension(&[4], Some(&[0; 64])); })),

    ("Milan's leaf under Genoa's root", "product", |c| c.extension(&[2], Some(&[0x16, 5, b'M', b'i', b'l', b'a', b'n']))),
    ("Milan's processor under Genoa's root", "product", |c| c.report(0x188, &[0x19, 0x01])),
    ("an unknown processor", "product", |c| c.report(0x188, &[0x17])),

    ("a product that is not approved", "product.allowed", |c| c.on_guest(|g| g.products = [(Product::Turin, LeastTcb { reported: Some(Tcb { fmc: Some(0), ..TCB }), ..LeastTcb::default() })].into())),
    ("Milan, which is on the deny-list", "product.allowed", |c| c.on_milan()),

    ("no revocation list where one is required", "chain.crl-required", |c| c.require(Feature::RevocationList)),

    ("another chip", "chip", |c| c.report(0x1a0, &[0xc6])),
    ("a chip id that only begins right", "chip", |c| c.report(0x1df, &[0])),
    ("a masked chip id", "chip", |c| c.report(0x1a0, &[0; 64])),
    ("a chip id under a VLEK", "chip", |c| { c.allow(Allowance::AnyProvider); c.on_plan(|p| { p.under_vlek(); p.set(0x1a0, &[1]); }); }),

    ("a chip that is not listed", "chip.allowed", |c| c.on_guest(|g| { g.chips.insert(Hex([1; 64])); })),
    ("a revoked chip", "chip.allowed", |c| c.on_guest(|g| { g.revoked_chips.insert(Hex([0xc5; 64])); })),
    ("a revoked chip that is listed", "chip.allowed", |c| c.on_guest(|g| { g.chips.insert(Hex([0xc5; 64])); g.revoked_chips.insert(Hex([0xc5; 64])); })),
    ("a VLEK where chips are listed", "chip.allowed", |c| { c.allow(Allowance::AnyProvider); c.on_plan(Plan::under_vlek); c.on_guest(|g| { g.chips.insert(Hex([0xc5; 64])); }); }),

    ("a VLEK of a provider that nobody named", "provider", |c| c.on_plan(Plan::under_vlek)),
    ("a VCEK where a provider is named", "provider", |c| c.on_guest(|g| g.provider = Some("a cloud".into()))),
    ("another provider", "provider", |c| { c.on_plan(Plan::under_vlek); c.on_guest(|g| g.provider = Some("another".into())); }),

    ("firmware updated since the certificate", "tcb.certificate", |c| c.extension(&[3, 8], Some(&[2, 1, 83]))),
    ("a certificate for newer firmware", "tcb.certificate", |c| c.extension(&[3, 1], Some(&[2, 1, 11]))),

    ("more reported than committed", "tcb.order", |c| c.report(0x1e0, &[9])),
    ("more committed than current", "tcb.order", |c| c.report(0x03f, &[83])),

    ("an old boot loader", "tcb.reported", |c| c.least(|l| l.reported = Some(Tcb { bootloader: 11, ..TCB }))),
    ("an old tee", "tcb.reported", |c| c.least(|l| l.reported = Some(Tcb { tee: 1, ..TCB }))),
    ("an old snp", "tcb.reported", |c| c.least(|l| l.reported = Some(Tcb { snp: 24, ..TCB }))),
    ("old microcode behind a new boot loader", "tcb.reported", |c| c.least(|l| l.reported = Some(Tcb { bootloader: 1, microcode: 85, ..TCB }))),
    ("an old committed TCB", "tcb.committed", |c| c.least(|l| l.committed = Some(Tcb { snp: 24, ..TCB }))),
    ("an old TCB at launch", "tcb.launch", |c| { c.least(|l| l.launch = Some(TCB)); c.report(0x1f0, &[9]); }),

    ("an old firmware build", "firmware", |c| c.on_guest(|g| g.minimum_firmware = Some(Version([1, 55, 41])))),
    ("a firmware that can be rolled back", "firmware", |c| { c.on_guest(|g| g.minimum_firmware = Some(Version([1, 55, 40]))); c.report(0x1ec, &[39]); }),

    ("mitigations missing at launch", "mitigations", |c| { c.on_guest(|g| g.mitigations = 3); c.report(0, &[5]); c.report(0x1f8, &[1]); c.report(0x200, &[3]); }),
    ("mitigations missing now", "mitigations", |c| { c.on_guest(|g| g.mitigations = 3); c.report(0, &[5]); c.report(0x1f8, &[3]); c.report(0x200, &[1]); }),
    ("mitigations of a report that has none", "mitigations", |c| c.on_guest(|g| g.mitigations = 1)),

    ("policy bit 17 clear", "policy.reserved", |c| c.report(0x00a, &[0x01])),
    ("policy bit 26 set", "policy.reserved", |c| c.report(0x00b, &[0x04])),
    ("DEBUG", "policy.debug", |c| c.report(0x00a, &[0x0b])),
    ("MIGRATE_MA", "policy.migration", |c| c.report(0x00a, &[0x07])),
    ("a migration agent", "policy.migration", |c| c.report(0x160, &[0])),
    ("CXL_ALLOW", "policy.cxl", |c| c.report(0x00a, &[0x23])),
    ("SMT", "policy.smt", |c| c.require(Feature::NoSmt)),
    ("several sockets", "policy.single-socket", |c| c.require(Feature::SingleSocket)),
    ("AES-128", "policy.aes256", |c| c.require(Feature::Aes256)),
    ("energy measurements", "policy.rapl", |c| c.require(Feature::NoRapl)),
    ("visible ciphertext", "policy.ciphertext", |c| c.require(Feature::CiphertextHiding)),
    ("page swaps", "policy.page-swap", |c| c.require(Feature::NoPageSwap)),
    ("an old ABI", "policy.abi", |c| c.on_guest(|g| g.minimum_abi = Some(Version([0, 1])))),

    ("a host with SMT", "platform.smt", |c| c.require(Feature::PlatformNoSmt)),
    ("a host without TSME", "platform.tsme", |c| c.require(Feature::PlatformTsme)),
    ("a host without ECC", "platform.ecc", |c| { c.require(Feature::PlatformEcc); c.report(0x040, &[0x21]); }),
    ("a host that measures energy", "platform.rapl", |c| c.require(Feature::PlatformNoRapl)),
    ("a host that shows ciphertext", "platform.ciphertext", |c| c.require(Feature::PlatformCiphertextHiding)),
    ("a host that has not checked for aliases", "platform.alias", |c| { c.require(Feature::PlatformAliasCheck); c.report(0x040, &[0x05]); }),
    ("a host with trusted I/O", "platform.tio", |c| { c.require(Feature::PlatformNoTio); c.report(0x040, &[0xa5]); }),

    ("VMPL 1", "vmpl", |c| c.report(0x030, &[1])),
    ("VMPL 0 where 1 is wanted", "vmpl", |c| c.on_guest(|g| g.vmpl = 1)),
    ("a report that the host asked for", "vmpl", |c| c.report(0x030, &[0xff; 4])),

    ("another launch digest", "measurement", |c| c.report(0x090, &[0])),
    ("a launch digest that only begins right", "measurement", |c| c.report(0x0bf, &[0])),

    ("other host data", "host-data", |c| c.on_guest(|g| g.host_data = Some(Hex([1; 32])))),
    ("another identity key", "id-key", |c| c.on_guest(|g| g.id_key = Some(Hex([1; 48])))),
    ("another author", "author-key", |c| c.on_guest(|g| g.author_key = Some(Hex([1; 48])))),
    ("an author's key that is not there", "author-key", |c| c.report(0x048, &[1])),
    ("another family", "identity", |c| { c.pinned_identity(); c.on_guest(|g| g.family_id = Some(Hex([1; 16]))); }),
    ("another image", "identity", |c| { c.pinned_identity(); c.on_guest(|g| g.image_id = Some(Hex([1; 16]))); }),
    ("an old security version", "identity", |c| { c.pinned_identity(); c.on_guest(|g| g.minimum_svn = Some(1)); }),

    ("other runtime claims", "hcl", |c| { c.wrapped(); c.on_signed(|s| { let at = s.report.len() - 1; s.report[at] = b' '; }); }),

    ("a nonce, which reports have no field for", "nonce", |c| c.on_expectations(|e| e.freshness = Freshness::Nonce(Nonce::new([1; 32]).unwrap()))),
    ("a nonce within a binding that is not compared", "nonce", |c| c.on_expectations(|e| e.binding = Binding::AcceptAnyBinding)),

    ("a nonce that a report made at boot cannot cover", "nonce", |c| { c.wrapped(); c.on_expectations(|e| e.freshness = Freshness::WithinBinding); }),

    ("a binding of no bytes", "binding", |c| { c.report(0x050, &[0; 64]); c.on_expectations(|e| e.binding = Binding::UserData(Vec::new())); }),
    ("another binding", "binding", |c| c.on_expectations(|e| e.binding = Binding::Exactly([9; 64]))),
    ("a binding that only begins right", "binding", |c| c.on_expectations(|e| e.binding = Binding::UserData(BINDING[..63].to_vec()))),
    ("a binding longer than any", "binding", |c| c.on_expectations(|e| e.binding = Binding::UserData(vec![7; 65]))),
];

#[test]
fn each_mutation_is_refused_by_its_rule_alone() {
    for (what, rule, change) in MUTATIONS {
        let mut case = Case::new();
        change(&mut case);
        let verdict = case.verify();
        let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
        assert_eq!(failed, [*rule], "{what}:\n{verdict}");
        assert!(!verdict.accepted(), "{what}");
    }
}

#[test]
fn every_rule_has_a_mutation_that_only_it_refuses() {
    let with_mutation: BTreeSet<_> = MUTATIONS.iter().map(|(_, rule, _)| *rule).collect();
    let rules: BTreeSet<_> = snp::RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(rules, with_mutation);
    assert_eq!(snp::RULES.len(), rules.len(), "no two rules have the same name");
}

/// What is accepted, and which rules the verdict says were opted out of besides the test root
/// and the missing revocation list.
type Variation = (&'static str, &'static [&'static str], fn(&mut Case));

#[rustfmt::skip] // a table
const VARIATIONS: &[Variation] = &[
    ("without a fault", &[], |_| {}),
    ("version 2", &[], |c| { c.report(0, &[2]); c.report(0x188, &[0; 3]); }),
    ("version 5 with mitigations", &[], |c| { c.report(0, &[5]); c.report(0x1f8, &[3]); c.report(0x200, &[7]); c.on_guest(|g| g.mitigations = 3); }),
    ("a VLEK of any provider with an allowance", &["provider"], |c| { c.allow(Allowance::AnyProvider); c.on_plan(Plan::under_vlek); }),
    ("a current revocation list where one is required", &[], |c| { c.require(Feature::RevocationList); c.with_list(); }),
    ("a VLEK of the named provider", &[], |c| { c.on_plan(Plan::under_vlek); c.on_guest(|g| g.provider = Some("a cloud".into())); }),
    ("Turin", &[], |c| c.on_turin()),
    ("reported below committed below current", &[], |c| { c.report(0x1e7, &[85]); c.report(0x03f, &[86]); }),
    ("a listed chip", &[], |c| c.on_guest(|g| { g.chips.insert(Hex([0xc5; 64])); })),
    ("every feature of a careful host", &[], |c| {
        for feature in [Feature::NoSmt, Feature::SingleSocket, Feature::Aes256, Feature::NoRapl, Feature::CiphertextHiding, Feature::NoPageSwap,
            Feature::PlatformNoSmt, Feature::PlatformTsme, Feature::PlatformEcc, Feature::PlatformNoRapl, Feature::PlatformCiphertextHiding,
            Feature::PlatformAliasCheck, Feature::PlatformNoTio] { c.require(feature); }
        c.report(0x00a, &[0xd2, 0x03]);
        c.report(0x040, &[0x3e]);
    }),
    ("a short binding with zeros after it", &[], |c| { c.report(0x050, &[[7; 32], [0; 32]].concat()); c.on_expectations(|e| e.binding = Binding::UserData(vec![7; 32])); }),
    ("an extended report, and no other collateral", &[], |c| { c.with_table(); c.on_expectations(|e| e.collateral = snp::Collateral::new()); }),
    ("Azure's wrapping", &["nonce"], Case::wrapped),
    ("Milan with an allowance", &["product.allowed"], |c| { c.on_milan(); c.allow(Allowance::Milan); }),
    ("DEBUG with an allowance", &["policy.debug"], |c| { c.report(0x00a, &[0x0b]); c.allow(Allowance::Debug); }),
    ("a migration agent with an allowance", &["policy.migration"], |c| { c.report(0x00a, &[0x07]); c.report(0x160, &[1; 32]); c.allow(Allowance::Migration); }),
    ("CXL with an allowance", &["policy.cxl"], |c| { c.report(0x00a, &[0x23]); c.allow(Allowance::Cxl); }),
    ("a masked chip with an allowance", &["chip"], |c| { c.report(0x1a0, &[0; 64]); c.allow(Allowance::MaskedChip); }),
    ("any firmware with an allowance", &["tcb.reported"], |c| { c.allow(Allowance::AnyTcb); c.least(|l| l.reported = None); }),
    ("any nonce", &["nonce"], |c| c.on_expectations(|e| e.freshness = Freshness::AcceptAnyNonce)),
    ("any binding and any nonce", &["nonce", "binding"], |c| c.on_expectations(|e| { e.freshness = Freshness::AcceptAnyNonce; e.binding = Binding::AcceptAnyBinding; })),
];

#[test]
fn what_real_reports_may_do_is_accepted_and_every_opt_out_shown() {
    for (what, opted_out, change) in VARIATIONS {
        let mut case = Case::new();
        change(&mut case);
        let verdict = case.verify();
        assert!(verdict.accepted(), "{what}:\n{verdict}");
        let names: Vec<_> = verdict
            .opted_out()
            .map(|check| check.name)
            .filter(|name| !["root.pinned", "chain.crl"].contains(name))
            .collect();
        assert_eq!(names, *opted_out, "{what}");
    }
}

#[test]
fn a_current_revocation_list_is_no_opt_out() {
    let mut case = Case::new();
    case.with_list();
    let verdict = case.verify();
    assert!(verdict.accepted(), "{verdict}");
    assert!(verdict.opted_out().all(|check| check.name != "chain.crl"));
    // One that another root has issued says nothing about this chain.
    let mut case = Case::new();
    case.with_list();
    case.on_plan(|plan| plan.revocation_list.issuer = "ARK-Turin".to_owned());
    assert!(case.verify().opted_out().any(|check| check.name == "chain.crl"));
}

#[test]
fn a_chain_that_was_verified_before_is_checked_for_everything_but_its_signatures() {
    let mut case = Case::new();
    case.with_list();
    let (signed, mut expectations) = case.signed();
    let mut cache = Cache::new();
    let mut verify = |report: &[u8], expectations: &snp::Expectations| {
        let verdict = snp::verify_with(report, expectations, &mut cache);
        verdict.failed().map(|check| check.name).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert!(verify(&signed.report, &expectations).is_empty());
    }
    // Another report of the chip is still to be signed by it.
    let mut changed = signed.report.clone();
    changed[0x50] ^= 1;
    assert_eq!(verify(&changed, &expectations), ["report.signature"]);
    // The same chain at a time when the list is due, and when the leaf has ended.
    expectations.now = at(1_796_083_200 + 86_400);
    assert_eq!(verify(&signed.report, &expectations), ["chain.crl"]);
    expectations.now = at(1_956_528_000 + 1);
    assert_eq!(verify(&signed.report, &expectations), ["chain.path", "chain.crl"]);
    expectations.now = at(snp_common::NOW);
    // The same leaf under a root that is not pinned any more.
    expectations.roots = Roots::amd();
    assert_eq!(verify(&signed.report, &expectations), ["root.pinned"]);
}

#[test]
fn a_list_that_only_looks_like_the_roots_says_nothing() {
    let opted_out = |change: fn(&mut Plan)| {
        let mut case = Case::new();
        case.with_list();
        case.on_plan(change);
        let verdict = case.verify();
        assert!(verdict.accepted(), "{verdict}");
        verdict.opted_out().any(|check| check.name == "chain.crl")
    };
    assert!(!opted_out(|_| {}));
    assert!(opted_out(|plan| plan.revocation_list.organization = Some("Anybody")));
    assert!(opted_out(|plan| plan.revocation_list.issuer = "ARK-Turin".to_owned()));
}

#[test]
fn of_several_lists_any_revokes_and_the_latest_counts() {
    let mut plan = Plan::new(&BINDING, &snp_common::MEASUREMENT);
    plan.revocation_list.validity[1] = "251231235959Z";
    let ended = plan.sign().revocation_list;
    for current_first in [true, false] {
        let (signed, mut expectations) = Case::new().signed();
        let mut lists = [signed.revocation_list.clone(), ended.clone()];
        if !current_first {
            lists.reverse();
        }
        for list in &lists {
            expectations.collateral.add(list).unwrap();
        }
        assert!(snp::verify(&signed.report, &expectations).accepted(), "{current_first}");
    }
}

#[test]
fn of_several_certificates_of_a_name_those_that_fit_are_taken() {
    let (signed, expectations) = Case::new().signed();
    let Signed { root, intermediate, leaf, report, .. } = signed;
    // Of the same chip and firmware with another key, of other chips, of another root.
    let others =
        [Case::other_leaf(), Case::leaf_for_chip(1), Case::leaf_for_chip(2), Case::other_root()];
    let verify = |ders: &[&Vec<u8>], report: &[u8]| {
        let mut expectations = expectations.clone();
        expectations.collateral = snp::Collateral::new();
        for der in ders {
            expectations.collateral.add(der).unwrap();
        }
        snp::verify(report, &expectations)
    };
    let right = [&leaf, &intermediate, &root];
    let others: Vec<_> = others.iter().collect();
    for ders in [[&right[..], &others].concat(), [&others[..], &right].concat()] {
        let verdict = verify(&ders, &report);
        assert!(verdict.accepted(), "{verdict}");
    }
    // After a renewal: the certificate that has ended, of the same key, comes first.
    let mut plan = Plan::new(&BINDING, &snp_common::MEASUREMENT);
    let renewed = plan.sign_twice(|plan| plan.leaf.validity[1] = "251231235959Z");
    let [current, ended] = renewed;
    let ders = [&ended.leaf, &current.leaf, &intermediate, &root];
    assert!(verify(&ders, &current.report).accepted());
}

#[test]
fn collateral_comes_as_der_pem_or_table() {
    let (signed, mut expectations) = Case::new().signed();
    let Signed { root, intermediate, leaf, revocation_list, report } = signed;
    let pem = |label: &str, der: &[u8]| snp_common::pem(label, der);
    let text = [
        pem("CERTIFICATE", &root),
        pem("CERTIFICATE", &intermediate),
        pem("X509 CRL", &revocation_list),
        pem("CERTIFICATE", &leaf),
    ]
    .concat();
    let table = snp_common::table(&[
        ("63da758de6644564adc5f4b93be8accd", &leaf),
        ("4ab7b379bbac4fe4a02f05aef327c782", pem("CERTIFICATE", &intermediate).as_bytes()),
        ("c0b406a4a803495297433fb6014cd0ae", &root),
    ]);
    for (form, count) in [(text.into_bytes(), 4), (table, 3)] {
        expectations.collateral = snp::Collateral::new();
        assert_eq!(expectations.collateral.add(&form), Ok(count));
        assert!(snp::verify(&report, &expectations).accepted());
    }
    for wrong in [&b""[..], b"text", b"\x30\x03\x02\x01\x00", &leaf[..leaf.len() - 1]] {
        assert!(snp::Collateral::new().add(wrong).is_err());
    }
}

#[test]
fn no_prefix_and_no_flipped_byte_panics_or_passes() {
    let (signed, expectations) = Case::new().signed();
    let report = signed.report;
    for length in 0..report.len() {
        assert!(!snp::verify(&report[..length], &expectations).accepted());
    }
    for at in 0..report.len() {
        let mut changed = report.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!snp::verify(&changed, &expectations).accepted(), "byte {at}");
    }
}

#[test]
fn any_of_several_approved_guests_will_do_but_only_as_a_whole() {
    let (signed, mut expectations) = Case::new().signed();
    let guest = Case::guest();
    let other = snp::Guest { measurement: Hex([1; 48]), ..guest.clone() };
    let strict = snp::Guest { vmpl: 2, ..guest.clone() };
    let values = |first, second| {
        snp::ReferenceValues::new(snp::Reference::new(first).unwrap())
            .or(snp::Reference::new(second).unwrap())
    };
    expectations.reference = values(other.clone(), guest);
    assert!(snp::verify(&signed.report, &expectations).accepted());
    // The digest of the one and the level of the other are not enough.
    expectations.reference = values(snp::Guest { vmpl: 0, ..other }, strict);
    assert!(!snp::verify(&signed.report, &expectations).accepted());
    // The guest that it is is named, however wrong its host is.
    let wrong_host =
        snp::Guest { vmpl: 2, minimum_firmware: Some(Version([9, 0, 0])), ..Case::guest() };
    expectations.reference =
        values(snp::Guest { measurement: Hex([1; 48]), ..Case::guest() }, wrong_host);
    let verdict = snp::verify(&signed.report, &expectations);
    let failed: Vec<_> = verdict.failed().map(|check| check.name).collect();
    assert_eq!(failed, ["firmware", "vmpl"]);
}

#[test]
fn reference_values_that_would_accept_too_much_are_refused() {
    let guest = Case::guest();
    let code = |change: &dyn Fn(&mut snp::Guest)| {
        let mut guest = guest.clone();
        change(&mut guest);
        let error = snp::Reference::new(guest).unwrap_err().to_string();
        error.split(']').next().unwrap_or_default().to_owned()
    };
    assert_eq!(code(&|g| g.measurement = Hex([0; 48])), "[reference-zero");
    assert_eq!(code(&|g| g.products.clear()), "[reference-products");
    assert_eq!(
        code(&|g| g.products = [(Product::Genoa, LeastTcb::default())].into()),
        "[reference-tcb"
    );
    assert_eq!(code(&|g| g.minimum_svn = Some(1)), "[reference-identity");
    assert_eq!(code(&|g| g.id_key = Some(Hex([0; 48]))), "[reference-key");
    let with_fmc = LeastTcb { reported: Some(Tcb { fmc: Some(1), ..TCB }), ..LeastTcb::default() };
    assert_eq!(code(&|g| g.products = [(Product::Genoa, with_fmc)].into()), "[reference-fmc");
    let without = LeastTcb { reported: Some(TCB), ..LeastTcb::default() };
    assert_eq!(code(&|g| g.products = [(Product::Turin, without)].into()), "[reference-fmc");
}
