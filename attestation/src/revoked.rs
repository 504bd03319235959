//! What was approved once and is not any more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::verdict::{Claims, Outcome, Rule, Verdict};
use crate::{Hex, nitro, snp};

/// The rule that nothing revoked is relied on.
pub(crate) const REVOKED: Rule = Rule {
    name: "revoked",
    rule: "Neither what runs, nor who signed it, nor the chip is on the policy's list of revocations.",
    remedy: "Run an image and a chip that are not revoked. Take an entry off the list only if you know why it is there.",
};

/// Digests and chips that are refused whatever approves them: an image with a known hole, a
/// key that was lost, a chip that was opened.
///
/// ```toml
/// [revoked]
/// images = ["..."]     # PCR0 of Nitro, launch digests of SEV-SNP: 96 hexadecimal digits
/// signers = ["..."]    # PCR8 of Nitro, identity and author keys of SEV-SNP: 96 digits
/// chips = ["..."]      # chip ids of SEV-SNP: 128 digits
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// PCR0 of Nitro, launch digests of SEV-SNP.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub images: BTreeSet<Hex<48>>,
    /// PCR8 of Nitro, digests of identity and author keys of SEV-SNP.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signers: BTreeSet<Hex<48>>,
    /// Chip ids of SEV-SNP.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub chips: BTreeSet<Hex<64>>,
}

impl Revoked {
    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { images, signers, chips } = self;
        images.is_empty() && signers.is_empty() && chips.is_empty()
    }

    /// Revokes what `other` revokes as well.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self { images, signers, chips } = other;
        self.images.extend(images);
        self.signers.extend(signers);
        self.chips.extend(chips);
    }

    /// Holds a verdict's claims against the lists, if there are any.
    pub(crate) fn apply(&self, verdict: Verdict) -> Verdict {
        if self.is_empty() {
            return verdict;
        }
        let found = match verdict.claims() {
            Some(Claims::Nitro(claims)) => self.nitro(claims),
            Some(Claims::SevSnp(claims)) => self.snp(claims),
            // Nothing is said that could be relied on; instances are never approved here.
            Some(Claims::NitroTpm(_)) | None => return verdict,
        };
        let expected = "nothing that is revoked";
        if let Some(found) = found {
            return verdict.with(&REVOKED, Outcome::Failed, expected, &found);
        }
        let vlek = matches!(
            verdict.claims(),
            Some(Claims::SevSnp(claims)) if claims.certified_chip().is_none()
        );
        if vlek && !self.chips.is_empty() {
            let found = "a VLEK, which says nothing about the chip";
            return verdict.with(&REVOKED, Outcome::Failed, expected, found);
        }
        verdict.with(&REVOKED, Outcome::Passed, expected, expected)
    }

    fn nitro(&self, claims: &nitro::Claims) -> Option<String> {
        let is = |index: u8, list: &BTreeSet<Hex<48>>| {
            let (_, value) = claims.pcrs.iter().find(|(one, _)| one.get() == index)?;
            let value = Hex(value.as_bytes().try_into().ok()?);
            list.contains(&value).then(|| format!("PCR{index} {value}"))
        };
        is(0, &self.images).or_else(|| is(8, &self.signers))
    }

    fn snp(&self, claims: &snp::Claims) -> Option<String> {
        let digest = |what: &str, value: Hex<48>, list: &BTreeSet<Hex<48>>| {
            // Zero is no key at all.
            (list.contains(&value) && !value.is_zero()).then(|| format!("{what} {value}"))
        };
        digest("measurement", claims.measurement, &self.images)
            .or_else(|| digest("identity key", claims.id_key_digest, &self.signers))
            .or_else(|| digest("author key", claims.author_key_digest, &self.signers))
            .or_else(|| {
                let chip = claims.certified_chip()?;
                self.chips.contains(&chip).then(|| format!("chip {chip}"))
            })
    }
}
