//! Which platform is asked for, whether or not this build has it.

use std::path::PathBuf;

/// A platform, and what it has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// No hardware: a throw-away vendor.
    Simulated {
        /// Its directory.
        vendor: PathBuf,
    },
    /// An AWS Nitro enclave.
    Nitro,
    /// An AMD SEV-SNP guest.
    Snp {
        /// The level that reports are made for.
        vmpl: Vmpl,
    },
}

impl Platform {
    /// The name on the command line, which is also the feature's.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Simulated { .. } => "simulated",
            Self::Nitro => "nitro",
            Self::Snp { .. } => "snp",
        }
    }
}

/// A virtual machine privilege level: 0, the highest and the default, to 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vmpl(u8);

impl Vmpl {
    /// The lowest level, by AMD's specification.
    const LAST: u8 = 3;

    /// This level, if there is one.
    #[must_use]
    pub fn new(level: u8) -> Option<Self> {
        (level <= Self::LAST).then_some(Self(level))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// The platforms in this build, as people read them.
pub(crate) fn built() -> String {
    let all = [
        ("simulated", cfg!(feature = "simulated")),
        ("nitro", cfg!(feature = "nitro")),
        ("snp", cfg!(feature = "snp")),
    ];
    let names: Vec<_> = all.into_iter().filter(|(_, built)| *built).map(|(name, _)| name).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
