//! The guest device, and configfs-tsm beside it.

use std::{
    error::Error,
    path::Path,
    sync::{Mutex, PoisonError},
};

use sev::firmware::guest::Firmware;

use super::{evidence, tsm::Reports};
use crate::attester::{Attester, AttesterError, Vmpl, device::Device};

const DEVICE: Device = Device {
    platform: "snp",
    path: "/dev/sev-guest",
    remedy: "run this program in an SEV-SNP guest, with the sev-guest driver in its kernel \
             (and, for certificates of the host, configfs at /sys/kernel/config)",
};

/// Where configfs has the requests of configfs-tsm.
const REPORTS: &str = "/sys/kernel/config/tsm/report";

/// Asks the firmware for reports.
pub struct Snp {
    device: Mutex<Firmware>,
    /// Gives the host's certificates, too.
    reports: Option<Reports>,
    vmpl: Vmpl,
}

impl Snp {
    /// Opens the guest device, and finds out whether there is configfs-tsm.
    ///
    /// # Errors
    ///
    /// [`AttesterError::Device`] if this is no SEV-SNP guest.
    pub fn open(vmpl: Vmpl) -> Result<Self, AttesterError> {
        let device = Firmware::open().map_err(|source| DEVICE.missing(source))?;
        let reports = Reports::find(Path::new(REPORTS));
        Ok(Self { device: Mutex::new(device), reports, vmpl })
    }

    fn ask(&self, binding: &[u8; 64]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let (report, table) = if let Some(reports) = &self.reports {
            reports.extended(binding, self.vmpl)?
        } else {
            let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
            let level = Some(self.vmpl.get().into());
            (device.get_report(None, Some(*binding), level)?, Vec::new())
        };
        Ok(evidence::compose(&report, &table, binding)?)
    }
}

impl Attester for Snp {
    fn platform(&self) -> &'static str {
        "sev-snp"
    }

    fn evidence(&self, binding: &[u8; 64]) -> Result<Vec<u8>, AttesterError> {
        let evidence = self.ask(binding);
        evidence.map_err(|source| AttesterError::Answer { platform: DEVICE.platform, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_no_guest_is_told_what_was_looked_for() {
        let Err(error) = Snp::open(Vmpl::default()) else { return };
        let told = error.to_string();
        assert!(told.contains("/dev/sev-guest") && told.contains("sev-guest driver"), "{told}");
        assert!(!told.contains('\n'), "{told}");
    }
}
