//! Deterministic CBOR (RFC 8949 section 4.2.1).
//!
//! [`encode`] sorts map keys and uses shortest forms. [`decode`] refuses every
//! input that [`encode`] would not have written: the typed value is encoded again and
//! compared with the input, which covers duplicate and unsorted keys, long forms,
//! indefinite lengths, trailing bytes, tags, bignums and null for what is absent with
//! one rule. Unknown keys are refused by the types themselves (`deny_unknown_fields`).

use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::limits;

/// Why bytes were refused as one of our structures.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborError {
    /// More bytes than the limit for this kind of object.
    #[error("{found} bytes where at most {limit} are allowed")]
    TooLarge {
        /// The limit that applies.
        limit: usize,
        /// The length found.
        found: usize,
    },
    /// Not CBOR, or nested too deeply.
    #[error("not well-formed CBOR (or deeper than {} levels)", limits::CBOR_DEPTH)]
    Malformed,
    /// CBOR, but not the one deterministic encoding of its value.
    #[error("not deterministically encoded (RFC 8949 section 4.2.1), or bytes after the end")]
    NotDeterministic,
    /// A map with keys that none of our types has.
    #[error("a map with a key that is neither a number, nor text, nor bytes")]
    Key,
    /// Deterministic CBOR, but not what its type is written as.
    #[error("not written as its type is: a tag, or null where nothing is written, or the reverse")]
    OtherForm,
    /// Deterministic CBOR of some other shape.
    #[error("not of the expected shape: {0}")]
    Shape(String),
}

/// The deterministic encoding of `value`.
///
/// # Panics
/// When `value`'s `Serialize` fails, which none of this crate's types does.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let value = Value::serialized(value).expect("our types serialize to CBOR values");
    encode_value(value)
}

/// Decodes at most `limit` bytes, which must be what [`encode`] writes for a `T`.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CborError> {
    // 1. Well-formed, and of a size and depth that the next steps can bear.
    if bytes.len() > limit {
        return Err(CborError::TooLarge { limit, found: bytes.len() });
    }
    let value: Value = ciborium::de::from_reader_with_recursion_limit(bytes, limits::CBOR_DEPTH)
        .map_err(|_| CborError::Malformed)?;
    require_plain_keys(&value)?;
    // 2. Deterministic.
    if encode_value(value.clone()) != bytes {
        return Err(CborError::NotDeterministic);
    }
    // 3. A `T`, written as a `T` is. Deserializing alone reads more than one form.
    let typed: T = value.deserialized().map_err(|error| CborError::Shape(error.to_string()))?;
    let again = Value::serialized(&typed).map_err(|error| CborError::Shape(error.to_string()))?;
    if encode_value(again) != bytes {
        return Err(CborError::OtherForm);
    }
    Ok(typed)
}

/// Sorting encodes each key. Keys inside keys would be encoded again at each level, twice
/// as often with every step down; none of our types has any.
fn require_plain_keys(value: &Value) -> Result<(), CborError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(require_plain_keys),
        Value::Tag(_, inner) => require_plain_keys(inner),
        Value::Map(entries) => entries.iter().try_for_each(|(key, value)| match key {
            Value::Integer(_) | Value::Text(_) | Value::Bytes(_) => require_plain_keys(value),
            _ => Err(CborError::Key),
        }),
        _ => Ok(()),
    }
}

fn encode_value(value: Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&sorted(value), &mut bytes).expect("writing to memory cannot fail");
    bytes
}

/// Sorts map entries by the bytes of their encoded keys, at every level.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Tag(tag, inner) => Value::Tag(tag, Box::new(sorted(*inner))),
        Value::Map(entries) => {
            let mut entries: Vec<(Vec<u8>, (Value, Value))> = entries
                .into_iter()
                .map(|(key, value)| (encode_value(key.clone()), (sorted(key), sorted(value))))
                .collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|(a, _), (b, _)| a == b);
            Value::Map(entries.into_iter().map(|(_, entry)| entry).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        b: u64,
        aa: Option<String>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Optional {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
    }

    const PAIR: &[u8] = b"\xa2\x61b\x05\x62aa\x61x";

    fn decode_pair(bytes: &[u8]) -> Result<Pair, CborError> {
        decode(bytes, 64)
    }

    #[test]
    fn encodes_with_sorted_keys() {
        assert_eq!(encode(&Pair { b: 5, aa: Some("x".into()) }), PAIR);
        assert_eq!(decode_pair(PAIR).unwrap(), Pair { b: 5, aa: Some("x".into()) });
    }

    #[test]
    fn refuses_every_other_encoding_of_the_same_value() {
        for (what, bytes) in [
            ("unsorted keys", b"\xa2\x62aa\x61x\x61b\x05".as_slice()),
            ("duplicate key", b"\xa3\x61b\x05\x61b\x05\x62aa\x61x"),
            ("long integer", b"\xa2\x61b\x18\x05\x62aa\x61x"),
            ("indefinite map", b"\xbf\x61b\x05\x62aa\x61x\xff"),
            ("indefinite text", b"\xa2\x61b\x05\x62aa\x7f\x61x\xff"),
            ("small bignum", b"\xa2\x61b\xc2\x41\x05\x62aa\x61x"),
            ("trailing byte", b"\xa2\x61b\x05\x62aa\x61x\x00"),
        ] {
            assert_eq!(decode_pair(bytes), Err(CborError::NotDeterministic), "{what}");
        }
    }

    #[test]
    fn refuses_other_forms_that_the_type_would_read() {
        for (what, bytes) in [
            ("a tag", b"\xa2\x61b\x05\x62aa\xc1\x61x".as_slice()),
            ("nothing for null", b"\xa1\x61b\x05"),
        ] {
            // The type by itself reads them all.
            let value: Value = ciborium::from_reader(bytes).unwrap();
            assert_eq!(value.deserialized::<Pair>().unwrap().b, 5, "{what}");
            assert_eq!(decode_pair(bytes), Err(CborError::OtherForm), "{what}");
        }
        assert_eq!(decode(b"\xa0", 9), Ok(Optional { a: None }));
        assert_eq!(decode::<Optional>(b"\xa1\x61a\xf6", 9), Err(CborError::OtherForm));
    }

    #[test]
    fn refuses_keys_that_are_structures_before_it_sorts() {
        for key in [b"\x80".as_slice(), b"\xa0", b"\xc1\x05", b"\xf6", b"\xf9\x00\x00"] {
            let bytes = [b"\xa1", key, b"\x05"].concat();
            assert_eq!(decode::<Value>(&bytes, 64), Err(CborError::Key), "{key:x?}");
        }
        // Wherever they are, however deep.
        assert_eq!(decode::<Value>(b"\x81\xc1\xa1\x61a\xa1\x80\x05", 64), Err(CborError::Key));
        let nested = [vec![0xa1; 15], vec![5; 16]].concat();
        assert_eq!(decode::<Value>(&nested, 64), Err(CborError::Key));
    }

    #[test]
    fn refuses_unknown_keys_truncation_depth_and_size() {
        assert!(matches!(decode_pair(b"\xa2\x61b\x05\x61c\x05"), Err(CborError::Shape(_))));
        assert_eq!(decode_pair(&PAIR[..PAIR.len() - 1]), Err(CborError::Malformed));
        assert_eq!(decode::<Vec<u8>>(&[0x81; 40], 64), Err(CborError::Malformed));
        assert_eq!(decode_pair(&[0; 65]), Err(CborError::TooLarge { limit: 64, found: 65 }));
        // A length of 2^40 bytes in a seven-byte input must not be allocated.
        assert_eq!(
            decode::<Value>(b"\x5b\x00\x00\x01\x00\x00\x00\x00\x00", 64),
            Err(CborError::Malformed)
        );
    }
}
