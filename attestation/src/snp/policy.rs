//! What a report says, against what the caller expects.

use std::fmt::Display;

use super::reference::{Allowance, Feature, Guest};
use super::version::Version;
use super::{Claims, Expectations, SignedBy, Tcb, binding, rules};
use crate::hexadecimal::Hex;
use crate::text;
use crate::verdict::{Checks, Rule};

// Bits of the guest policy.
const RESERVED_BIT: u32 = 17;
const MIGRATION_BIT: u32 = 18;
pub(super) const DEBUG_BIT: u32 = 19;
const CXL_BIT: u32 = 21;
/// The first bit that no version of the specification has given a meaning.
const UNKNOWN_BITS: u32 = 26;

/// A requirement on one bit.
struct Bit {
    feature: Feature,
    rule: &'static Rule,
    number: u32,
    wanted: bool,
}

/// Bits of the guest policy that can be required.
#[rustfmt::skip] // a table
const GUEST: [Bit; 6] = [
    Bit { feature: Feature::NoSmt, rule: &rules::POLICY_SMT, number: 16, wanted: false },
    Bit { feature: Feature::SingleSocket, rule: &rules::POLICY_SINGLE_SOCKET, number: 20, wanted: true },
    Bit { feature: Feature::Aes256, rule: &rules::POLICY_AES256, number: 22, wanted: true },
    Bit { feature: Feature::NoRapl, rule: &rules::POLICY_RAPL, number: 23, wanted: true },
    Bit { feature: Feature::CiphertextHiding, rule: &rules::POLICY_CIPHERTEXT, number: 24, wanted: true },
    Bit { feature: Feature::NoPageSwap, rule: &rules::POLICY_PAGE_SWAP, number: 25, wanted: true },
];

/// Bits of the platform information that can be required.
#[rustfmt::skip] // a table
const PLATFORM: [Bit; 7] = [
    Bit { feature: Feature::PlatformNoSmt, rule: &rules::PLATFORM_SMT, number: 0, wanted: false },
    Bit { feature: Feature::PlatformTsme, rule: &rules::PLATFORM_TSME, number: 1, wanted: true },
    Bit { feature: Feature::PlatformEcc, rule: &rules::PLATFORM_ECC, number: 2, wanted: true },
    Bit { feature: Feature::PlatformNoRapl, rule: &rules::PLATFORM_RAPL, number: 3, wanted: true },
    Bit { feature: Feature::PlatformCiphertextHiding, rule: &rules::PLATFORM_CIPHERTEXT, number: 4, wanted: true },
    Bit { feature: Feature::PlatformAliasCheck, rule: &rules::PLATFORM_ALIAS, number: 5, wanted: true },
    Bit { feature: Feature::PlatformNoTio, rule: &rules::PLATFORM_TIO, number: 7, wanted: false },
];

/// Makes every comparison, and reports all that fail.
pub(super) fn appraise(claims: &Claims, expectations: &Expectations, checks: &mut Checks) {
    // Exhaustive, so that a new expectation cannot be forgotten here.
    let Expectations {
        roots: _,      // checked with the chain
        collateral: _, // likewise
        now: _,        // likewise
        freshness,
        binding,
        reference,
    } = expectations;
    guest(claims, reference, checks);
    binding::nonce(claims, freshness, binding, checks);
    binding::report_data(claims, binding, checks);
}

/// Compares with the approved guest that the report fails the fewest rules of.
fn guest(claims: &Claims, reference: &super::ReferenceValues, checks: &mut Checks) {
    let of = reference.0.len();
    let judged = reference.0.iter().map(|reference| {
        let mut checks = Checks::default();
        Compare { claims, guest: &reference.0, of, checks: &mut checks }.all();
        checks
    });
    // There is always one. The guest that it is comes first, however wrong its host is; of
    // several that accept it, the one that has to look away least.
    let distance = |checks: &Checks| {
        (checks.has_failed(&rules::MEASUREMENT), checks.failures(), checks.opt_outs())
    };
    if let Some(nearest) = judged.min_by_key(distance) {
        checks.append(nearest);
    }
}

/// A comparison with one approved guest.
struct Compare<'a> {
    claims: &'a Claims,
    guest: &'a Guest,
    of: usize,
    checks: &'a mut Checks,
}

impl Compare<'_> {
    fn all(&mut self) {
        self.product();
        self.revocation_list();
        self.chip();
        self.tcb();
        self.firmware();
        self.guest_policy();
        self.required_bits();
        self.vmpl();
        self.measurement();
        self.identity();
    }

    fn allows(&self, allowance: Allowance) -> bool {
        self.guest.allow.contains(&allowance)
    }

    /// Records a weakness that is refused unless it is allowed, and visible if it is.
    fn weakness(&mut self, rule: &Rule, found: bool, by: Allowance, words: [&str; 2]) {
        let [expected, weak] = words;
        match (found, self.allows(by)) {
            (false, _) => self.checks.pass(rule, expected, expected),
            (true, true) => self.checks.opt_out(rule, expected, weak),
            (true, false) => {
                self.checks.judge(rule, false, expected, weak);
            }
        }
    }

    fn product(&mut self) {
        let product = self.claims.product;
        let names: Vec<_> = self.guest.products.keys().map(ToString::to_string).collect();
        let expected = names.join(" or ");
        if !self.guest.products.contains_key(&product) {
            self.checks.judge(&rules::PRODUCT_ALLOWED, false, expected, product.to_string());
        } else if product == super::Product::Milan {
            const WORDS: [&str; 2] = ["a product that is not on the deny-list", "Milan"];
            self.weakness(&rules::PRODUCT_ALLOWED, true, Allowance::Milan, WORDS);
        } else {
            self.checks.pass(&rules::PRODUCT_ALLOWED, expected, product.to_string());
        }
    }

    fn revocation_list(&mut self) {
        if self.guest.require.contains(&Feature::RevocationList) {
            let unrevoked = self.claims.unrevoked;
            let found = if unrevoked { "one" } else { "none in the collateral" };
            let expected = "a current revocation list of the root";
            self.checks.judge(&rules::CRL_REQUIRED, unrevoked, expected, found);
        }
    }

    fn chip(&mut self) {
        let Claims { signed_by, chip_id, .. } = self.claims;
        match signed_by {
            SignedBy::Vcek(_) => {
                if let Some(provider) = &self.guest.provider {
                    let expected = format!("a VLEK of {}", text::quoted(provider));
                    self.checks.judge(&rules::PROVIDER, false, expected, "a VCEK");
                }
                let certified = self.claims.certified_chip().unwrap_or(Hex([0; 64]));
                if chip_id.is_zero() {
                    const WORDS: [&str; 2] = ["a chip id", "zeros: the host masks it"];
                    self.weakness(&rules::CHIP, true, Allowance::MaskedChip, WORDS);
                } else {
                    let holds = *chip_id == certified;
                    self.checks.judge(
                        &rules::CHIP,
                        holds,
                        certified.to_string(),
                        chip_id.to_string(),
                    );
                }
                let revoked = self.guest.revoked_chips.contains(&certified);
                let listed = self.guest.chips.is_empty() || self.guest.chips.contains(&certified);
                let expected = match (revoked, self.guest.chips.len()) {
                    (true, _) => "a chip that is not revoked".to_owned(),
                    (false, 0) => "any chip that is not revoked".to_owned(),
                    (false, listed) => format!("one of {listed} listed chips"),
                };
                self.checks.judge(
                    &rules::CHIP_ALLOWED,
                    listed && !revoked,
                    expected,
                    certified.to_string(),
                );
            }
            SignedBy::Vlek(provider) => {
                self.checks.judge(
                    &rules::CHIP,
                    chip_id.is_zero(),
                    "zeros, as a VLEK is no chip's",
                    chip_id.to_string(),
                );
                if !self.guest.chips.is_empty() || !self.guest.revoked_chips.is_empty() {
                    let expected = "a chip that is listed, and not revoked";
                    let found = "a VLEK, which says nothing about the chip";
                    self.checks.judge(&rules::CHIP_ALLOWED, false, expected, found);
                }
                let found = text::quoted(provider);
                if let Some(expected) = &self.guest.provider {
                    let holds = expected == provider;
                    self.checks.judge(&rules::PROVIDER, holds, text::quoted(expected), found);
                } else if self.allows(Allowance::AnyProvider) {
                    self.checks.opt_out(
                        &rules::PROVIDER,
                        "a provider that the policy names",
                        found,
                    );
                } else {
                    let expected = "a VCEK, as the policy names no provider";
                    self.checks.judge(&rules::PROVIDER, false, expected, found);
                }
            }
        }
    }

    fn tcb(&mut self) {
        let claims = self.claims;
        let least = self.guest.products.get(&claims.product).copied().unwrap_or_default();
        if let Some(least) = least.reported {
            self.at_least(&rules::TCB_REPORTED, claims.reported_tcb, least);
        } else {
            let found = claims.reported_tcb.to_string();
            self.checks.opt_out(&rules::TCB_REPORTED, "a least TCB for this product", found);
        }
        if let Some(least) = least.committed {
            self.at_least(&rules::TCB_COMMITTED, claims.committed_tcb, least);
        }
        if let Some(least) = least.launch {
            self.at_least(&rules::TCB_LAUNCH, claims.launch_tcb, least);
        }
    }

    fn at_least(&mut self, rule: &Rule, found: Tcb, least: Tcb) {
        let expected = format!("at least {least}");
        self.checks.judge(rule, found.is_at_least(&least), expected, found.to_string());
    }

    fn firmware(&mut self) {
        let claims = self.claims;
        if let Some(least) = self.guest.minimum_firmware {
            let (current, committed) = (claims.current_firmware, claims.committed_firmware);
            self.checks.judge(
                &rules::FIRMWARE,
                current >= least && committed >= least,
                format!("at least {least}"),
                format!("current {current}, committed {committed}"),
            );
        }
        let wanted = self.guest.mitigations;
        if wanted != 0 {
            let (holds, found) = match claims.mitigations {
                Some(found) => (
                    found.launch & found.current & wanted == wanted,
                    format!("{:#x} at launch, {:#x} now", found.launch, found.current),
                ),
                None => (false, "a report of a version that has none".to_owned()),
            };
            self.checks.judge(&rules::MITIGATIONS, holds, format!("{wanted:#x}"), found);
        }
    }

    fn guest_policy(&mut self) {
        let Claims { policy, migration_agent, .. } = *self.claims;
        let known = policy.has(RESERVED_BIT) && policy.0 >> UNKNOWN_BITS == 0;
        let expected = "bit 17 set, no bit from 26 on";
        self.checks.judge(&rules::POLICY_RESERVED, known, expected, format!("{:#x}", policy.0));
        self.weakness(
            &rules::POLICY_DEBUG,
            policy.has(DEBUG_BIT),
            Allowance::Debug,
            ["no debugging", "debugging is allowed: the host can read this guest's memory"],
        );
        let agent = migration_agent.0.iter().any(|&byte| byte != 0xff);
        self.weakness(
            &rules::POLICY_MIGRATION,
            policy.has(MIGRATION_BIT) || agent,
            Allowance::Migration,
            [
                "no migration agent",
                if agent { "a migration agent" } else { "migration is allowed" },
            ],
        );
        self.weakness(
            &rules::POLICY_CXL,
            policy.has(CXL_BIT),
            Allowance::Cxl,
            ["no memory behind CXL devices", "memory behind CXL devices is allowed"],
        );
        if let Some(least) = self.guest.minimum_abi {
            let found: Version<2> = policy.abi();
            let expected = format!("at least {least}");
            self.checks.judge(&rules::POLICY_ABI, found >= least, expected, found.to_string());
        }
    }

    fn required_bits(&mut self) {
        let (policy, platform) = (self.claims.policy, self.claims.platform);
        for (bits, value) in [(&GUEST[..], policy.0), (&PLATFORM[..], platform.0)] {
            for bit in bits {
                if self.guest.require.contains(&bit.feature) {
                    let set = value >> bit.number & 1 == 1;
                    let words =
                        |set| format!("bit {} {}", bit.number, if set { "set" } else { "clear" });
                    self.checks.judge(bit.rule, set == bit.wanted, words(bit.wanted), words(set));
                }
            }
        }
    }

    fn vmpl(&mut self) {
        let (wanted, found) = (self.guest.vmpl, self.claims.vmpl);
        let shown = match found {
            u32::MAX => "none: the host asked for the report".to_owned(),
            level => level.to_string(),
        };
        self.checks.judge(&rules::VMPL, found == wanted, wanted.to_string(), shown);
    }

    fn measurement(&mut self) {
        let Guest { name, measurement, .. } = self.guest;
        let which = match self.of {
            1 => text::quoted(name),
            of => format!("{}, nearest of {of} approved", text::quoted(name)),
        };
        let found = self.claims.measurement;
        let expected = format!("{measurement} ({which})");
        self.checks.judge(&rules::MEASUREMENT, found == *measurement, expected, found.to_string());
    }

    fn identity(&mut self) {
        let (guest, claims) = (self.guest, self.claims);
        if let Some(expected) = guest.host_data {
            self.equal(&rules::HOST_DATA, expected, claims.host_data);
        }
        if let Some(expected) = guest.id_key {
            self.equal(&rules::ID_KEY, expected, claims.id_key_digest);
        }
        if claims.author_key_enabled && claims.author_key_digest.is_zero() {
            let expected = "the digest of the author's key, which the report says was used";
            self.checks.judge(&rules::AUTHOR_KEY, false, expected, "zeros");
        } else if guest.author_key.is_some() && !claims.author_key_enabled {
            self.checks.judge(&rules::AUTHOR_KEY, false, "an author's key", "none was used");
        } else if let Some(expected) = guest.author_key {
            self.equal(&rules::AUTHOR_KEY, expected, claims.author_key_digest);
        }
        let mut expected = Vec::new();
        let mut found = Vec::new();
        let mut holds = true;
        let mut compare = |what: &str, wanted: Option<String>, is: String, equal: bool| {
            if let Some(wanted) = wanted {
                expected.push(format!("{what} {wanted}"));
                found.push(format!("{what} {is}"));
                holds &= equal;
            }
        };
        let shown = |id: Option<Hex<16>>| id.map(|id| id.to_string());
        let Claims { family_id, image_id, guest_svn, .. } = *claims;
        let same = |wanted: Option<Hex<16>>, is| wanted.is_none_or(|wanted| wanted == is);
        compare(
            "family",
            shown(guest.family_id),
            family_id.to_string(),
            same(guest.family_id, family_id),
        );
        compare(
            "image",
            shown(guest.image_id),
            image_id.to_string(),
            same(guest.image_id, image_id),
        );
        let least = guest.minimum_svn;
        compare(
            "version",
            least.map(|least| format!("at least {least}")),
            guest_svn.to_string(),
            least.is_none_or(|least| guest_svn >= least),
        );
        if !expected.is_empty() {
            self.checks.judge(&rules::IDENTITY, holds, expected.join(", "), found.join(", "));
        }
    }

    fn equal<T: PartialEq + Display>(&mut self, rule: &Rule, expected: T, found: T) {
        let holds = expected == found;
        self.checks.judge(rule, holds, expected.to_string(), found.to_string());
    }
}
