//! What one party gives another to become known.
//!
//! An enrolment is signed by the very key that it introduces, so it proves that its
//! maker holds that key and that nobody altered it on the way. Whether the key
//! belongs to who it says is settled by people, who compare its fingerprint over
//! another channel before they add it.

use cloister_protocol::{KeyId, Kind, PublicKey, Signed, limits, signed::SignedError};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::names::{PartyName, Role, ServiceAddress};

/// The version of the structure that this build reads and writes.
pub const VERSION: u32 = 1;

/// The most bytes of a certificate authority's certificate; ours have about 500.
const CERTIFICATE: usize = 4096;

/// A party as others get to know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// [`VERSION`].
    pub version: u32,
    /// What the party is.
    pub role: Role,
    /// What it calls itself.
    pub name: PartyName,
    /// The key it signs with; this enrolment is signed by it, too.
    pub key: PublicKey,
    /// The key its broker signs grants with. Owners only.
    pub broker_key: Option<PublicKey>,
    /// The population that its data are about. Owners only.
    pub population: Option<String>,
    /// Its certificate authority, X.509 in DER.
    pub tls_ca: ByteBuf,
    /// Where its service is. Owners and hosts only.
    pub address: Option<ServiceAddress>,
}

impl Kind for Enrolment {
    const KIND: &'static str = "enrolment";
}

/// Why an enrolment was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// The envelope or payload: altered, of another kind, or with a name that no party can have.
    #[error(
        "this is not a valid enrolment: {0}; ask the party to send its enrolment.cloister again"
    )]
    Signed(#[from] SignedError),
    /// Signed by a key other than the one it introduces.
    #[error(
        "this enrolment introduces key {introduced:?} but is signed by {signer:?}: do not accept it"
    )]
    Signer {
        /// The key in it.
        introduced: KeyId,
        /// The key it is signed by.
        signer: KeyId,
    },
    /// Of another version.
    #[error(
        "this enrolment has version {0}, this build reads version {VERSION}: use builds of the same age"
    )]
    Version(u32),
    /// A member that its role requires is missing, or one is there that its role excludes.
    #[error("this enrolment of an {role} is inconsistent: {why}")]
    Role {
        /// The role it claims.
        role: Role,
        /// The rule that was broken.
        why: &'static str,
    },
    /// The certificate authority is not a certificate.
    #[error("this enrolment's certificate authority cannot be read as a certificate")]
    Certificate,
}

impl Enrolment {
    /// Verifies an enrolment in all that can be known from itself.
    pub fn open(envelope: &Signed<Self>) -> Result<Self, EnrolmentError> {
        let verified = envelope.open_by_anyone()?;
        let (introduced, signer) = (verified.value.key.id(), verified.signer.id());
        if introduced != signer {
            return Err(EnrolmentError::Signer { introduced, signer });
        }
        verified.value.validate()?;
        Ok(verified.value)
    }

    fn validate(&self) -> Result<(), EnrolmentError> {
        if self.version != VERSION {
            return Err(EnrolmentError::Version(self.version));
        }
        let refuse = |why| Err(EnrolmentError::Role { role: self.role, why });
        let owner = self.role == Role::Owner;
        if owner != self.broker_key.is_some() {
            return refuse("an owner has a broker key, and nobody else");
        }
        if owner != self.population.is_some() {
            return refuse("an owner names its population, and nobody else");
        }
        if self.role.has_service() != self.address.is_some() {
            return refuse("owners and hosts have an address, and nobody else");
        }
        if self.broker_key == Some(self.key) {
            return refuse("the broker's key is the owner's own");
        }
        if self.population.as_ref().is_some_and(|text| !is_population(text)) {
            return refuse("a population's name has 1 to 128 bytes without control characters");
        }
        self.authority_key().map(drop)
    }

    /// The public key of the certificate authority, with its algorithm, as TLS reads it
    /// (`SubjectPublicKeyInfo`). It is what an authority is: of its certificate nobody
    /// checks the signature, so anybody can make another one with the same key.
    pub(crate) fn authority_key(&self) -> Result<Vec<u8>, EnrolmentError> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from(self.tls_ca.as_slice());
        if self.tls_ca.len() > CERTIFICATE || roots.add(certificate).is_err() {
            return Err(EnrolmentError::Certificate);
        }
        let root = roots.roots.first().ok_or(EnrolmentError::Certificate)?;
        Ok(root.subject_public_key_info.to_vec())
    }
}

/// Whether `text` can name a population.
pub(crate) fn is_population(text: &str) -> bool {
    (1..=limits::NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}
