//! Second state: evidence is out, grants are awaited.

use std::sync::Arc;

use cloister_protocol::{
    Signed, SigningKey,
    dataset::DataKey,
    grant::{Grant, GrantError, GrantExpectation, SealedGrant, one_reservation},
    hpke::HpkeKeyPair,
    transcript::TranscriptId,
};

use super::Granted;
use crate::{
    admission::Admitted,
    refusal::{Code, Refused},
};

/// A session whose transcript is attested.
pub struct Attested {
    pub(super) admitted: Admitted,
    pub(super) id: TranscriptId,
    pub(super) transcript: Vec<u8>,
    pub(super) evidence: Vec<u8>,
    pub(super) hpke: HpkeKeyPair,
    pub(super) signing: SigningKey,
}

impl Attested {
    /// The transcript.
    #[must_use]
    pub fn id(&self) -> TranscriptId {
        self.id
    }

    /// The transcript's bytes.
    #[must_use]
    pub fn transcript(&self) -> &[u8] {
        &self.transcript
    }

    /// The evidence that binds it.
    #[must_use]
    pub fn evidence(&self) -> &[u8] {
        &self.evidence
    }

    /// Opens one grant for each dataset, in the job's order. All are checked before any
    /// is used, and the key that they are sealed to is erased when they are open.
    ///
    /// # Errors
    ///
    /// The session as it was, for better grants, and the [`Refused`] of the first bad one.
    pub fn grant(self, grants: &[SealedGrant]) -> Result<Granted, (Box<Self>, Refused)> {
        match self.open(grants) {
            Ok((keys, grants)) => Ok(Granted::new(self, keys, grants)),
            Err(refused) => Err((Box::new(self), refused)),
        }
    }

    #[expect(clippy::type_complexity, reason = "two lists with the same places")]
    fn open(
        &self,
        grants: &[SealedGrant],
    ) -> Result<(Vec<Arc<DataKey>>, Vec<Signed<Grant>>), Refused> {
        let vetted = &self.admitted.vetted;
        let (expected, found) = (vetted.manifests.len(), grants.len());
        if expected != found {
            let why = format!("{found} grants for {expected} datasets: one for each is needed");
            return Err(Refused::new(Code::GrantCount, why));
        }
        let (mut keys, mut opened) = (Vec::with_capacity(expected), Vec::with_capacity(expected));
        for (index, grant) in grants.iter().enumerate() {
            let expectation = GrantExpectation {
                transcript: self.id,
                dataset: vetted.manifests[index].id,
                policy: vetted.offer.policies[index],
                charges: vetted.job.value.charges(),
                broker: vetted.offer.datasets[index].header.broker,
            };
            let (grant, key) = grant.open(&expectation, &self.hpke).map_err(refused)?;
            keys.push(Arc::new(key));
            opened.push(grant);
        }
        for tables in vetted.job.value.populations() {
            one_reservation(&opened[tables]).map_err(refused)?;
        }
        Ok((keys, grants.iter().map(|sealed| sealed.grant.clone()).collect()))
    }
}

fn refused(error: GrantError) -> Refused {
    let code = match error {
        GrantError::Signed(_) => Code::GrantSignature,
        GrantError::Transcript { .. } => Code::GrantTranscript,
        GrantError::Dataset { .. } => Code::GrantDataset,
        GrantError::Policy => Code::GrantPolicy,
        GrantError::Cost { .. } => Code::GrantCost,
        GrantError::Apart { .. } => Code::GrantApart,
        _ => Code::GrantKey,
    };
    Refused::new(code, error)
}
