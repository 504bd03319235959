//! Collateral in one signed file, for places that nothing else reaches.
//!
//! Every chain has to lead to a pinned root, so nobody's signature makes a certificate true.
//! What a signature adds is that nothing was taken out on the way: whoever keeps a revocation
//! list from a verifier has its certificates accepted. The signer says that this is all there
//! was, and until when it may be relied on; after that an old bundle cannot pass for a new
//! one.
//!
//! The file is a `COSE_Sign1` of content type `application/vnd.cloister.collateral+cbor` whose
//! payload is the array `[1, made, until, [* certificate], [* revocation-list]]`, times in
//! seconds since 1970, the rest in DER.

use ciborium::Value;
use rustls_pki_types::UnixTime;

use super::collateral::{Collateral, CollateralError, Encoded, Entry, EntryKind};
use super::limits;
use crate::sign1::{self, Envelope};

const CONTENT_TYPE: &str = "application/vnd.cloister.collateral+cbor";
const VERSION: u64 = 1;

/// Collateral, and until when its signer says that it is all there is.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// When it was put together, in seconds since 1970.
    pub made: u64,
    /// The last second at which it may be relied on.
    pub until: u64,
    /// What is in it.
    pub collateral: Collateral,
}

/// Why bytes are no bundle to rely on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not a bundle.
    #[error("[bundle-format] not a bundle of collateral: {0}")]
    Format(&'static str),
    /// Somebody else's, or changed since.
    #[error(
        "[bundle-signature] the bundle is not signed by that key, or was changed since: get it again from whoever keeps it"
    )]
    Signature,
    /// Older than its signer stands for.
    #[error(
        "[bundle-ended] the bundle may be relied on until second {until} since 1970, and it is {now}: get a new one"
    )]
    Ended {
        /// The last second at which it may be relied on.
        until: u64,
        /// When it was to be used.
        now: u64,
    },
    /// What is in it cannot be taken.
    #[error(transparent)]
    Collateral(#[from] CollateralError),
    /// The key cannot sign, or there is more than fits.
    #[error(
        "[bundle-key] the bundle could not be signed: check the key, and that it has at most 1 MiB"
    )]
    Key,
}

impl Bundle {
    /// The most bytes that a bundle may have.
    pub const LIMIT: usize = limits::BUNDLE;

    /// Signs it: `sign` gives r and s of ES384, of a key on P-384.
    ///
    /// # Errors
    ///
    /// [`BundleError::Key`] if it gives none, or if the bundle is longer than [`Self::LIMIT`].
    pub fn sign_with(
        &self,
        sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Vec<u8>, BundleError> {
        let signed = sign1::sign(self.to_cbor(), Some(CONTENT_TYPE), sign);
        signed.filter(|bytes| bytes.len() <= Self::LIMIT).ok_or(BundleError::Key)
    }

    /// Opens a bundle that the holder of this public key (an uncompressed point) signed, to be
    /// relied on at `now`.
    ///
    /// # Errors
    ///
    /// [`BundleError`]
    pub fn open(bytes: &[u8], public_key: &[u8], now: UnixTime) -> Result<Self, BundleError> {
        let envelope = envelope(bytes)?;
        if !envelope.is_signed_by(public_key) {
            return Err(BundleError::Signature);
        }
        let bundle = Self::from_cbor(envelope.payload())?;
        // One that was made later knows more, not less: only its end counts.
        let (until, now) = (bundle.until, now.as_secs());
        if until < now { Err(BundleError::Ended { until, now }) } else { Ok(bundle) }
    }

    /// What a bundle says, unverified: to be shown.
    ///
    /// # Errors
    ///
    /// [`BundleError::Format`] and [`BundleError::Collateral`]
    pub fn unverified(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::from_cbor(envelope(bytes)?.payload())
    }

    /// Whether bytes say that they are a bundle.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        envelope(bytes).is_ok()
    }

    fn to_cbor(&self) -> Vec<u8> {
        let entries = self.collateral.entries();
        let (lists, certificates): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.kind == EntryKind::RevocationList);
        let array = |of: Vec<&Entry<'_>>| {
            Value::Array(of.into_iter().map(|entry| Value::Bytes(entry.der.to_vec())).collect())
        };
        let payload = Value::Array(vec![
            VERSION.into(),
            self.made.into(),
            self.until.into(),
            array(certificates),
            array(lists),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&payload, &mut bytes).expect("a value is written into memory");
        bytes
    }

    fn from_cbor(mut bytes: &[u8]) -> Result<Self, BundleError> {
        let format = BundleError::Format;
        let payload: Value = ciborium::from_reader(&mut bytes).map_err(|_| format("no CBOR"))?;
        let Some([version, made, until, certificates, lists]) =
            payload.as_array().map(Vec::as_slice)
        else {
            return Err(format("not an array of five"));
        };
        let number = |value: &Value| {
            let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
            number.ok_or(format("a version or time that is no number"))
        };
        if number(version)? != VERSION {
            return Err(format("of a version other than 1"));
        }
        if !bytes.is_empty() {
            return Err(format("bytes behind the payload"));
        }
        let mut collateral = Collateral::new();
        let mut add = |of: &Value, expected: Encoded| {
            for one in of.as_array().ok_or(format("no array of DER"))? {
                let der = one.as_bytes().ok_or(format("no DER"))?;
                if collateral.add_der(der)? != expected {
                    return Err(format("a certificate among lists, or a list among certificates"));
                }
            }
            Ok(())
        };
        add(certificates, Encoded::Certificate)?;
        add(lists, Encoded::RevocationList)?;
        Ok(Self { made: number(made)?, until: number(until)?, collateral })
    }
}

fn envelope(bytes: &[u8]) -> Result<Envelope, BundleError> {
    Envelope::read(bytes, Bundle::LIMIT, Some(CONTENT_TYPE)).map_err(BundleError::Format)
}
