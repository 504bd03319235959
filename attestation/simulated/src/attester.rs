//! One simulated enclave: a leaf certificate, its key, and the documents it signs.

use ciborium::Value;

use crate::cose::{PROTECTED_ES384, encode, sign1};
use crate::key::Key;
use crate::{Error, Pcrs};

/// Signs attestation documents for one simulated enclave.
///
/// No `Debug` and no `Clone`: it holds a key.
pub struct Attester {
    pub(crate) module_id: String,
    pub(crate) certificate: Vec<u8>,
    pub(crate) cabundle: Vec<Vec<u8>>,
    pub(crate) key: Key,
}

/// The longest `user_data` and `nonce` that a document carries, in bytes.
const FIELD_LIMIT: usize = 1024;

impl Attester {
    /// An attestation document: an untagged `COSE_Sign1` of the AWS Nitro shape.
    ///
    /// `user_data` is up to 1024 bytes (Cloister puts a binding of 64 there), `nonce` likewise
    /// or absent (`null` in the document); `public_key` is always `null`. Registers 0 to 15
    /// that `pcrs` leaves out read as zeros. `timestamp_ms` is in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Error::PcrIndex`], [`Error::FieldTooLong`] and [`Error::Timestamp`] name the argument
    /// that does not fit; [`Error::Key`] if signing failed.
    pub fn document(
        &self,
        user_data: &[u8],
        nonce: Option<&[u8]>,
        pcrs: &Pcrs,
        timestamp_ms: u64,
    ) -> Result<Vec<u8>, Error> {
        let fields = self.fields(user_data, nonce, pcrs, timestamp_ms)?;
        let payload = encode(&Value::Map(fields));
        let parts = sign1(&self.key, &PROTECTED_ES384, Value::Map(Vec::new()), payload)?;
        Ok(encode(&Value::Array(parts)))
    }

    /// The leaf certificate in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// What the documents call this enclave.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// The payload's fields in the order of a real document.
    pub(crate) fn fields(
        &self,
        user_data: &[u8],
        nonce: Option<&[u8]>,
        pcrs: &Pcrs,
        timestamp_ms: u64,
    ) -> Result<Vec<(Value, Value)>, Error> {
        within_limit("user_data", user_data)?;
        within_limit("nonce", nonce.unwrap_or_default())?;
        if timestamp_ms == 0 {
            return Err(Error::Timestamp);
        }
        if let Some(&found) = pcrs.keys().find(|&&index| index >= 32) {
            return Err(Error::PcrIndex { found });
        }
        let mut registers: Pcrs = (0..16).map(|index| (index, [0; 48])).collect();
        registers.extend(pcrs.iter().map(|(&index, &value)| (index, value)));
        let registers = registers
            .into_iter()
            .map(|(index, value)| (Value::from(index), Value::Bytes(value.to_vec())))
            .collect();
        let cabundle = self.cabundle.iter().cloned().map(Value::Bytes).collect();

        let field = |name: &str, value| (Value::Text(name.to_owned()), value);
        Ok(vec![
            field("module_id", Value::Text(self.module_id.clone())),
            field("digest", Value::Text("SHA384".to_owned())),
            field("timestamp", Value::from(timestamp_ms)),
            field("pcrs", Value::Map(registers)),
            field("certificate", Value::Bytes(self.certificate.clone())),
            field("cabundle", Value::Array(cabundle)),
            field("public_key", Value::Null),
            field("user_data", Value::Bytes(user_data.to_vec())),
            field("nonce", nonce.map_or(Value::Null, |nonce| Value::Bytes(nonce.to_vec()))),
        ])
    }
}

fn within_limit(field: &'static str, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > FIELD_LIMIT {
        return Err(Error::FieldTooLong { field, limit: FIELD_LIMIT, found: bytes.len() });
    }
    Ok(())
}
