//! `COSE_Sign1` (RFC 9052, section 4.2) in the one form that a document has.

use ciborium::Value;

use crate::Error;
use crate::key::Key;

/// The protected header `{1: -35}`: the algorithm is ES384.
pub(crate) const PROTECTED_ES384: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// Signs `payload` and gives the four parts: protected header, unprotected header, payload,
/// signature.
pub(crate) fn sign1(
    key: &Key,
    protected: &[u8],
    unprotected: Value,
    payload: Vec<u8>,
) -> Result<Vec<Value>, Error> {
    let to_be_signed = encode(&Value::Array(vec![
        Value::Text("Signature1".to_owned()),
        Value::Bytes(protected.to_vec()),
        Value::Bytes(Vec::new()),
        Value::Bytes(payload.clone()),
    ]));
    let signature = key.sign_raw(&to_be_signed)?;
    Ok(vec![
        Value::Bytes(protected.to_vec()),
        unprotected,
        Value::Bytes(payload),
        Value::Bytes(signature),
    ])
}

/// CBOR in memory.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail, and a Value is always encodable.
    ciborium::into_writer(value, &mut bytes).expect("a Value is encodable");
    bytes
}
