//! `COSE_Sign1` (RFC 9052) as this crate signs: ES384, and nothing in the headers but that and
//! what the payload is.

use coset::{CborSerializable, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, iana};
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

/// Signs a payload; `sign` gives r and s of ES384 over the bytes that it is given.
pub(crate) fn sign(
    payload: Vec<u8>,
    content_type: Option<&str>,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    CoseSign1Builder::new()
        .protected(headers(content_type))
        .payload(payload)
        .try_create_signature(&[], |bytes| sign(bytes).ok_or(()))
        .ok()?
        .build()
        .to_vec()
        .ok()
}

fn headers(content_type: Option<&str>) -> Header {
    let mut headers = HeaderBuilder::new().algorithm(iana::Algorithm::ES384);
    if let Some(name) = content_type {
        headers = headers.content_type(name.to_owned());
    }
    headers.build()
}

/// An envelope whose signature was not verified yet.
pub(crate) struct Envelope(CoseSign1);

impl Envelope {
    /// Reads at most `limit` bytes, or says what is wrong with them.
    pub(crate) fn read(
        bytes: &[u8],
        limit: usize,
        content_type: Option<&str>,
    ) -> Result<Self, &'static str> {
        if bytes.len() > limit {
            return Err("longer than such a file can be");
        }
        let envelope = CoseSign1::from_slice(bytes).map_err(|_| "no COSE_Sign1")?;
        if envelope.protected.header != headers(content_type) {
            return Err("headers other than those of ES384 and this content type");
        }
        if !envelope.unprotected.is_empty() {
            return Err("headers that are not signed");
        }
        if envelope.payload.is_none() {
            return Err("no payload");
        }
        Ok(Self(envelope))
    }

    /// What is signed, if it is.
    pub(crate) fn payload(&self) -> &[u8] {
        self.0.payload.as_deref().unwrap_or_default()
    }

    /// Whether the holder of this public key (an uncompressed point of P-384) signed it.
    pub(crate) fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key);
        self.0.verify_signature(&[], |signature, signed| key.verify(signed, signature)).is_ok()
    }
}
