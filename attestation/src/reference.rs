//! `measurements.toml`: what an operator hands an owner, and what an owner's policy embeds.

use serde::{Deserialize, Serialize};

use crate::nitro::{
    self, DebugReference, Expectations, Pcrs, Reference, ReferenceError, ReferenceValues, Roots,
};
use crate::verdict::Checks;
use crate::{Binding, Clock, Freshness, Platform, Revoked, RootCertificate, Rule, Verdict, snp};

/// What is checked before anything else can be.
const PLATFORM_APPROVED: Rule = Rule {
    name: "platform.approved",
    rule: "The measurements approve an enclave of the platform that the evidence is of.",
    remedy: "Run on an approved platform, or approve an enclave of this one: add its section.",
};

/// The enclaves that are approved, by platform.
///
/// ```toml
/// [[nitro]]                    # an enclave on AWS Nitro
/// name = "cloister-enclave 0.1.0"
/// [nitro.pcrs]
/// 0 = "..."                    # 96 hexadecimal digits; PCR0 or PCR8 must be there
///
/// [[snp]]                      # a guest on AMD SEV-SNP: see `snp::Reference`
/// name = "cloister-enclave 0.1.0"
/// measurement = "..."
/// [snp.products.genoa]
/// reported = { bootloader = 10, tee = 0, snp = 23, microcode = 84 }
///
/// [[simulated]]                # no hardware, and every verdict says so
/// name = "cloister-enclave 0.1.0, simulated"
/// root = "-----BEGIN CERTIFICATE-----..."
/// [simulated.pcrs]
/// 0 = "..."
///
/// [[nitro-debug]]              # an enclave in debug mode: anything could run there
/// name = "staging"
/// pcrs = {}
///
/// [revoked]                    # what is refused whatever approves it: see `Revoked`
/// images = ["..."]
/// ```
///
/// A platform without a section is denied. Values of this type always approve something.
/// Fields are in hexadecimal and PEM in human-readable formats and byte strings in others,
/// so that it can be part of a larger structure in TOML as in CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Sections", into = "Sections")]
pub struct Measurements {
    sections: Sections,
}

/// The sections as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sections {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nitro: Vec<Reference>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    snp: Vec<snp::Reference>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    simulated: Vec<SimulatedReference>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nitro_debug: Vec<DebugReference>,
    #[serde(default, skip_serializing_if = "Revoked::is_empty")]
    revoked: Revoked,
}

/// A simulated enclave: its vendor's root, and registers that must all have these values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Section", into = "Section")]
pub struct SimulatedReference {
    root: RootCertificate,
    reference: Reference,
}

/// Why a file of measurements cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasurementsError {
    /// Not the format described at [`Measurements`].
    #[error("[measurements-format] the measurements cannot be read: {0}")]
    Format(#[from] toml::de::Error),
    /// No section at all.
    #[error(
        "[measurements-empty] the measurements approve no enclave: add a [[nitro]], an [[snp]] or a [[simulated]] section"
    )]
    Empty,
}

impl Measurements {
    /// Reads `measurements.toml`.
    ///
    /// # Errors
    ///
    /// [`MeasurementsError`], with the line.
    pub fn from_toml(text: &str) -> Result<Self, MeasurementsError> {
        Ok(toml::from_str(text)?)
    }

    /// Writes `measurements.toml`.
    ///
    /// # Panics
    ///
    /// Never: every value of this type can be written.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("measurements can be written as TOML")
    }

    /// Approves one enclave on AWS Nitro.
    #[must_use]
    pub fn nitro(reference: Reference) -> Self {
        let nitro = vec![reference];
        Self { sections: Sections { nitro, ..Sections::default() } }
    }

    /// Approves one guest on AMD SEV-SNP.
    #[must_use]
    pub fn snp(reference: snp::Reference) -> Self {
        let snp = vec![reference];
        Self { sections: Sections { snp, ..Sections::default() } }
    }

    /// Approves one simulated enclave.
    #[must_use]
    pub fn simulated(reference: SimulatedReference) -> Self {
        let simulated = vec![reference];
        Self { sections: Sections { simulated, ..Sections::default() } }
    }

    /// Accepts Nitro enclaves in debug mode.
    #[must_use]
    pub fn nitro_debug(reference: DebugReference) -> Self {
        let nitro_debug = vec![reference];
        Self { sections: Sections { nitro_debug, ..Sections::default() } }
    }

    /// Approves what `other` approves as well. What is there already is not added again.
    pub fn merge(&mut self, other: Self) {
        let Sections { nitro, snp, simulated, nitro_debug, revoked } = other.sections;
        merge(&mut self.sections.nitro, nitro);
        merge(&mut self.sections.snp, snp);
        merge(&mut self.sections.simulated, simulated);
        merge(&mut self.sections.nitro_debug, nitro_debug);
        self.sections.revoked.merge(revoked);
    }

    /// The approved enclaves on AWS Nitro.
    #[must_use]
    pub fn nitro_references(&self) -> &[Reference] {
        &self.sections.nitro
    }

    /// The approved guests on AMD SEV-SNP.
    #[must_use]
    pub fn snp_references(&self) -> &[snp::Reference] {
        &self.sections.snp
    }

    /// The approved simulated enclaves.
    #[must_use]
    pub fn simulated_references(&self) -> &[SimulatedReference] {
        &self.sections.simulated
    }

    /// What is refused whatever approves it.
    #[must_use]
    pub fn revoked(&self) -> &Revoked {
        &self.sections.revoked
    }

    /// The accepted Nitro enclaves in debug mode.
    #[must_use]
    pub fn nitro_debug_references(&self) -> &[DebugReference] {
        &self.sections.nitro_debug
    }

    /// Verifies `evidence` of whichever platform it is.
    ///
    /// The root that the evidence carries chooses among the sections, and nothing more: the
    /// evidence is then verified under that section's root and against its registers alone.
    /// If no section has its root, the verdict says so. A report of SEV-SNP comes with its
    /// certificate table; what else there is of certificates and revocation lists is for
    /// [`appraise_with`](Self::appraise_with).
    pub fn appraise(
        &self,
        evidence: &[u8],
        clock: Clock,
        freshness: Freshness,
        binding: Binding,
    ) -> Verdict {
        self.appraise_with(evidence, &snp::Collateral::new(), clock, freshness, binding)
    }

    /// The same, with collateral for reports of SEV-SNP.
    pub fn appraise_with(
        &self,
        evidence: &[u8],
        collateral: &snp::Collateral,
        clock: Clock,
        freshness: Freshness,
        binding: Binding,
    ) -> Verdict {
        let parts = self.parts();
        let claimed = nitro::claimed_root(evidence);
        if claimed.is_some() && parts.is_empty() {
            return self.not_approved(Platform::Nitro);
        }
        // What is neither is judged as what is approved.
        if snp::is_report(evidence) || parts.is_empty() {
            let mut references = self.sections.snp.iter().cloned();
            let Some(first) = references.next() else {
                return self.not_approved(Platform::SevSnp);
            };
            let expectations = snp::Expectations {
                roots: snp::Roots::amd(),
                collateral: collateral.clone(),
                now: clock.now,
                freshness,
                binding,
                reference: references
                    .fold(snp::ReferenceValues::new(first), snp::ReferenceValues::or),
            };
            return self.sections.revoked.apply(snp::verify(evidence, &expectations));
        }
        let (roots, reference) = parts
            .iter()
            .find(|(roots, _)| claimed.as_ref() == Some(roots.sha256()))
            .unwrap_or(&parts[0])
            .clone();
        let expectations = Expectations { roots, clock, freshness, binding, reference };
        self.sections.revoked.apply(nitro::verify(evidence, &expectations))
    }

    /// The verdict on evidence of a platform that no section is about.
    fn not_approved(&self, platform: Platform) -> Verdict {
        let names: Vec<_> = self.platforms().iter().map(ToString::to_string).collect();
        let mut checks = Checks::default();
        checks.judge(&PLATFORM_APPROVED, false, names.join(" or "), platform.to_string());
        Verdict::new(platform, checks, None)
    }

    /// Roots and reference values for [`Expectations`], one pair for each root of documents of
    /// the Nitro shape.
    #[must_use]
    fn parts(&self) -> Vec<(Roots, ReferenceValues)> {
        let Sections { nitro, snp: _, simulated, nitro_debug, revoked: _ } = &self.sections;
        let mut parts: Vec<(Roots, ReferenceValues)> = Vec::new();
        for reference in nitro.iter().cloned() {
            add(
                &mut parts,
                Roots::aws(),
                reference,
                ReferenceValues::production,
                ReferenceValues::or,
            );
        }
        for reference in nitro_debug.iter().cloned() {
            add(
                &mut parts,
                Roots::aws(),
                reference,
                ReferenceValues::debug_only,
                ReferenceValues::or_debug,
            );
        }
        for SimulatedReference { root, reference } in simulated.iter().cloned() {
            add(
                &mut parts,
                root.roots(),
                reference,
                ReferenceValues::production,
                ReferenceValues::or,
            );
        }
        parts
    }

    /// The platforms that are approved, each once.
    #[must_use]
    pub fn platforms(&self) -> Vec<Platform> {
        let mut platforms: Vec<_> =
            self.parts().iter().map(|(roots, _)| roots.platform()).collect();
        platforms.dedup();
        if !self.sections.snp.is_empty() {
            platforms.push(Platform::SevSnp);
        }
        platforms
    }
}

/// Adds a reference value to those of its root.
fn add<T>(
    parts: &mut Vec<(Roots, ReferenceValues)>,
    roots: Roots,
    reference: T,
    first: impl Fn(T) -> ReferenceValues,
    further: impl Fn(ReferenceValues, T) -> ReferenceValues,
) {
    match parts.iter_mut().find(|(other, _)| *other == roots) {
        Some((_, values)) => *values = further(values.clone(), reference),
        None => parts.push((roots, first(reference))),
    }
}

fn merge<T: PartialEq>(ours: &mut Vec<T>, theirs: Vec<T>) {
    for reference in theirs {
        if !ours.contains(&reference) {
            ours.push(reference);
        }
    }
}

impl TryFrom<Sections> for Measurements {
    type Error = MeasurementsError;

    fn try_from(sections: Sections) -> Result<Self, MeasurementsError> {
        let approved = Sections { revoked: Revoked::default(), ..sections.clone() };
        if approved == Sections::default() {
            return Err(MeasurementsError::Empty);
        }
        Ok(Self { sections })
    }
}

impl From<Measurements> for Sections {
    fn from(measurements: Measurements) -> Self {
        measurements.sections
    }
}

impl SimulatedReference {
    /// Approves what measures to `pcrs` under the root of a simulated vendor.
    ///
    /// # Errors
    ///
    /// Those of [`Reference::new`].
    pub fn new(
        name: impl Into<String>,
        root: RootCertificate,
        pcrs: Pcrs,
    ) -> Result<Self, ReferenceError> {
        Ok(Self { root, reference: Reference::new(name, pcrs)? })
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.reference.name()
    }

    /// The vendor's root.
    #[must_use]
    pub fn root(&self) -> &RootCertificate {
        &self.root
    }

    /// The registers that must match.
    #[must_use]
    pub fn pcrs(&self) -> &Pcrs {
        self.reference.pcrs()
    }
}

/// A simulated section as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    name: String,
    root: RootCertificate,
    pcrs: Pcrs,
}

impl TryFrom<Section> for SimulatedReference {
    type Error = ReferenceError;

    fn try_from(Section { name, root, pcrs }: Section) -> Result<Self, ReferenceError> {
        Self::new(name, root, pcrs)
    }
}

impl From<SimulatedReference> for Section {
    fn from(SimulatedReference { root, reference }: SimulatedReference) -> Self {
        Self { name: reference.name().to_owned(), root, pcrs: reference.pcrs().clone() }
    }
}
