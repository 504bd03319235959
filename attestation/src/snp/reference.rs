//! Reference values: which guests are approved, by launch digest, on which hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::version::Version;
use super::{Product, Tcb};
use crate::hexadecimal::Hex;
use crate::text;

/// An approved guest: its launch digest, the products it may run on with the firmware they
/// need, and what else is required or allowed.
///
/// ```toml
/// [[snp]]
/// name = "cloister-enclave 0.1.0"
/// measurement = "..."                    # 96 hexadecimal digits
/// require = ["no-smt", "platform-ecc"]   # of guest policy and host; see `Feature`
/// allow = []                             # what is refused without it; see `Allowance`
///
/// [snp.products.genoa]                   # a product that is not named is refused
/// reported = { bootloader = 10, tee = 0, snp = 23, microcode = 84 }
///
/// [snp.products.turin]
/// reported = { fmc = 0, bootloader = 1, tee = 0, snp = 2, microcode = 71 }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Guest", into = "Guest")]
pub struct Reference(pub(super) Guest);

/// What a guest and its host have to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Guest {
    /// A name for people.
    pub name: String,
    /// The launch digest.
    pub measurement: Hex<48>,
    /// The products that are accepted, and the least TCB on each.
    pub products: BTreeMap<Product, LeastTcb>,
    /// The privilege level that reports are made at; 0 is the most privileged.
    #[serde(default)]
    pub vmpl: u32,
    /// What is required of guest policy and host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub require: BTreeSet<Feature>,
    /// What is accepted although it weakens the statement. Each use of it is in the verdict.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow: BTreeSet<Allowance>,
    /// The least ABI version that the guest policy demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_abi: Option<Version<2>>,
    /// The least build of current and committed firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_firmware: Option<Version<3>>,
    /// Bits of the mitigation vector that are in force, at launch and now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mitigations: u64,
    /// What the host says at launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_data: Option<Hex<32>>,
    /// SHA-384 of the key that signs the identity block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_key: Option<Hex<48>>,
    /// SHA-384 of the author's key, which signs the identity key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_key: Option<Hex<48>>,
    /// From the identity block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_id: Option<Hex<16>>,
    /// From the identity block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<Hex<16>>,
    /// From the identity block: the least security version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_svn: Option<u32>,
    /// The chips that are accepted; any if none is listed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub chips: BTreeSet<Hex<64>>,
    /// Chips that are not accepted any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub revoked_chips: BTreeSet<Hex<64>>,
    /// The cloud provider whose VLEK has to have signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// The least security versions of a product's firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeastTcb {
    /// Of the reported TCB. Left out, any is accepted if `allow` has `any-tcb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Tcb>,
    /// Of the committed TCB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Tcb>,
    /// Of the TCB at launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Tcb>,
}

/// What a policy can require of guest policies and hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Feature {
    /// The guest refuses hosts with simultaneous multithreading.
    NoSmt,
    /// The guest refuses hosts with several sockets.
    SingleSocket,
    /// The guest demands AES-256 XTS.
    Aes256,
    /// The guest demands that energy measurements are off.
    NoRapl,
    /// The guest demands that ciphertext is hidden.
    CiphertextHiding,
    /// The guest forbids swapping and moving its pages.
    NoPageSwap,
    /// Simultaneous multithreading is off.
    PlatformNoSmt,
    /// All memory is encrypted.
    PlatformTsme,
    /// Memory corrects errors.
    PlatformEcc,
    /// Energy measurements are off.
    PlatformNoRapl,
    /// Ciphertext is hidden.
    PlatformCiphertextHiding,
    /// Memory was checked for aliases.
    PlatformAliasCheck,
    /// Trusted I/O is off.
    PlatformNoTio,
    /// There is a current revocation list of the root.
    RevocationList,
}

/// What is refused unless a policy says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Allowance {
    /// Milan, which is on the deny-list: arXiv 2605.12990 claims that software can extract the
    /// secret that VCEKs are derived from.
    Milan,
    /// Guests that the host may debug. Nothing is private in them.
    Debug,
    /// Guests with a migration agent, which gets to know their secrets.
    Migration,
    /// Memory behind CXL devices.
    Cxl,
    /// Chips whose id the host masks, known by the certificate alone.
    MaskedChip,
    /// Any provider's VLEK, though the policy names none.
    AnyProvider,
    /// Any firmware, on products without a least TCB.
    AnyTcb,
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milan => "Milan, whose chip keys may be extractable",
            Self::Debug => "debugging by its operator",
            Self::Migration => "migration agents, which get its secrets",
            Self::Cxl => "memory behind CXL devices",
            Self::MaskedChip => "chips whose id the host masks",
            Self::AnyProvider => "the keys of any cloud provider",
            Self::AnyTcb => "any firmware",
        })
    }
}

/// Approved guests, any of which will do. There is always one.
#[derive(Clone, Debug)]
pub struct ReferenceValues(pub(super) Vec<Reference>);

/// Why values identify no guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing was measured.
    #[error(
        "[reference-zero] the measurement of the guest {name} is zero: take the launch digest of its image"
    )]
    Zero {
        /// The reference value's name.
        name: String,
    },
    /// No product would be accepted.
    #[error(
        "[reference-products] the guest {name} names no product to run on: add [snp.products.genoa] with the least TCB"
    )]
    NoProduct {
        /// The reference value's name.
        name: String,
    },
    /// Any firmware would do, and nothing says so.
    #[error(
        "[reference-tcb] the guest {name} names no least reported TCB for {product}: add one, or allow = [\"any-tcb\"]"
    )]
    NoTcb {
        /// The reference value's name.
        name: String,
        /// The product.
        product: Product,
    },
    /// A component that a product has not, or lacks.
    #[error(
        "[reference-fmc] the guest {name} has a TCB for {product} {}: Turin has fmc, the others have not",
        if *has { "with fmc" } else { "without fmc" }
    )]
    Fmc {
        /// The reference value's name.
        name: String,
        /// The product.
        product: Product,
        /// Whether it has the component.
        has: bool,
    },
    /// A pin that matches guests without the key.
    #[error(
        "[reference-key] {key} of the guest {name} is zero, as in guests without such a key: take the digest of the key"
    )]
    ZeroKey {
        /// The reference value's name.
        name: String,
        /// Which key.
        key: &'static str,
    },
    /// The host would choose.
    #[error(
        "[reference-identity] the guest {name} names family, image or security version without id-key: hosts choose identity blocks, so pin the key that signs this one"
    )]
    Identity {
        /// The reference value's name.
        name: String,
    },
}

impl Reference {
    /// Approves a guest.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] if it would accept more than somebody who reads it would think.
    pub fn new(guest: Guest) -> Result<Self, ReferenceError> {
        let name = || text::quoted(&guest.name);
        if guest.measurement.is_zero() {
            return Err(ReferenceError::Zero { name: name() });
        }
        if guest.products.is_empty() {
            return Err(ReferenceError::NoProduct { name: name() });
        }
        let any_tcb = guest.allow.contains(&Allowance::AnyTcb);
        let without = guest.products.iter().find(|(_, least)| least.reported.is_none());
        if let (Some((&product, _)), false) = (without, any_tcb) {
            return Err(ReferenceError::NoTcb { name: name(), product });
        }
        for (&product, least) in &guest.products {
            for tcb in [least.reported, least.committed, least.launch].into_iter().flatten() {
                let has = tcb.fmc.is_some();
                if has != (product == Product::Turin) {
                    return Err(ReferenceError::Fmc { name: name(), product, has });
                }
            }
        }
        for (key, digest) in [("id-key", guest.id_key), ("author-key", guest.author_key)] {
            if digest.is_some_and(|digest| digest.is_zero()) {
                return Err(ReferenceError::ZeroKey { name: name(), key });
            }
        }
        let identity =
            guest.family_id.is_some() || guest.image_id.is_some() || guest.minimum_svn.is_some();
        if identity && guest.id_key.is_none() {
            return Err(ReferenceError::Identity { name: name() });
        }
        Ok(Self(guest))
    }

    /// What was approved.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.0
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl Guest {
    /// A guest with this launch digest at VMPL 0, on these products, and nothing else required
    /// or allowed.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        measurement: Hex<48>,
        products: impl IntoIterator<Item = (Product, LeastTcb)>,
    ) -> Self {
        Self {
            name: name.into(),
            measurement,
            products: products.into_iter().collect(),
            vmpl: 0,
            require: BTreeSet::new(),
            allow: BTreeSet::new(),
            minimum_abi: None,
            minimum_firmware: None,
            mitigations: 0,
            host_data: None,
            id_key: None,
            author_key: None,
            family_id: None,
            image_id: None,
            minimum_svn: None,
            chips: BTreeSet::new(),
            revoked_chips: BTreeSet::new(),
            provider: None,
        }
    }
}

impl ReferenceValues {
    /// Approves one guest.
    #[must_use]
    pub fn new(reference: Reference) -> Self {
        Self(vec![reference])
    }

    /// Approves another guest as well.
    #[must_use]
    pub fn or(mut self, reference: Reference) -> Self {
        self.0.push(reference);
        self
    }
}

impl TryFrom<Guest> for Reference {
    type Error = ReferenceError;

    fn try_from(guest: Guest) -> Result<Self, ReferenceError> {
        Self::new(guest)
    }
}

impl From<Reference> for Guest {
    fn from(reference: Reference) -> Self {
        reference.0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
