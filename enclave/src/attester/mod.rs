//! Evidence of the platform that this enclave runs on.
//!
//! Each platform is a feature of this crate: `simulated`, the default, `nitro` and `snp`.
//! What a build leaves out is not in its dependency tree either. An image has one platform,
//! and never the simulated one: `--no-default-features --features nitro`.

#[cfg(any(feature = "nitro", feature = "snp", test))]
mod device;
#[cfg(feature = "nitro")]
mod nitro;
mod platform;
#[cfg(feature = "simulated")]
mod simulated;
#[cfg(any(feature = "snp", test))]
mod snp;

#[cfg(feature = "nitro")]
pub use nitro::Nitro;
pub(crate) use platform::built;
pub use platform::{Platform, Vmpl};
#[cfg(feature = "simulated")]
pub use simulated::Simulated;
#[cfg(feature = "snp")]
pub use snp::Snp;

use std::{error::Error, io};

use thiserror::Error;

/// Something that vouches for this enclave.
pub trait Attester: Send + Sync {
    /// The platform's name: `simulated`, `nitro`, `sev-snp`.
    fn platform(&self) -> &str;

    /// Evidence that binds 64 bytes, as the platform's verifier reads it.
    ///
    /// # Errors
    ///
    /// [`AttesterError`] if the platform did not answer.
    fn evidence(&self, binding: &[u8; 64]) -> Result<Vec<u8>, AttesterError>;
}

/// The attester of `platform`, after a look at what it needs.
///
/// # Errors
///
/// [`AttesterError::NotBuilt`] if this build leaves the platform out, otherwise whatever
/// the platform lacks.
pub fn open(platform: &Platform) -> Result<Box<dyn Attester>, AttesterError> {
    match platform {
        #[cfg(feature = "simulated")]
        Platform::Simulated { vendor } => Ok(Box::new(Simulated::open(vendor)?)),
        #[cfg(feature = "nitro")]
        Platform::Nitro => Ok(Box::new(Nitro::open()?)),
        #[cfg(feature = "snp")]
        Platform::Snp { vmpl } => Ok(Box::new(Snp::open(*vmpl)?)),
        #[cfg(not(all(feature = "simulated", feature = "nitro", feature = "snp")))]
        other => Err(AttesterError::NotBuilt { wanted: other.name() }),
    }
}

/// Why there is no evidence.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttesterError {
    /// The platform is not in this program.
    #[error(
        "the platform {wanted} is not in this program, which has {}: build cloister-enclave with \
         `--no-default-features --features {wanted}`",
        built()
    )]
    NotBuilt {
        /// The platform's name, and its feature's.
        wanted: &'static str,
    },
    /// The platform's device cannot be used.
    #[error("the platform {platform} needs {path}, which cannot be opened: {source}; {remedy}")]
    Device {
        /// The platform's name on the command line.
        platform: &'static str,
        /// What was looked for.
        path: &'static str,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The platform was asked and gave nothing that is evidence.
    #[error("the platform {platform} made no evidence: {source}")]
    Answer {
        /// The platform's name on the command line.
        platform: &'static str,
        /// What it said, or what is wrong with what it gave.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The simulated vendor could not sign.
    #[cfg(feature = "simulated")]
    #[error("the simulated platform made no evidence: {0}")]
    Simulated(#[from] cloister_simulated::Error),
    /// This program's own bytes, or the vendor's directory, cannot be read.
    #[error("cannot read {what}: {source}; make a vendor with `cloister-enclave vendor DIR`")]
    Read {
        /// What could not be read.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system's clock is before 1970.
    #[error("the system's clock is before 1970: set it")]
    Clock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_that_was_left_out_is_told_in_one_line() {
        let all = built();
        for (platform, has) in [
            (Platform::Simulated { vendor: "nowhere".into() }, cfg!(feature = "simulated")),
            (Platform::Nitro, cfg!(feature = "nitro")),
            (Platform::Snp { vmpl: Vmpl::default() }, cfg!(feature = "snp")),
        ] {
            let name = platform.name();
            assert_eq!(all.split(", ").any(|one| one == name), has, "{name}");
            let Err(error) = open(&platform) else { continue };
            let left_out = matches!(error, AttesterError::NotBuilt { wanted } if wanted == name);
            assert_eq!(left_out, !has, "{error}");
            let told = error.to_string();
            assert!(!told.contains('\n'), "{told}");
            if left_out {
                let remedy = format!("`--no-default-features --features {name}`");
                assert!(told.contains(&remedy) && told.contains(&all), "{told}");
            }
        }
    }
}
