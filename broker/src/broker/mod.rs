//! The two requests: read, look up, decide, make it last, answer.

use std::fmt;

use cloister_attestation::snp;
use cloister_protocol::{
    KeyId, SigningKey, Verified,
    brokering::{Challenge, ChallengeRequest, GrantRequest},
    frames::Refusal,
    limits,
    transcript::Nonce,
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    appraise::{Denial, Ground, NonceState, Request, Rule},
    ledger::{Issue, Ledger, LedgerError},
    policy::Policy,
    vault::{Vault, VaultError},
};

/// A source of random bytes: the system's, or a test's.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), BrokerError> + 'a;

/// One owner's broker. Time and randomness are arguments of its methods.
pub struct Broker {
    owner: KeyId,
    key: SigningKey,
    vault: Vault,
    ledger: Ledger,
}

/// Why a request was not answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The request breaks a rule.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// The ledger.
    #[error("{0}")]
    Ledger(LedgerError),
    /// The owner's home.
    #[error("{0}")]
    Vault(#[from] VaultError),
    /// The system gave no random bytes.
    #[error("[random] the system's random number generator failed")]
    Random,
}

/// Whose fault it is, and so what the caller should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request was refused: asking again does not help.
    Request,
    /// The owner has to do something first.
    Owner,
    /// Asking again later may help.
    Passing,
}

/// What the broker says about itself to its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The build's version.
    pub version: &'static str,
    /// The owner, in hexadecimal.
    pub owner: String,
    /// The key that signs grants, in hexadecimal.
    pub broker: String,
    /// The policy's version.
    pub policy_version: u64,
    /// The policy's digest, in hexadecimal.
    pub policy: String,
    /// Head of the log, in hexadecimal.
    pub ledger_head: String,
}

impl Broker {
    /// Opens the broker of `owner`: checks the whole ledger, and puts the policy in the
    /// home into force.
    ///
    /// # Errors
    ///
    /// When either is missing, altered, or the policy is older than one before it.
    pub fn open(
        vault: Vault,
        owner: KeyId,
        key: SigningKey,
        now: u64,
    ) -> Result<Self, BrokerError> {
        let ledger = Ledger::open(&vault.ledger(), owner)?;
        ledger.verify_chain()?;
        let mut broker = Self { owner, key, vault, ledger };
        broker.policy(now)?;
        Ok(broker)
    }

    /// Issues a challenge to `peer`. `nonce` is fresh random bytes, `now` seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Rule::DatasetUnknown`] when a dataset is not this broker's, and as for the
    /// ledger.
    pub fn challenge(
        &mut self,
        request: &ChallengeRequest,
        peer: &KeyId,
        nonce: Nonce,
        now: u64,
    ) -> Result<Challenge, BrokerError> {
        let policy = self.policy(now)?;
        let asked = &request.datasets;
        if asked.is_empty() || asked.len() > limits::DATASETS {
            let expected = format!("1 to {} datasets", limits::DATASETS);
            return Err(Denial::new(Rule::DatasetUnknown, expected, asked.len()).into());
        }
        let held = self.vault.held(asked)?;
        if let Some(unknown) = asked.iter().find(|id| !held.contains(id)) {
            let expected = "a dataset whose key this broker holds";
            return Err(Denial::new(Rule::DatasetUnknown, expected, unknown).into());
        }
        self.ledger.issue_nonce(&nonce, peer, now)?;
        let (broker, policy) = (*self.key.public(), *policy.id.digest());
        Ok(Challenge { nonce, broker, policy })
    }

    /// Grants, or says by which rule not. Returns an encoded
    /// [`GrantResponse`](cloister_protocol::brokering::GrantResponse); asked again with
    /// the same transcript, the same bytes.
    ///
    /// # Errors
    ///
    /// [`BrokerError`]; nothing was granted or charged.
    pub fn grant(
        &mut self,
        message: &GrantRequest,
        random: &mut Random<'_>,
        now: u64,
    ) -> Result<Vec<u8>, BrokerError> {
        // 1. Read. What was granted is answered again: only the enclave can open it.
        let request = Request::read(message)?;
        if let Some(response) = self.ledger.answer(&request.transcript())? {
            return Ok(response);
        }
        // 2. Look up; for who has a nonce only, since signatures and files cost time.
        let broker = self.key.id();
        let nonce = match request.nonce(&broker) {
            Some(nonce) => self.ledger.nonce(&nonce)?,
            None => NonceState::Unknown,
        };
        request.check_nonce(&broker, nonce, now)?;
        let policy = self.policy(now)?;
        let datasets = self.vault.held(request.datasets())?;
        let approvals = self.vault.approvals()?;
        // Nothing else is verified with it.
        let needed = snp::is_report(&message.evidence);
        let collateral = if needed { self.vault.collateral()? } else { snp::Collateral::new() };
        // 3. Decide.
        let appraised = request.appraise(&Ground {
            owner: self.owner,
            broker,
            policy: &policy,
            datasets: &datasets,
            approvals: &approvals,
            collateral: &collateral,
            nonce,
            now,
        })?;
        // 4. Make it last, and answer.
        let mut keys = Vec::new();
        for dataset in appraised.charges.iter().flat_map(|charge| &charge.datasets) {
            let mut id = [0; 16];
            random(&mut id)?;
            keys.push((self.vault.data_key(dataset)?, id));
        }
        let issue = Issue { appraised: &appraised, keys: &keys, broker: &self.key, now };
        Ok(self.ledger.grant(&issue)?)
    }

    /// What the broker says about itself.
    ///
    /// # Errors
    ///
    /// As for the policy and the ledger.
    pub fn status(&mut self, now: u64) -> Result<Status, BrokerError> {
        let policy = self.policy(now)?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            owner: self.owner.digest().to_hex(),
            broker: self.key.id().digest().to_hex(),
            policy_version: policy.value.version,
            policy: policy.id.digest().to_hex(),
            ledger_head: self.ledger.head()?.to_hex(),
        })
    }

    /// The ledger, to be read.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The policy in the home, put into force.
    fn policy(&mut self, now: u64) -> Result<Verified<Policy>, BrokerError> {
        let policy = self.vault.policy(&self.owner)?;
        self.ledger.adopt(&policy, now)?;
        Ok(policy)
    }
}

impl BrokerError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Denied(_) => Fault::Request,
            Self::Ledger(LedgerError::PolicyRollback { .. } | LedgerError::ClockBack { .. })
            | Self::Vault(
                VaultError::NoPolicy(_) | VaultError::Policy(_) | VaultError::Collateral { .. },
            ) => Fault::Owner,
            Self::Ledger(_) | Self::Vault(_) | Self::Random => Fault::Passing,
        }
    }

    /// What the caller is told. What went wrong inside stays inside.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let refusal = |code: &str, message: &dyn fmt::Display| Refusal {
            code: code.to_owned(),
            message: message.to_string(),
        };
        match self {
            Self::Denied(denial) => denial.into(),
            Self::Ledger(error @ LedgerError::PolicyRollback { .. }) => {
                refusal("policy-rollback", error)
            }
            Self::Vault(VaultError::NoPolicy(_) | VaultError::Policy(_)) => refusal(
                "policy-unusable",
                &"The owner has no valid signed policy, and nothing is granted without one. \
                  The owner runs `cloister policy check` and `cloister policy sign`.",
            ),
            Self::Vault(VaultError::Collateral { .. }) => refusal(
                "collateral-unusable",
                &"Something that the owner keeps to verify reports with cannot be read, and \
                  no report is accepted past it. The owner finds the file in the broker's log; \
                  `cloister collateral check` on the folder `collateral` of its home names it, \
                  too.",
            ),
            Self::Ledger(error @ LedgerError::ClockBack { .. }) => refusal("clock-back", error),
            Self::Ledger(error @ LedgerError::TooManyNonces { .. }) => {
                refusal("too-many-challenges", error)
            }
            Self::Ledger(_) | Self::Vault(_) | Self::Random => refusal(
                "broker-internal",
                &"The broker cannot serve for a reason that its owner finds in its log. \
                  Ask again later: the same request is never charged twice.",
            ),
        }
    }
}

impl From<LedgerError> for BrokerError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Denied(denial) => Self::Denied(denial),
            error => Self::Ledger(error),
        }
    }
}

#[cfg(test)]
mod tests;
