//! What only the simulated platform has; in a build without it, one line that says so.

use std::path::Path;

use crate::attester::AttesterError;
#[cfg(feature = "simulated")]
use crate::attester::Simulated;

#[cfg(feature = "simulated")]
pub(super) fn create(directory: &Path) -> Result<(), AttesterError> {
    Simulated::create(directory)
}

#[cfg(feature = "simulated")]
pub(super) fn measurements(vendor: &Path) -> Result<String, AttesterError> {
    Ok(Simulated::open(vendor)?.measurements())
}

#[cfg(not(feature = "simulated"))]
pub(super) fn create(_: &Path) -> Result<(), AttesterError> {
    Err(AttesterError::NotBuilt { wanted: "simulated" })
}

#[cfg(not(feature = "simulated"))]
pub(super) fn measurements(_: &Path) -> Result<String, AttesterError> {
    Err(AttesterError::NotBuilt { wanted: "simulated" })
}

#[cfg(all(test, not(feature = "simulated")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_it_makes_no_vendor() {
        let home = tempfile::tempdir().unwrap();
        let errors = [create(home.path()).unwrap_err(), measurements(home.path()).unwrap_err()];
        for error in errors {
            assert!(error.to_string().starts_with("the platform simulated is not in"), "{error}");
        }
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
