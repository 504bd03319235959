//! A broker's permission to use one dataset in one transcript.
//!
//! The [`Grant`] is public and travels into every release. The data key is in a
//! second object, [`GrantedKey`], signed by the broker as well and sealed by HPKE to
//! the key in the transcript.

use cloister_privacy::{Accounting, JobCost, Order, Zcdp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    dataset::{DataKey, DatasetManifest},
    digest::{Digest, Id},
    hpke::{HpkeError, HpkeKeyPair, Sealed},
    keys::{KeyError, KeyId, SigningKey},
    signed::{Kind, Signed, SignedError, Verified},
    transcript::TranscriptId,
};

/// What the broker granted, without the key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Chosen at random by the broker.
    pub grant: ByteArray<16>,
    /// The only transcript it is good for.
    pub transcript: TranscriptId,
    /// The dataset.
    pub dataset: Id<DatasetManifest>,
    /// The policy that allowed it.
    pub policy: Digest,
    /// The budget that was reserved for the dataset's population, in pico-rho. Of a
    /// population with several tables each grant says the same, and it is reserved once.
    pub cost: u64,
    /// The order at which the broker's ledger counts, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Head of the broker's log, the reservation included. Of a population with several
    /// tables each grant names the one reservation for them all.
    pub ledger_head: Digest,
}

impl Kind for Grant {
    const KIND: &'static str = "grant";
}

/// The secret half: the data key, tied to its grant.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedKey {
    grant: Id<Grant>,
    key: ByteArray<32>,
}

impl Kind for GrantedKey {
    const KIND: &'static str = "granted-key";
}

impl Drop for GrantedKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key[..]);
    }
}

/// What the broker sends: the grant, and the key that only one enclave can open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedGrant {
    /// The public half.
    pub grant: Signed<Grant>,
    /// The sealed [`GrantedKey`].
    pub sealed: Sealed,
}

/// Why a grant was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GrantError {
    /// A signature or shape is wrong.
    #[error("{0}")]
    Signed(#[from] SignedError),
    /// The broker could not sign.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// Sealed to another enclave or transcript, or altered.
    #[error("the grant's key cannot be opened: {0}")]
    Hpke(#[from] HpkeError),
    /// For another transcript.
    #[error("the grant is for transcript {found:?}, not for {expected:?}: it was replayed")]
    Transcript {
        /// This enclave's transcript.
        expected: TranscriptId,
        /// The grant's.
        found: TranscriptId,
    },
    /// For another dataset.
    #[error("the grant is for dataset {found:?}, where {expected:?} is expected")]
    Dataset {
        /// The dataset in this place.
        expected: Id<DatasetManifest>,
        /// The grant's.
        found: Id<DatasetManifest>,
    },
    /// Under another policy than the transcript says.
    #[error("the grant was made under another policy than the transcript names")]
    Policy,
    /// Charged something other than the job's cost.
    #[error("the grant reserves {found} pico-rho, the job costs {expected} in that account")]
    Cost {
        /// The job's cost, as the ledger counts.
        expected: u64,
        /// The grant's.
        found: u64,
    },
    /// Two reservations for one population.
    #[error(
        "the grants of one population's tables name two entries of its broker's log, \
         {expected:?} and {found:?}: one reservation is for all of them"
    )]
    Apart {
        /// The entry that the first names.
        expected: Digest,
        /// The entry that another names.
        found: Digest,
    },
    /// The sealed key belongs to another grant.
    #[error("the sealed key belongs to another grant")]
    OtherGrant,
}

/// What a grant has to say to be good in one place of one transcript.
pub struct GrantExpectation {
    /// This enclave's transcript.
    pub transcript: TranscriptId,
    /// The dataset in this place.
    pub dataset: Id<DatasetManifest>,
    /// Its policy.
    pub policy: Digest,
    /// What the job releases.
    pub charges: JobCost,
    /// The broker named in the dataset's header.
    pub broker: KeyId,
}

impl GrantExpectation {
    /// Checks the public half: enclave and auditor apply the same rules.
    pub fn check(&self, grant: &Signed<Grant>) -> Result<Verified<Grant>, GrantError> {
        let verified = grant.open_by(&self.broker)?;
        let Grant { grant: _, transcript, dataset, policy, cost, order, ledger_head: _ } =
            verified.value;
        if transcript != self.transcript {
            return Err(GrantError::Transcript { expected: self.transcript, found: transcript });
        }
        if dataset != self.dataset {
            return Err(GrantError::Dataset { expected: self.dataset, found: dataset });
        }
        if policy != self.policy {
            return Err(GrantError::Policy);
        }
        // A job that cannot be charged is refused before anybody grants anything for it.
        let expected = self.charges.charge(Accounting::of(order)).map_or(u64::MAX, Zcdp::as_pico);
        if cost != expected {
            return Err(GrantError::Cost { expected, found: cost });
        }
        Ok(verified)
    }
}

/// Checks that the grants of one population's tables, each good in its place, are of one
/// reservation: enclave and auditor count the population once.
pub fn one_reservation(grants: &[Verified<Grant>]) -> Result<(), GrantError> {
    let Some(base) = grants.first() else { return Ok(()) };
    let Grant { policy, cost, order, ledger_head: expected, .. } = base.value;
    for Verified { value: other, .. } in grants {
        if other.ledger_head != expected {
            return Err(GrantError::Apart { expected, found: other.ledger_head });
        }
        if other.policy != policy {
            return Err(GrantError::Policy);
        }
        if (other.cost, other.order) != (cost, order) {
            return Err(GrantError::Cost { expected: cost, found: other.cost });
        }
    }
    Ok(())
}

impl SealedGrant {
    /// Signs `grant` and seals `key` to `hpke_key`, for the grant's transcript alone.
    pub fn issue(
        grant: &Grant,
        key: &DataKey,
        hpke_key: &[u8],
        broker: &SigningKey,
    ) -> Result<Self, GrantError> {
        let signed = Signed::sign(grant, broker)?;
        let id = signed.open_by(&broker.id())?.id;
        let secret = GrantedKey { grant: id, key: ByteArray::new(*key.expose()) };
        let secret = Zeroizing::new(Signed::sign(&secret, broker)?);
        let sealed = Sealed::to(hpke_key, &info(&grant.transcript), secret.as_bytes())?;
        Ok(Self { grant: signed, sealed })
    }

    /// Opens the grant in the enclave: every public rule, then the key.
    pub fn open(
        &self,
        expected: &GrantExpectation,
        keys: &HpkeKeyPair,
    ) -> Result<(Verified<Grant>, DataKey), GrantError> {
        let grant = expected.check(&self.grant)?;
        let secret = keys.open(&info(&expected.transcript), &self.sealed)?;
        let secret = Zeroizing::new(Signed::<GrantedKey>::from_bytes(secret.to_vec()));
        let secret = secret.open_by(&expected.broker)?;
        if secret.value.grant != grant.id {
            return Err(GrantError::OtherGrant);
        }
        let key = DataKey::from_bytes(&secret.value.key);
        Ok((grant, key))
    }
}

/// The HPKE `info` of a grant: good for one transcript.
fn info(transcript: &TranscriptId) -> Vec<u8> {
    [b"cloister/v1/grant\0".as_slice(), transcript.digest().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use cloister_privacy::{Rate, Release, Sensitivity};

    use super::*;

    fn id<T>(name: &str) -> Id<T> {
        Id::new(Digest::of(name, &[]))
    }

    /// So many releases with noise of one clip bound, each of half a rho, a hundredth of the
    /// units in each.
    fn charges(releases: u32) -> JobCost {
        let (sensitivity, sampling) = (Sensitivity::Unit, Some(Rate::nearest(0.01).unwrap()));
        let each = Release { sensitivity, steps: 1024, sigma_steps: 1024, sampling };
        JobCost::new([(releases, each)])
    }

    fn grant() -> Grant {
        Grant {
            grant: ByteArray::new([1; 16]),
            transcript: id("transcript"),
            dataset: id("dataset"),
            policy: Digest::of("policy", &[]),
            cost: 500_000_000_000,
            order: None,
            ledger_head: Digest::of("head", &[]),
        }
    }

    fn expectation(broker: &SigningKey) -> GrantExpectation {
        GrantExpectation {
            transcript: id("transcript"),
            dataset: id("dataset"),
            policy: Digest::of("policy", &[]),
            charges: charges(1),
            broker: broker.id(),
        }
    }

    #[test]
    fn opens_in_its_own_place_only() {
        let (broker, _) = SigningKey::generate().unwrap();
        let keys = HpkeKeyPair::generate();
        let key = DataKey::from_bytes(&[5; 32]);
        let sealed = SealedGrant::issue(&grant(), &key, keys.public(), &broker).unwrap();
        let (_, opened) = sealed.open(&expectation(&broker), &keys).unwrap();
        assert_eq!(opened.expose(), &[5; 32]);

        let refused = |change: &dyn Fn(&mut GrantExpectation)| {
            let mut expected = expectation(&broker);
            change(&mut expected);
            sealed.open(&expected, &keys).map(|_| ()).unwrap_err()
        };
        assert!(matches!(refused(&|e| e.transcript = id("other")), GrantError::Transcript { .. }));
        assert!(matches!(refused(&|e| e.dataset = id("other")), GrantError::Dataset { .. }));
        assert!(matches!(refused(&|e| e.policy = Digest::of("other", &[])), GrantError::Policy));
        assert!(matches!(refused(&|e| e.charges = charges(2)), GrantError::Cost { .. }));
        assert!(matches!(refused(&|e| e.broker = id("other")), GrantError::Signed(_)));
        let second = HpkeKeyPair::generate();
        assert!(matches!(
            sealed.open(&expectation(&broker), &second).map(|_| ()),
            Err(GrantError::Hpke(_))
        ));
    }

    #[test]
    fn a_ledger_at_one_order_charges_what_it_costs_there() {
        let (broker, _) = SigningKey::generate().unwrap();
        let expected = expectation(&broker);
        let order = Order::new(4).unwrap();
        let cost = expected.charges.charge(Accounting::At(order)).unwrap().as_pico();
        let check = |order, cost| {
            let grant = Grant { cost, order, ..grant() };
            expected.check(&Signed::sign(&grant, &broker).unwrap()).map(|_| ())
        };
        assert!(cost < 500_000_000_000);
        assert!(check(Some(order), cost).is_ok());
        for (order, cost) in [(None, cost), (Some(order), cost - 1), (Some(order), 500_000_000_000)]
        {
            assert!(matches!(check(order, cost), Err(GrantError::Cost { .. })), "{order:?} {cost}");
        }
    }

    #[test]
    fn grants_of_one_population_are_of_one_reservation() {
        let (broker, _) = SigningKey::generate().unwrap();
        let with = |dataset: &str, head: &str| {
            let ledger_head = Digest::of(head, &[]);
            let grant = Grant { dataset: id(dataset), ledger_head, ..grant() };
            Signed::sign(&grant, &broker).unwrap().open_by_anyone().unwrap()
        };
        assert!(one_reservation(&[with("one", "head"), with("other", "head")]).is_ok());
        assert!(one_reservation(&[with("one", "head")]).is_ok());
        let apart = one_reservation(&[with("one", "head"), with("other", "next")]);
        assert!(matches!(apart, Err(GrantError::Apart { .. })));
        let mut other = [with("one", "head"), with("other", "head")];
        other[1].value.policy = Digest::of("other", &[]);
        assert!(matches!(one_reservation(&other), Err(GrantError::Policy)));
        let mut other = [with("one", "head"), with("other", "head")];
        other[1].value.order = Some(Order::new(4).unwrap());
        assert!(matches!(one_reservation(&other), Err(GrantError::Cost { .. })));
    }

    #[test]
    fn a_key_of_another_grant_is_refused() {
        let (broker, _) = SigningKey::generate().unwrap();
        let keys = HpkeKeyPair::generate();
        let key = DataKey::from_bytes(&[5; 32]);
        let one = SealedGrant::issue(&grant(), &key, keys.public(), &broker).unwrap();
        let other = Grant { grant: ByteArray::new([2; 16]), ..grant() };
        let other = SealedGrant::issue(&other, &key, keys.public(), &broker).unwrap();
        let mixed = SealedGrant { grant: one.grant, sealed: other.sealed };
        assert!(matches!(
            mixed.open(&expectation(&broker), &keys).map(|_| ()),
            Err(GrantError::OtherGrant)
        ));
    }
}
