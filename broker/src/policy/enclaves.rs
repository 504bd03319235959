//! The enclaves that a policy approves, as a person compares them, and what to warn of.

use std::fmt;

use cloister_attestation::{
    Measurements,
    nitro::{Pcr, PcrIndex, Pcrs},
    snp::{Allowance, Guest},
};
use cloister_protocol::Digest;

use super::{Policy, PolicyError};

/// Which kinds of enclave that protect nothing may be added to a policy. An operator's
/// measurements may name such a one beside a genuine one; the owner has to have asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unprotected {
    /// `[[simulated]]`: no hardware.
    pub simulated: bool,
    /// `[[nitro-debug]]`, and `[[snp]]` that allows debugging or migration agents: hardware
    /// that its operator looks into.
    pub debug: bool,
}

/// Whose hardware an approved enclave runs on, by its section in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `[[nitro]]`.
    Nitro,
    /// `[[snp]]`.
    Snp,
    /// `[[snp]]` that allows debugging or migration agents.
    SnpDebug,
    /// `[[simulated]]`.
    Simulated,
    /// `[[nitro-debug]]`.
    NitroDebug,
}

/// One approved enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enclave {
    /// Its section.
    pub section: Section,
    /// What its operator calls it.
    pub name: String,
    /// What tells it from others, each with its name: PCR0 and PCR8 where they are
    /// required, and the root of a simulated one.
    pub marks: Vec<(&'static str, String)>,
}

/// The mark that says what weakens the statement.
const ALLOWS: &str = "allows";

impl Enclave {
    /// What is allowed although it weakens the statement, if anything is.
    #[must_use]
    pub fn allows(&self) -> Option<&str> {
        let mark = self.marks.iter().find(|(what, _)| *what == ALLOWS);
        mark.map(|(_, allowed)| allowed.as_str())
    }
}

impl Section {
    /// Its name in the policy.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nitro => "nitro",
            Self::Snp | Self::SnpDebug => "snp",
            Self::Simulated => "simulated",
            Self::NitroDebug => "nitro-debug",
        }
    }

    /// The option that lets it be added, if it needs one.
    #[must_use]
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Self::Nitro | Self::Snp => None,
            Self::Simulated => Some("--allow-simulated"),
            Self::NitroDebug | Self::SnpDebug => Some("--allow-debug"),
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nitro => "AWS Nitro",
            Self::Snp => "AMD SEV-SNP",
            Self::SnpDebug => "AMD SEV-SNP WITH DEBUGGING OR MIGRATION",
            Self::Simulated => "SIMULATED",
            Self::NitroDebug => "AWS Nitro IN DEBUG MODE",
        })
    }
}

impl Unprotected {
    /// Refuses an enclave that was not asked for.
    pub(super) fn require(self, enclave: &Enclave) -> Result<(), PolicyError> {
        let asked = match enclave.section {
            Section::Nitro | Section::Snp => true,
            Section::Simulated => self.simulated,
            Section::NitroDebug | Section::SnpDebug => self.debug,
        };
        match enclave.section.flag() {
            Some(flag) if !asked => Err(PolicyError::Unprotected {
                section: enclave.section.name(),
                name: enclave.name.chars().filter(|c| !c.is_control()).take(80).collect(),
                flag,
            }),
            _ => Ok(()),
        }
    }
}

/// Each approved enclave.
#[must_use]
pub fn enclaves(of: &Measurements) -> Vec<Enclave> {
    let nitro = of.nitro_references().iter().map(|one| Enclave {
        section: Section::Nitro,
        name: one.name().to_owned(),
        marks: registers(one.pcrs()),
    });
    let snp = of.snp_references().iter().map(|one| {
        let guest = one.guest();
        let bare = [Allowance::Debug, Allowance::Migration];
        let unprotected = bare.iter().any(|allowance| guest.allow.contains(allowance));
        Enclave {
            section: if unprotected { Section::SnpDebug } else { Section::Snp },
            name: one.name().to_owned(),
            marks: guest_marks(guest),
        }
    });
    let simulated = of.simulated_references().iter().map(|one| {
        // The digest that `cloister` prints of other things, over the certificate.
        let root = Digest::of("simulated-root", &[one.root().as_der()]);
        let root = ("root", root.to_hex()[..32].to_owned());
        let marks = registers(one.pcrs()).into_iter().chain([root]).collect();
        Enclave { section: Section::Simulated, name: one.name().to_owned(), marks }
    });
    let debug = of.nitro_debug_references().iter().map(|one| Enclave {
        section: Section::NitroDebug,
        name: one.name().to_owned(),
        marks: registers(one.pcrs()),
    });
    nitro.chain(snp).chain(simulated).chain(debug).collect()
}

/// One line for each approved enclave that protects nothing from its operator.
#[must_use]
pub fn warnings(policy: &Policy) -> Vec<String> {
    let warning = |one: Enclave| match one.section {
        Section::Nitro => None,
        Section::Snp => {
            let allows = one.allows()?;
            Some(format!("WARNING: {:?} is approved although it allows {allows}", one.name))
        }
        Section::Simulated => Some(format!(
            "WARNING: {:?} is SIMULATED: no hardware protects the data, whoever runs it reads all",
            one.name
        )),
        Section::SnpDebug => Some(format!(
            "WARNING: {:?} may be debugged or migrated: nothing protects the data, its operator \
             reads all",
            one.name
        )),
        Section::NitroDebug => Some(format!(
            "WARNING: {:?} runs IN DEBUG MODE: nothing protects the data, its operator reads all",
            one.name
        )),
    };
    enclaves(&policy.enclaves).into_iter().filter_map(warning).collect()
}

/// The launch digest, where it may run, and everything that weakens the statement.
fn guest_marks(guest: &Guest) -> Vec<(&'static str, String)> {
    let products: Vec<_> = guest.products.keys().map(ToString::to_string).collect();
    let mut marks =
        vec![("measurement", guest.measurement.to_string()), ("products", products.join(", "))];
    if guest.vmpl != 0 {
        marks.push(("VMPL", guest.vmpl.to_string()));
    }
    if let Some(provider) = &guest.provider {
        marks.push(("provider", provider.clone()));
    }
    let allowances: Vec<_> = guest.allow.iter().map(ToString::to_string).collect();
    if !allowances.is_empty() {
        marks.push((ALLOWS, allowances.join(", ")));
    }
    marks
}

/// The image, and who signed it.
fn registers(pcrs: &Pcrs) -> Vec<(&'static str, String)> {
    let named = |(index, value): (&PcrIndex, &Pcr)| match index.get() {
        0 => Some(("PCR0", value.to_string())),
        8 => Some(("PCR8", value.to_string())),
        _ => None,
    };
    pcrs.iter().filter_map(named).collect()
}
