//! The attestation report as bytes: `ATTESTATION_REPORT` of the "SEV Secure Nested Paging
//! Firmware ABI Specification" (AMD publication 56860), table "`ATTESTATION_REPORT` structure".
//!
//! Offsets are that table's. Everything is little-endian, r and s of the signature included.

use super::limits;

/// A report, by its bytes as received. What its fields mean is known once its signature is
/// verified; until then they only say which certificates to verify it with.
#[derive(Clone, Copy)]
pub(super) struct Report<'a>(&'a [u8; limits::REPORT]);

/// Who signed, as the report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningKey {
    /// The chip's own key.
    Vcek,
    /// The key that AMD gave to a cloud provider.
    Vlek,
    /// Nobody, or somebody unknown.
    Other(u32),
}

impl<'a> Report<'a> {
    /// The versions whose fields are known: those of ABI 1.51 to 1.58.
    pub(super) const VERSIONS: [u32; 3] = [2, 3, 5];
    /// `SIGNATURE_ALGO`: ECDSA on P-384 with SHA-384.
    pub(super) const ECDSA_P384_SHA384: u32 = 1;

    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn array<const N: usize>(self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0[at..at + N]);
        array
    }

    fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    pub(super) fn version(self) -> u32 {
        self.u32(0x000)
    }

    pub(super) fn guest_svn(self) -> u32 {
        self.u32(0x004)
    }

    pub(super) fn policy(self) -> u64 {
        self.u64(0x008)
    }

    pub(super) fn family_id(self) -> [u8; 16] {
        self.array(0x010)
    }

    pub(super) fn image_id(self) -> [u8; 16] {
        self.array(0x020)
    }

    pub(super) fn vmpl(self) -> u32 {
        self.u32(0x030)
    }

    pub(super) fn signature_algorithm(self) -> u32 {
        self.u32(0x034)
    }

    pub(super) fn current_tcb(self) -> [u8; 8] {
        self.array(0x038)
    }

    pub(super) fn platform_info(self) -> u64 {
        self.u64(0x040)
    }

    pub(super) fn author_key_enabled(self) -> bool {
        self.u32(0x048) & 1 != 0
    }

    pub(super) fn chip_key_masked(self) -> bool {
        self.u32(0x048) & 2 != 0
    }

    pub(super) fn signing_key(self) -> SigningKey {
        match self.u32(0x048) >> 2 & 0b111 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            other => SigningKey::Other(other),
        }
    }

    pub(super) fn report_data(self) -> [u8; 64] {
        self.array(0x050)
    }

    pub(super) fn measurement(self) -> [u8; 48] {
        self.array(0x090)
    }

    pub(super) fn host_data(self) -> [u8; 32] {
        self.array(0x0c0)
    }

    pub(super) fn id_key_digest(self) -> [u8; 48] {
        self.array(0x0e0)
    }

    pub(super) fn author_key_digest(self) -> [u8; 48] {
        self.array(0x110)
    }

    pub(super) fn report_id(self) -> [u8; 32] {
        self.array(0x140)
    }

    pub(super) fn migration_agent_report_id(self) -> [u8; 32] {
        self.array(0x160)
    }

    pub(super) fn reported_tcb(self) -> [u8; 8] {
        self.array(0x180)
    }

    /// Family, model and stepping of the processor, which reports have from version 3 on.
    pub(super) fn processor(self) -> Option<[u8; 3]> {
        (self.version() >= 3).then(|| self.array(0x188))
    }

    pub(super) fn chip_id(self) -> [u8; 64] {
        self.array(0x1a0)
    }

    pub(super) fn committed_tcb(self) -> [u8; 8] {
        self.array(0x1e0)
    }

    /// Major, minor and build of the firmware that runs.
    pub(super) fn current_firmware(self) -> [u8; 3] {
        let [build, minor, major] = self.array(0x1e8);
        [major, minor, build]
    }

    /// Major, minor and build of the firmware that cannot be rolled back.
    pub(super) fn committed_firmware(self) -> [u8; 3] {
        let [build, minor, major] = self.array(0x1ec);
        [major, minor, build]
    }

    pub(super) fn launch_tcb(self) -> [u8; 8] {
        self.array(0x1f0)
    }

    /// The mitigations in force at launch and now, which reports have from version 5 on.
    pub(super) fn mitigations(self) -> Option<(u64, u64)> {
        (self.version() >= 5).then(|| (self.u64(0x1f8), self.u64(0x200)))
    }

    /// Whether the fields that the specification reserves in this version are zero. Fields
    /// that later versions gave a meaning are reserved in earlier ones.
    pub(super) fn reserved_are_zero(self) -> bool {
        let version = self.version();
        let processor = if version >= 3 { 0x18b } else { 0x188 };
        let end = if version >= 5 { 0x208 } else { 0x1f8 };
        let ranges =
            [0x04c..0x050, processor..0x1a0, 0x1eb..0x1ec, 0x1ef..0x1f0, end..limits::SIGNED];
        let flags = self.u32(0x048) >> 5;
        flags == 0 && ranges.into_iter().all(|range| self.0[range].iter().all(|&byte| byte == 0))
    }

    /// What the signature is over.
    pub(super) fn signed(self) -> &'a [u8] {
        &self.0[..limits::SIGNED]
    }

    /// r and s, big-endian as others have them. None unless both are of 48 bytes, with zeros
    /// up to 72 bytes and to the end of the report.
    pub(super) fn signature(self) -> Option<[u8; 96]> {
        const R: usize = limits::SIGNED;
        const S: usize = R + 72;
        const END: usize = S + 72;
        let padding = [R + 48..S, S + 48..END, END..limits::REPORT];
        if padding.into_iter().any(|range| self.0[range].iter().any(|&byte| byte != 0)) {
            return None;
        }
        let mut signature = [0; 96];
        let (r, s) = signature.split_at_mut(48);
        for (number, at) in [(r, R), (s, S)] {
            number.copy_from_slice(&self.0[at..at + 48]);
            number.reverse();
        }
        Some(signature)
    }
}
