//! What a caller must say about time, freshness and binding, whatever the platform.

use std::time::Duration;

use rustls_pki_types::UnixTime;

/// The time of verification, and how far evidence may be from it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub(crate) now: UnixTime,
    pub(crate) max_age: Duration,
    pub(crate) max_skew: Duration,
}

impl Clock {
    /// Evidence may be up to five minutes old and one minute from the future at `now`.
    #[must_use]
    pub fn at(now: UnixTime) -> Self {
        Self { now, max_age: Duration::from_mins(5), max_skew: Duration::from_mins(1) }
    }

    /// Sets how old evidence may be. The leaf certificate bounds the age in any case.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// Sets how far in the future evidence may be: enclave clocks drift.
    #[must_use]
    pub fn max_skew(self, max_skew: Duration) -> Self {
        Self { max_skew, ..self }
    }
}

/// How the verifier knows that evidence was made for it, now.
#[derive(Clone, Debug)]
pub enum Freshness {
    /// The evidence's own nonce field must hold exactly these bytes.
    Nonce(Nonce),
    /// The [`Binding`] is a digest that covers a nonce which the verifier chose, as Cloister's
    /// transcripts do. Fails unless the binding is compared.
    WithinBinding,
    /// Opting out: evidence may be replayed for as long as its age is accepted. The verdict
    /// says so.
    AcceptAnyNonce,
}

/// What the evidence must vouch for: Nitro's `user_data`, SEV-SNP's `REPORT_DATA`.
#[derive(Clone, Debug)]
pub enum Binding {
    /// Exactly these 64 bytes.
    Exactly([u8; 64]),
    /// Exactly these bytes, for evidence that others make: Nitro's `user_data` of any length;
    /// in `REPORT_DATA` zeros follow if there are fewer than 64.
    UserData(Vec<u8>),
    /// Opting out: the evidence vouches for no key and no task. The verdict says so.
    AcceptAnyBinding,
}

/// A nonce that the verifier chose: 1 to 1024 bytes, which should be 16 or more of randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// Takes the bytes of a nonce.
    ///
    /// # Errors
    ///
    /// [`NonceError`] if it is empty or longer than any evidence can carry.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, NonceError> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > 1024 {
            return Err(NonceError { found: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A nonce of a length that cannot be expected.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("[nonce-length] a nonce is 1 to 1024 bytes, found {found}: use 32 random bytes")]
pub struct NonceError {
    /// How many bytes were given.
    pub found: usize,
}
