//! AMD SEV-SNP: the processor's firmware signs reports of this guest.
//!
//! Evidence is the report, byte by byte as it came, and right behind it the certificate
//! table that the host adds to an extended report, if it does ("SEV-ES Guest-Hypervisor
//! Communication Block Standardization", AMD publication 56421, section "SNP Extended Guest
//! Request"). Report and table come from configfs-tsm if the kernel has it; otherwise the
//! report alone comes from the guest device.
//!
//! The crate `sev` could ask the device for the table, too. It must not: `get_ext_report`
//! follows the table's offsets and lengths, which the host writes, through raw pointers and
//! without bounds. A host could so have this enclave's memory, keys and all, copied into
//! what it calls certificates, and would be handed them as evidence. What is used of `sev`
//! is `get_report`, whose answer has one length.

mod evidence;
#[cfg(feature = "snp")]
mod guest;
mod tsm;

#[cfg(feature = "snp")]
pub use guest::Snp;
