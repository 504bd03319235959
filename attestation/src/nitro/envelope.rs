//! The structure of a document, taken out before anything is believed.

use ciborium::Value;
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use super::{limits, rules};
use crate::certificate::{Leaf, fingerprint};
use crate::verdict::{Checks, Stop};

/// COSE label of the algorithm (RFC 9052, section 3.1).
const ALGORITHM: i128 = 1;
/// COSE label of the list of critical labels.
const CRITICAL: i128 = 2;
/// ECDSA with SHA-384 (RFC 9053, section 2.1).
const ES384: i128 = -35;
/// CBOR tag of a `COSE_Sign1`.
const COSE_SIGN1: u64 = 18;

/// Whose document it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An enclave's, with `pcrs`.
    Enclave,
    /// An instance's, with `nitrotpm_pcrs`.
    NitroTpm,
}

/// A document's parts. The payload's fields are not interpreted, but for the certificates.
pub(super) struct Envelope {
    protected: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    fields: Vec<(Value, Value)>,
    kind: Kind,
    /// The leaf certificate in DER.
    pub(super) certificate: Vec<u8>,
    /// The other certificates in DER, root first, at least one.
    pub(super) cabundle: Vec<Vec<u8>>,
}

impl Envelope {
    /// Takes a document apart.
    pub(super) fn extract(evidence: &[u8], kind: Kind, checks: &mut Checks) -> Result<Self, Stop> {
        checks.require(
            &rules::EVIDENCE_SIZE,
            (1..=limits::DOCUMENT).contains(&evidence.len()),
            format!("1 to {} bytes", limits::DOCUMENT),
            format!("{} bytes", evidence.len()),
        )?;
        let ([protected, payload, signature], unprotected) = sign1(evidence, checks)?;
        algorithm(&protected, checks)?;
        // Whatever stands there is not signed, and two documents that differ in it are one.
        checks.require(
            &rules::COSE_UNPROTECTED,
            unprotected == 0,
            "0 entries",
            format!("{unprotected} entries"),
        )?;
        checks.require(
            &rules::COSE_SIGNATURE_SIZE,
            signature.len() == limits::SIGNATURE,
            format!("{} bytes", limits::SIGNATURE),
            format!("{} bytes", signature.len()),
        )?;
        checks.require(
            &rules::PAYLOAD_SIZE,
            (1..=limits::PAYLOAD).contains(&payload.len()),
            format!("1 to {} bytes", limits::PAYLOAD),
            format!("{} bytes", payload.len()),
        )?;
        let fields = payload_fields(&payload, kind, checks)?;
        let (certificate, cabundle) = certificates(&fields, checks)?;
        Ok(Self { protected, payload, signature, fields, kind, certificate, cabundle })
    }

    /// The registers of this kind of document.
    pub(super) fn registers(&self) -> Option<&Value> {
        self.field(match self.kind {
            Kind::Enclave => "pcrs",
            Kind::NitroTpm => "nitrotpm_pcrs",
        })
    }

    /// The field of the payload with that name, if there is one.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        field(&self.fields, name)
    }

    /// SHA-256 of the certificate that claims to be the root.
    pub(super) fn root_sha256(&self) -> [u8; 32] {
        fingerprint(&self.cabundle[0])
    }

    /// Checks the signature (RFC 9052, section 4.4) with the leaf's key.
    pub(super) fn verify_signature(&self, leaf: &Leaf, checks: &mut Checks) {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &leaf.public_key);
        let valid = key.verify(&self.to_be_signed(), &self.signature).is_ok();
        checks.judge(
            &rules::COSE_SIGNATURE,
            valid,
            "a valid signature by the leaf's key",
            if valid { "a valid signature" } else { "an invalid signature" },
        );
    }

    /// The `Sig_structure` of RFC 9052, section 4.4, with the protected header and the
    /// payload as received, and no external data.
    fn to_be_signed(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.payload.len() + self.protected.len() + 32);
        bytes.push(0x84);
        bytes.push(0x6a);
        bytes.extend_from_slice(b"Signature1");
        for part in [&self.protected[..], &[], &self.payload] {
            byte_string_head(&mut bytes, part.len());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// The head of a CBOR byte string, in the shortest form. Documents are at most 16 KiB.
fn byte_string_head(bytes: &mut Vec<u8>, length: usize) {
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..24 => bytes.push(0x40 | low),
        24..256 => bytes.extend([0x58, low]),
        _ => bytes.extend([0x59, high, low]),
    }
}

/// Protected header, payload and signature of a `COSE_Sign1`, and how many entries its
/// unprotected header has.
fn sign1(evidence: &[u8], checks: &mut Checks) -> Result<([Vec<u8>; 3], usize), Stop> {
    const EXPECTED: &str = "[bytes, map, bytes, bytes], with tag 18 or none";
    let mut rest = evidence;
    let document = match read(&mut rest) {
        Ok(Value::Tag(COSE_SIGN1, document)) => *document,
        Ok(document) => document,
        Err(found) => return Err(checks.stop(&rules::COSE_STRUCTURE, EXPECTED, found)),
    };
    let parts = match document {
        Value::Array(parts) => {
            <[Value; 4]>::try_from(parts).map_err(|parts| format!("an array of {}", parts.len()))
        }
        other => Err(kind(&other).to_owned()),
    };
    let parts = match parts {
        Ok(
            [
                Value::Bytes(protected),
                Value::Map(unprotected),
                Value::Bytes(payload),
                Value::Bytes(signature),
            ],
        ) => Ok(([protected, payload, signature], unprotected.len())),
        Ok(parts) => Err(format!("[{}]", parts.each_ref().map(kind).join(", "))),
        Err(found) => Err(found),
    };
    let parts = match parts {
        Ok(parts) => parts,
        Err(found) => return Err(checks.stop(&rules::COSE_STRUCTURE, EXPECTED, found)),
    };
    checks.pass(&rules::COSE_STRUCTURE, EXPECTED, "such an array");
    checks.require(
        &rules::COSE_TRAILING,
        rest.is_empty(),
        "0 bytes",
        format!("{} bytes", rest.len()),
    )?;
    Ok(parts)
}

/// Checks what the protected header says.
fn algorithm(protected: &[u8], checks: &mut Checks) -> Result<(), Stop> {
    let mut rest = protected;
    let header = match read(&mut rest) {
        Ok(Value::Map(header)) if rest.is_empty() && header.len() <= limits::FIELDS => header,
        Ok(other) => {
            let found = format!("{} in the protected header", kind(&other));
            return Err(checks.stop(&rules::COSE_ALGORITHM, "ES384", found));
        }
        Err(found) => return Err(checks.stop(&rules::COSE_ALGORITHM, "ES384", found)),
    };
    let values = |label: i128| {
        header
            .iter()
            .filter(move |(key, _)| *key == Value::Integer(integer(label)))
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    let (holds, found) = match values(ALGORITHM)[..] {
        [Value::Integer(found)] => {
            (i128::from(*found) == ES384, format!("algorithm {}", i128::from(*found)))
        }
        [] => (false, "no algorithm in the protected header".to_owned()),
        [_] => (false, "an algorithm that is not a number".to_owned()),
        _ => (false, "more than one algorithm".to_owned()),
    };
    checks.require(&rules::COSE_ALGORITHM, holds, "algorithm -35 (ES384)", found)?;

    let known = Value::Integer(integer(ALGORITHM));
    let (holds, found) = match values(CRITICAL)[..] {
        [] => (true, "nothing critical".to_owned()),
        [Value::Array(labels)] if labels.iter().all(|label| *label == known) => {
            (!labels.is_empty(), "only the algorithm".to_owned())
        }
        _ => (false, "critical headers that this verifier does not know".to_owned()),
    };
    checks.require(&rules::COSE_CRITICAL, holds, "nothing critical but the algorithm", found)
}

const ENCLAVE: &str = "an enclave's document";
const NITRO_TPM: &str = "an instance's NitroTPM document";

/// The fields of a payload of this kind, each of which occurs once.
fn payload_fields(
    payload: &[u8],
    kind: Kind,
    checks: &mut Checks,
) -> Result<Vec<(Value, Value)>, Stop> {
    const EXPECTED: &str = "one map of distinct fields";
    let fields = match distinct_fields(payload) {
        Ok(fields) => fields,
        Err(found) => return Err(checks.stop(&rules::PAYLOAD_STRUCTURE, EXPECTED, found)),
    };
    checks.pass(&rules::PAYLOAD_STRUCTURE, EXPECTED, format!("{} fields", fields.len()));

    let has = |name| field(&fields, name).is_some();
    let found = match (has("pcrs"), has("nitrotpm_pcrs")) {
        (true, true) => "a document with both kinds of registers",
        (_, false) => ENCLAVE,
        (false, true) => NITRO_TPM,
    };
    let expected = match kind {
        Kind::Enclave => ENCLAVE,
        Kind::NitroTpm => NITRO_TPM,
    };
    checks.require(&rules::PAYLOAD_KIND, found == expected, expected, found)?;
    Ok(fields)
}

/// One map in which nothing occurs twice, or what it is instead.
fn distinct_fields(payload: &[u8]) -> Result<Vec<(Value, Value)>, String> {
    let mut rest = payload;
    let value = read(&mut rest)?;
    if !rest.is_empty() {
        return Err(format!("{} bytes after it", rest.len()));
    }
    let fields = value.into_map().map_err(|other| kind(&other).to_owned())?;
    if fields.len() > limits::FIELDS {
        return Err(format!("{} fields", fields.len()));
    }
    match first_repeated(&fields) {
        Some(name) => Err(format!("{name} twice")),
        None => Ok(fields),
    }
}

/// The leaf, and the other certificates, root first.
fn certificates(
    fields: &[(Value, Value)],
    checks: &mut Checks,
) -> Result<(Vec<u8>, Vec<Vec<u8>>), Stop> {
    let expected = format!(
        "a certificate and 1 to {} more, 1 to {} bytes each",
        limits::CABUNDLE,
        limits::CERTIFICATE
    );
    match leaf(fields).and_then(|leaf| Ok((leaf, bundle(fields)?))) {
        Ok((certificate, cabundle)) => {
            let found = format!("a certificate and {} more", cabundle.len());
            checks.pass(&rules::PAYLOAD_CERTIFICATES, expected, found);
            Ok((certificate, cabundle))
        }
        Err(found) => Err(checks.stop(&rules::PAYLOAD_CERTIFICATES, expected, found)),
    }
}

fn leaf(fields: &[(Value, Value)]) -> Result<Vec<u8>, String> {
    let value = field(fields, "certificate").ok_or("no certificate")?;
    certificate("certificate", value)
}

fn bundle(fields: &[(Value, Value)]) -> Result<Vec<Vec<u8>>, String> {
    match field(fields, "cabundle") {
        None => Err("no cabundle".to_owned()),
        Some(Value::Array(entries)) if (1..=limits::CABUNDLE).contains(&entries.len()) => {
            entries.iter().map(|entry| certificate("an entry of cabundle", entry)).collect()
        }
        Some(Value::Array(entries)) => Err(format!("a cabundle of {}", entries.len())),
        Some(other) => Err(format!("a cabundle that is {}", kind(other))),
    }
}

fn certificate(what: &str, value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::Bytes(der) if (1..=limits::CERTIFICATE).contains(&der.len()) => Ok(der.clone()),
        Value::Bytes(der) => Err(format!("{what} of {} bytes", der.len())),
        other => Err(format!("{what} that is {}", kind(other))),
    }
}

fn field<'a>(fields: &'a [(Value, Value)], name: &str) -> Option<&'a Value> {
    fields.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

fn first_repeated(fields: &[(Value, Value)]) -> Option<String> {
    fields
        .iter()
        .enumerate()
        .find(|(position, (key, _))| fields[..*position].iter().any(|(other, _)| other == key))
        .map(|(_, (key, _))| match key {
            Value::Text(name) => crate::text::quoted(name),
            other => kind(other).to_owned(),
        })
}

/// Reads one CBOR item, nested within the limit, and leaves what follows it.
fn read(bytes: &mut &[u8]) -> Result<Value, String> {
    use ciborium::de::Error;
    ciborium::de::from_reader_with_recursion_limit(bytes, limits::DEPTH).map_err(|error| {
        match error {
            Error::RecursionLimitExceeded => "items nested too deep",
            _ => "bytes that are not CBOR",
        }
        .to_owned()
    })
}

fn integer(value: i128) -> ciborium::value::Integer {
    // Only for the labels above, which are small.
    ciborium::value::Integer::try_from(value).unwrap_or_else(|_| 0.into())
}

/// What a CBOR item is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a number",
        Value::Bytes(_) => "bytes",
        Value::Float(_) => "a fraction",
        Value::Text(_) => "text",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
        Value::Tag(..) => "a tagged item",
        Value::Array(_) => "an array",
        Value::Map(_) => "a map",
        _ => "an unknown item",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_byte_strings_are_those_of_a_cbor_encoder() {
        for length in [0, 1, 23, 24, 255, 256, 4096, 16 * 1024] {
            let mut expected = Vec::new();
            ciborium::into_writer(&Value::Bytes(vec![0; length]), &mut expected).unwrap();
            let mut head = Vec::new();
            byte_string_head(&mut head, length);
            assert_eq!(head, expected[..expected.len() - length], "{length}");
        }
    }

    #[test]
    fn a_length_that_the_document_does_not_have_costs_nothing() {
        // An array, a byte string and a map that claim 2^32 and more entries.
        for head in [
            &[0x9a, 0xff, 0xff, 0xff, 0xff][..],
            &[0x5b, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0xba, 0xff, 0xff, 0xff, 0xff],
        ] {
            let mut bytes = head;
            assert!(read(&mut bytes).is_err());
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = [0x81; 400];
        assert_eq!(read(&mut &nested[..]).unwrap_err(), "items nested too deep");
    }
}
