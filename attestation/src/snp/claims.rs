//! What a report says, once its signature is known to be good.

use serde::{Serialize, Serializer};

use super::chain::Chain;
use super::leaf::Endorsed;
use super::report::{Report, SigningKey};
use super::version::Version;
use super::{Product, Tcb};
use crate::hexadecimal::Hex;

/// The fields of a report, interpreted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Claims {
    /// The version of the report's format.
    pub version: u32,
    /// What the processor is.
    pub product: Product,
    /// Whose key signed.
    pub signed_by: SignedBy,
    /// The chip, or zeros where it is masked or a VLEK signed.
    pub chip_id: Hex<64>,
    /// Whether the guest policy allows debugging: then the report says nothing.
    pub debug: bool,
    /// What the guest's owner demanded of the host at launch.
    pub policy: GuestPolicy,
    /// What the host is like.
    pub platform: PlatformInfo,
    /// The privilege level that asked for the report.
    pub vmpl: u32,
    /// What the guest vouches for.
    pub report_data: Hex<64>,
    /// The launch digest.
    pub measurement: Hex<48>,
    /// What the host said at launch.
    pub host_data: Hex<32>,
    /// SHA-384 of the key that signed the identity block; zeros if there was none.
    pub id_key_digest: Hex<48>,
    /// SHA-384 of the key that signed that key; zeros if there was none.
    pub author_key_digest: Hex<48>,
    /// Whether an author's key was used.
    pub author_key_enabled: bool,
    /// From the identity block.
    pub family_id: Hex<16>,
    /// From the identity block.
    pub image_id: Hex<16>,
    /// From the identity block.
    pub guest_svn: u32,
    /// The guest's number, new at each launch.
    pub report_id: Hex<32>,
    /// The migration agent's, all ones if there is none.
    pub migration_agent: Hex<32>,
    /// The TCB that the signing key was derived for.
    pub reported_tcb: Tcb,
    /// The TCB that cannot be rolled back any more.
    pub committed_tcb: Tcb,
    /// The TCB that runs.
    pub current_tcb: Tcb,
    /// The TCB at launch or import of the guest.
    pub launch_tcb: Tcb,
    /// The firmware that runs.
    pub current_firmware: Version<3>,
    /// The firmware that cannot be rolled back any more.
    pub committed_firmware: Version<3>,
    /// Mitigations in force, from version 5 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigations: Option<Mitigations>,
    /// When the leaf certificate expires, in seconds since 1970.
    pub certificate_not_after: u64,
    /// SHA-256 of the root certificate that all this rests on.
    pub root_sha256: Hex<32>,
    /// Whether a revocation list showed that root and intermediate are not revoked.
    pub unrevoked: bool,
    /// What Azure's paravisor wrapped around the report, as the text it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_claims: Option<String>,
}

/// Whose key signed a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SignedBy {
    /// The chip's own: its id, as the certificate has it.
    Vcek(#[serde(serialize_with = "hexadecimal")] Vec<u8>),
    /// The cloud provider's: its name, as the certificate has it.
    Vlek(String),
}

/// The bits of `GUEST_POLICY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct GuestPolicy(#[serde(serialize_with = "number")] pub u64);

/// The bits of `PLATFORM_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PlatformInfo(#[serde(serialize_with = "number")] pub u64);

/// The bits of the mitigation vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mitigations {
    /// When the guest was launched.
    #[serde(serialize_with = "number")]
    pub launch: u64,
    /// When the report was made.
    #[serde(serialize_with = "number")]
    pub current: u64,
}

impl GuestPolicy {
    /// The lowest ABI version under which the guest may run.
    #[must_use]
    pub fn abi(self) -> Version<2> {
        let [minor, major, ..] = self.0.to_le_bytes();
        Version([major, minor])
    }

    /// Whether a bit is set.
    #[must_use]
    pub fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
}

impl PlatformInfo {
    /// Whether a bit is set.
    #[must_use]
    pub fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
}

impl Claims {
    /// The chip that the VCEK is for, which a host cannot mask; none under a VLEK.
    #[must_use]
    pub fn certified_chip(&self) -> Option<Hex<64>> {
        let SignedBy::Vcek(chip) = &self.signed_by else { return None };
        let mut padded = [0; 64];
        padded.get_mut(..chip.len())?.copy_from_slice(chip);
        Some(Hex(padded))
    }

    pub(super) fn of(report: Report<'_>, chain: &Chain<'_>, leaf: Endorsed) -> Self {
        let tcb = |bytes| Tcb::from_bytes(bytes, chain.product);
        let policy = GuestPolicy(report.policy());
        Self {
            version: report.version(),
            product: chain.product,
            signed_by: match (report.signing_key(), leaf.provider) {
                (SigningKey::Vlek, provider) => SignedBy::Vlek(provider.unwrap_or_default()),
                _ => SignedBy::Vcek(leaf.chip.unwrap_or_default()),
            },
            chip_id: Hex(report.chip_id()),
            debug: policy.has(super::policy::DEBUG_BIT),
            policy,
            platform: PlatformInfo(report.platform_info()),
            vmpl: report.vmpl(),
            report_data: Hex(report.report_data()),
            measurement: Hex(report.measurement()),
            host_data: Hex(report.host_data()),
            id_key_digest: Hex(report.id_key_digest()),
            author_key_digest: Hex(report.author_key_digest()),
            author_key_enabled: report.author_key_enabled(),
            family_id: Hex(report.family_id()),
            image_id: Hex(report.image_id()),
            guest_svn: report.guest_svn(),
            report_id: Hex(report.report_id()),
            migration_agent: Hex(report.migration_agent_report_id()),
            reported_tcb: tcb(report.reported_tcb()),
            committed_tcb: tcb(report.committed_tcb()),
            current_tcb: tcb(report.current_tcb()),
            launch_tcb: tcb(report.launch_tcb()),
            current_firmware: Version(report.current_firmware()),
            committed_firmware: Version(report.committed_firmware()),
            mitigations: report
                .mitigations()
                .map(|(launch, current)| Mitigations { launch, current }),
            certificate_not_after: chain.leaf.not_after,
            root_sha256: Hex(chain.root_sha256),
            unrevoked: chain.unrevoked,
            runtime_claims: None,
        }
    }
}

fn hexadecimal<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn number<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:#x}"))
}
