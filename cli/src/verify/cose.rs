//! What can be read off evidence before anything is verified.
//!
//! The time, to choose the time at which it is verified: the verifier then compares it with
//! the signed one, with no tolerance. So a false time can only make evidence fail.

use ciborium::Value;
use coset::{CborSerializable, CoseSign1, TaggedCborSerializable};

/// Milliseconds since 1970, if it says so at all.
pub fn claimed_ms(evidence: &[u8]) -> Option<u64> {
    let payload: Value =
        ciborium::de::from_reader_with_recursion_limit(&sign1(evidence)?.payload?[..], 16).ok()?;
    let field = |(key, value): &(Value, Value)| match (key, value) {
        (Value::Text(name), Value::Integer(ms)) if name == "timestamp" => u64::try_from(*ms).ok(),
        _ => None,
    };
    payload.as_map()?.iter().find_map(field)
}

/// What the signature is over: protected header and payload. Two documents that agree in
/// it say the same, whatever their signatures look like.
pub fn signed(evidence: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let document = sign1(evidence)?;
    Some((document.protected.original_data?, document.payload?))
}

fn sign1(evidence: &[u8]) -> Option<CoseSign1> {
    CoseSign1::from_slice(evidence).or_else(|_| CoseSign1::from_tagged_slice(evidence)).ok()
}

#[cfg(test)]
mod tests {
    use coset::CoseSign1Builder;

    use super::*;

    #[test]
    fn finds_the_time_and_nothing_else() {
        let document = |payload: Value| {
            let mut bytes = Vec::new();
            ciborium::into_writer(&payload, &mut bytes).unwrap();
            CoseSign1Builder::new().payload(bytes).build()
        };
        let time = Value::Map(vec![
            (Value::Text("module_id".into()), Value::Text("i".into())),
            (Value::Text("timestamp".into()), Value::Integer(1_700_000_000_123_u64.into())),
        ]);
        let plain = document(time.clone()).to_vec().unwrap();
        assert_eq!(claimed_ms(&plain), Some(1_700_000_000_123));
        let tagged = document(time).to_tagged_vec().unwrap();
        assert_eq!(claimed_ms(&tagged), Some(1_700_000_000_123));
        assert_eq!(claimed_ms(&document(Value::Map(vec![])).to_vec().unwrap()), None);
        assert_eq!(claimed_ms(b"nonsense"), None);
    }
}
