//! Verdicts as attestation results: EAR claims with an AR4SI trustworthiness vector, as a CWT
//! in a `COSE_Sign1`.
//!
//! RFC 9334 calls what a verifier hands to a relying party an attestation result. The claims
//! are those of draft-ietf-rats-ear, the vector and its values those of draft-ietf-rats-ar4si,
//! numbered as in CBOR (RFC 8392, RFC 9711). The envelope is RFC 9052's, signed with ES384.
//!
//! A verdict says more than a vector can: each check by name. A relying party that has the
//! evidence verifies it itself; this is for those who rely on a verifier.

use ciborium::Value;
use coset::iana::CwtClaimName;
use ring::rand::SecureRandom;
use ring::signature::EcdsaKeyPair;
use rustls_pki_types::UnixTime;
use serde::Serialize;

use crate::sign1::{self, Envelope};
use crate::verdict::{Check, Claims, Outcome, Platform, Verdict};

/// Which claims these are.
const PROFILE: &str = "tag:github.com,2023:veraison/ear";
const NONCE: i64 = 10;
const EAT_PROFILE: i64 = 265;
const SUBMODS: i64 = 266;
const STATUS: i64 = 1000;
const VECTOR: i64 = 1001;
const POLICY: i64 = 1003;
const VERIFIER: i64 = 1004;
const ISSUED_AT: i64 = CwtClaimName::Iat as i64;

/// A result is at most this long.
const LIMIT: usize = 4096;

/// What a verifier says of one attester.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttestationResult {
    /// When the verifier said so, in seconds since 1970.
    pub issued_at: u64,
    /// Who develops the verifier.
    pub developer: String,
    /// Which build of it.
    pub build: String,
    /// What the attester is, for people: the platform.
    pub attester: String,
    /// What the evidence vouches for, if that is of 8 to 64 bytes: so that a result cannot be
    /// handed on as another attester's.
    pub nonce: Option<Vec<u8>>,
    /// By which policy.
    pub policy: String,
    /// The worst of the vector.
    pub status: Tier,
    /// Aspect by aspect.
    pub vector: Vector,
}

/// AR4SI's trust tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Nothing is said.
    None,
    /// As it should be.
    Affirming,
    /// With known weaknesses.
    Warning,
    /// Not to be relied on.
    Contraindicated,
}

/// AR4SI's trustworthiness claims, of those aspects that evidence of these platforms is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vector {
    /// Whether the attester is known: chain, signature, chip, freshness and binding.
    pub instance_identity: i8,
    /// How it was started: debugging, guest policy.
    pub configuration: i8,
    /// What was loaded at its start.
    pub executables: i8,
    /// The processor and its firmware.
    pub hardware: i8,
    /// Who can look into its memory.
    pub runtime_opaque: i8,
}

/// Why bytes are no attestation result of this verifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EarError {
    /// Not a `COSE_Sign1` of a size that results have.
    #[error("[ear-format] not an attestation result: {0}")]
    Format(&'static str),
    /// Not signed by this verifier.
    #[error(
        "[ear-signature] the attestation result is not signed by this verifier: check whose key you have"
    )]
    Signature,
    /// The key cannot sign.
    #[error("[ear-key] the key could not sign the attestation result")]
    Key,
}

impl AttestationResult {
    /// The result of a verdict that was reached at `now` by the policy of that name.
    #[must_use]
    pub fn of(verdict: &Verdict, now: UnixTime, policy: &str) -> Self {
        let vector = Vector::of(verdict);
        let worst = vector.values().into_iter().map(|(_, value)| tier(value)).max();
        let denied = match (verdict.accepted(), vector.instance_identity) {
            (false, _) => Tier::Contraindicated,
            (true, 0) => Tier::Warning,
            (true, _) => Tier::None,
        };
        Self {
            issued_at: now.as_secs(),
            developer: "Cloister".to_owned(),
            build: concat!("cloister-attestation ", env!("CARGO_PKG_VERSION")).to_owned(),
            attester: verdict.platform().to_string(),
            nonce: vouched_for(verdict),
            policy: policy.to_owned(),
            status: worst.unwrap_or(Tier::None).max(denied),
            vector,
        }
    }

    /// Signs the result as a CWT with the verifier's key, which is on P-384.
    ///
    /// # Errors
    ///
    /// [`EarError::Key`] if the key does not sign.
    pub fn sign(&self, key: &EcdsaKeyPair, random: &dyn SecureRandom) -> Result<Vec<u8>, EarError> {
        self.sign_with(|bytes| Some(key.sign(random, bytes).ok()?.as_ref().to_vec()))
    }

    /// The same, with a key that somebody else holds: `sign` gives r and s of ES384.
    ///
    /// # Errors
    ///
    /// [`EarError::Key`] if it gives none.
    pub fn sign_with(
        &self,
        sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Vec<u8>, EarError> {
        sign1::sign(self.to_cwt(), None, sign).ok_or(EarError::Key)
    }

    /// Opens a result that the verifier with this public key (an uncompressed point) signed.
    ///
    /// # Errors
    ///
    /// [`EarError`]
    pub fn open(bytes: &[u8], public_key: &[u8]) -> Result<Self, EarError> {
        let (envelope, result) = Self::parse(bytes)?;
        if envelope.is_signed_by(public_key) { Ok(result) } else { Err(EarError::Signature) }
    }

    /// What a result says, unverified: not to be relied on, only to be shown.
    ///
    /// # Errors
    ///
    /// [`EarError::Format`]
    pub fn unverified(bytes: &[u8]) -> Result<Self, EarError> {
        Ok(Self::parse(bytes)?.1)
    }

    fn parse(bytes: &[u8]) -> Result<(Envelope, Self), EarError> {
        let envelope = Envelope::read(bytes, LIMIT, None).map_err(EarError::Format)?;
        let result = Self::from_cwt(envelope.payload())
            .ok_or(EarError::Format("claims other than those of a result"))?;
        Ok((envelope, result))
    }

    fn to_cwt(&self) -> Vec<u8> {
        let map = |entries: Vec<(Value, Value)>| Value::Map(entries);
        let vector = self.vector.values().into_iter();
        let vector = vector.map(|(key, value)| (key.into(), value.into())).collect();
        let appraisal = vec![
            (STATUS.into(), self.status.number().into()),
            (VECTOR.into(), map(vector)),
            (POLICY.into(), self.policy.as_str().into()),
        ];
        let verifier = vec![
            (0.into(), self.developer.as_str().into()),
            (1.into(), self.build.as_str().into()),
        ];
        let nonce = self.nonce.iter().map(|nonce| (NONCE.into(), Value::Bytes(nonce.clone())));
        let mut entries = vec![(ISSUED_AT.into(), self.issued_at.into())];
        entries.extend(nonce);
        entries.extend([
            (EAT_PROFILE.into(), PROFILE.into()),
            (SUBMODS.into(), map(vec![(self.attester.as_str().into(), map(appraisal))])),
            (VERIFIER.into(), map(verifier)),
        ]);
        let mut cwt = Vec::new();
        ciborium::into_writer(&map(entries), &mut cwt).expect("a value is written into memory");
        cwt
    }

    fn from_cwt(cwt: &[u8]) -> Option<Self> {
        let mut rest = cwt;
        let claims: Value = ciborium::from_reader(&mut rest).ok()?;
        if !rest.is_empty() || get(&claims, EAT_PROFILE)?.as_text()? != PROFILE {
            return None;
        }
        let text = |value: &Value| Some(value.as_text()?.to_owned());
        let verifier = get(&claims, VERIFIER)?;
        let [(attester, appraisal)] = &get(&claims, SUBMODS)?.as_map()?[..] else { return None };
        let vector = get(appraisal, VECTOR)?;
        let aspect = |key: i64| match get(vector, key) {
            Some(value) => i8::try_from(value.as_integer()?).ok(),
            None => Some(0),
        };
        Some(Self {
            issued_at: get(&claims, ISSUED_AT)?.as_integer()?.try_into().ok()?,
            developer: text(get(verifier, 0)?)?,
            build: text(get(verifier, 1)?)?,
            attester: text(attester)?,
            nonce: match claims
                .as_map()?
                .iter()
                .filter(|(key, _)| *key == Value::from(NONCE))
                .count()
            {
                0 => None,
                _ => Some(get(&claims, NONCE)?.as_bytes()?.clone()),
            },
            policy: text(get(appraisal, POLICY)?)?,
            status: Tier::of_number(get(appraisal, STATUS)?.as_integer()?.try_into().ok()?)?,
            vector: Vector {
                instance_identity: aspect(0)?,
                configuration: aspect(1)?,
                executables: aspect(2)?,
                hardware: aspect(4)?,
                runtime_opaque: aspect(5)?,
            },
        })
    }
}

/// The binding, which in Cloister covers the nonces of all owners.
fn vouched_for(verdict: &Verdict) -> Option<Vec<u8>> {
    let bytes = match verdict.claims()? {
        Claims::Nitro(claims) => claims.user_data.bytes()?,
        Claims::NitroTpm(claims) => claims.user_data.bytes()?,
        Claims::SevSnp(claims) => &claims.report_data.0[..],
    };
    (8..=64).contains(&bytes.len()).then(|| bytes.to_vec())
}

/// The value of a claim.
fn get(map: &Value, key: i64) -> Option<&Value> {
    let mut found = map.as_map()?.iter().filter(|(name, _)| *name == Value::from(key));
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}

impl Tier {
    fn number(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    fn of_number(number: i64) -> Option<Self> {
        let tiers = [Self::None, Self::Affirming, Self::Warning, Self::Contraindicated];
        tiers.into_iter().find(|tier| tier.number() == number)
    }
}

/// The tier that a claim of AR4SI's is in.
fn tier(value: i8) -> Tier {
    match value {
        2..=31 => Tier::Affirming,
        32..=95 => Tier::Warning,
        96.. => Tier::Contraindicated,
        _ => Tier::None,
    }
}

/// The values of one aspect: if all is well, if a rule was opted out of, if one failed.
struct Aspect {
    rules: &'static [&'static str],
    well: i8,
    opted_out: i8,
    failed: i8,
}

const CONFIGURATION: Aspect = Aspect {
    rules: &["debug", "policy.", "vmpl", "host-data"],
    well: 2,
    opted_out: 32,
    failed: 96,
};
const EXECUTABLES: Aspect = Aspect {
    rules: &["pcrs.", "measurement", "id-key", "author-key", "identity"],
    well: 3,
    opted_out: 33,
    failed: 33,
};
const HARDWARE: Aspect = Aspect {
    rules: &["product", "tcb.", "firmware", "mitigations", "platform.", "chip.allowed", "provider"],
    well: 2,
    opted_out: 32,
    failed: 96,
};

impl Vector {
    fn of(verdict: &Verdict) -> Self {
        let checks = verdict.checks();
        // Without verified claims nothing is known but that: every other aspect stays empty.
        if verdict.claims().is_none() {
            return Self { instance_identity: 99, ..Self::default() };
        }
        let aspects = [CONFIGURATION, EXECUTABLES, HARDWARE];
        let elsewhere = |check: &&Check| !aspects.iter().any(|aspect| aspect.has(check));
        let identity: Vec<_> = checks.iter().filter(elsewhere).collect();
        let any = |outcome| identity.iter().any(|check| check.outcome == outcome);
        let failed = any(Outcome::Failed);
        let replayed = identity.iter().any(|check| {
            matches!(check.name, "nonce" | "chip") && check.outcome == Outcome::OptedOut
        });
        let simulated = verdict.platform() == Platform::Simulated;
        let debug = checks.iter().any(|check| {
            matches!(check.name, "debug" | "policy.debug") && check.outcome != Outcome::Passed
        });
        Self {
            instance_identity: match (failed, replayed) {
                (true, _) => 97,
                // Somebody's, at some time: of AR4SI's values only that nothing is claimed fits.
                (false, true) => 0,
                (false, false) => 2,
            },
            configuration: CONFIGURATION.value(checks),
            executables: EXECUTABLES.value(checks),
            hardware: if simulated { 97 } else { HARDWARE.value(checks) },
            runtime_opaque: match verdict.platform() {
                _ if debug || simulated => 96,
                Platform::SevSnp => 2,
                Platform::Nitro | Platform::Simulated => 32,
                // Whoever can log into an instance sees its memory, and no evidence says who.
                Platform::NitroTpm => 0,
            },
        }
    }

    /// By AR4SI's keys.
    fn values(self) -> [(i64, i8); 5] {
        [
            (0, self.instance_identity),
            (1, self.configuration),
            (2, self.executables),
            (4, self.hardware),
            (5, self.runtime_opaque),
        ]
    }
}

impl Aspect {
    fn has(&self, check: &Check) -> bool {
        self.rules.iter().any(|rule| check.name.starts_with(rule))
    }

    fn value(&self, checks: &[Check]) -> i8 {
        let mut value = self.well;
        for check in checks.iter().filter(|check| self.has(check)) {
            match check.outcome {
                Outcome::Passed => {}
                Outcome::OptedOut => value = value.max(self.opted_out),
                Outcome::Failed => value = value.max(self.failed),
            }
        }
        value
    }
}
