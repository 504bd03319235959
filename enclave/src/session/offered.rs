//! First state: a job that was admitted, and no keys yet.

use cloister_protocol::{
    SigningKey,
    hpke::{self, HpkeKeyPair},
    transcript::Transcript,
};

use super::Attested;
use crate::{
    admission::Admitted,
    attester::Attester,
    refusal::{Code, Refused},
};

/// An admitted job.
pub struct Offered(Admitted);

impl Offered {
    /// Begins a session for a job that passed every check.
    #[must_use]
    pub fn new(admitted: Admitted) -> Self {
        Self(admitted)
    }

    /// Makes fresh keys, writes the transcript, and has the platform vouch for it.
    ///
    /// # Errors
    ///
    /// [`Code::EvidenceFailed`] if the platform does not answer, [`Code::Internal`] if the
    /// system has no random numbers.
    pub fn attest(self, attester: &dyn Attester) -> Result<Attested, Refused> {
        let admitted = self.0;
        let hpke = HpkeKeyPair::generate();
        // Its PKCS#8 form is not kept: the key lives as long as the session.
        let (signing, _) = SigningKey::generate().map_err(Refused::with(Code::Internal))?;
        let vetted = &admitted.vetted;
        let transcript = Transcript {
            version: 1,
            role: vetted.job.value.role,
            suite: hpke::SUITE.into(),
            nonces: vetted.offer.nonces.clone(),
            hpke_key: hpke.public().to_vec().into(),
            signing_key: *signing.public(),
            job: vetted.job.id,
            code: vetted.code.id,
            datasets: vetted.manifests.iter().map(|manifest| manifest.id).collect(),
            policies: vetted.offer.policies.clone(),
        };
        let id = transcript.id();
        let evidence = attester.evidence(id.digest().as_bytes());
        let evidence = evidence.map_err(Refused::with(Code::EvidenceFailed))?;
        Ok(Attested { admitted, id, transcript: transcript.to_bytes(), evidence, hpke, signing })
    }
}
