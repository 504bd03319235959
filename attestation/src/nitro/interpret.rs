//! A verified document's fields, each by its own rule. Unknown fields are left alone: AWS may
//! add some.

use ciborium::Value;

use super::claims::{Claims, Optional};
use super::envelope::{Envelope, kind};
use super::{Pcr, PcrIndex, Pcrs, limits, rules};
use crate::certificate::Leaf;
use crate::text;
use crate::verdict::{Checks, Rule, Stop};

/// Interprets every field, and reports all that are wrong.
pub(super) fn claims(
    envelope: &Envelope,
    leaf: &Leaf,
    checks: &mut Checks,
) -> Result<Claims, Stop> {
    let module_id = module_id(envelope, checks);
    let digest = digest(envelope, checks);
    let timestamp_ms = timestamp(envelope, checks);
    let pcrs = pcrs(envelope, checks);
    let public_key = optional(envelope, "public_key", 1, &rules::FIELD_PUBLIC_KEY, checks);
    let user_data = optional(envelope, "user_data", 0, &rules::FIELD_USER_DATA, checks);
    let nonce = optional(envelope, "nonce", 0, &rules::FIELD_NONCE, checks);

    digest?;
    let pcrs = pcrs?;
    Ok(Claims {
        module_id: module_id?,
        timestamp_ms: timestamp_ms?,
        debug: Claims::are_debug(&pcrs),
        pcrs,
        public_key: public_key?,
        user_data: user_data?,
        nonce: nonce?,
        certificate_not_after: leaf.not_after,
        root_sha256: envelope.root_sha256(),
    })
}

fn module_id(envelope: &Envelope, checks: &mut Checks) -> Result<String, Stop> {
    const EXPECTED: &str = "text of 1 to 256 bytes";
    let found = match envelope.field("module_id") {
        Some(Value::Text(text)) if (1..=limits::MODULE_ID).contains(&text.len()) => {
            checks.pass(&rules::FIELD_MODULE_ID, EXPECTED, text::quoted(text));
            return Ok(text.clone());
        }
        Some(Value::Text(text)) => format!("text of {} bytes", text.len()),
        other => missing_or_kind(other),
    };
    Err(checks.stop(&rules::FIELD_MODULE_ID, EXPECTED, found))
}

fn digest(envelope: &Envelope, checks: &mut Checks) -> Result<(), Stop> {
    let (holds, found) = match envelope.field("digest") {
        Some(Value::Text(name)) => (name == "SHA384", text::quoted(name)),
        other => (false, missing_or_kind(other)),
    };
    checks.require(&rules::FIELD_DIGEST, holds, "\"SHA384\"", found)
}

fn timestamp(envelope: &Envelope, checks: &mut Checks) -> Result<u64, Stop> {
    const EXPECTED: &str = "milliseconds, greater than 0";
    let found = match envelope.field("timestamp") {
        Some(Value::Integer(value)) => match u64::try_from(*value) {
            Ok(milliseconds) if milliseconds > 0 => {
                let found = text::time(milliseconds / 1000);
                checks.pass(&rules::FIELD_TIMESTAMP, EXPECTED, found);
                return Ok(milliseconds);
            }
            _ => i128::from(*value).to_string(),
        },
        other => missing_or_kind(other),
    };
    Err(checks.stop(&rules::FIELD_TIMESTAMP, EXPECTED, found))
}

fn pcrs(envelope: &Envelope, checks: &mut Checks) -> Result<Pcrs, Stop> {
    const EXPECTED: &str = "1 to 32 registers of 32, 48 or 64 bytes";
    let result = match envelope.registers() {
        Some(Value::Map(entries)) if (1..=limits::PCRS).contains(&entries.len()) => {
            registers(entries)
        }
        Some(Value::Map(entries)) => Err(format!("{} registers", entries.len())),
        other => Err(missing_or_kind(other)),
    };
    match result {
        Ok(pcrs) => {
            let found = format!("{} registers", pcrs.len());
            checks.pass(&rules::FIELD_PCRS, EXPECTED, found);
            Ok(pcrs)
        }
        Err(found) => Err(checks.stop(&rules::FIELD_PCRS, EXPECTED, found)),
    }
}

fn registers(entries: &[(Value, Value)]) -> Result<Pcrs, String> {
    let mut pcrs = Pcrs::new();
    for (index, value) in entries {
        let index = match index {
            Value::Integer(index) => u8::try_from(*index)
                .ok()
                .and_then(|index| PcrIndex::new(index).ok())
                .ok_or_else(|| format!("index {}", i128::from(*index)))?,
            other => return Err(format!("an index that is {}", kind(other))),
        };
        let value = match value {
            Value::Bytes(bytes) => {
                Pcr::new(bytes.clone()).map_err(|_| format!("{index} of {} bytes", bytes.len()))?
            }
            other => return Err(format!("{index} that is {}", kind(other))),
        };
        if pcrs.insert(index, value).is_some() {
            return Err(format!("{index} twice"));
        }
    }
    Ok(pcrs)
}

fn optional(
    envelope: &Envelope,
    name: &str,
    least: usize,
    rule: &Rule,
    checks: &mut Checks,
) -> Result<Optional, Stop> {
    let expected = format!("absent, null or {least} to {} bytes", limits::OPTIONAL);
    let field = match envelope.field(name) {
        None => Optional::Absent,
        Some(Value::Null) => Optional::Null,
        Some(Value::Bytes(bytes)) if (least..=limits::OPTIONAL).contains(&bytes.len()) => {
            Optional::Bytes(bytes.clone())
        }
        Some(Value::Bytes(bytes)) => {
            return Err(checks.stop(rule, expected, format!("{} bytes", bytes.len())));
        }
        Some(other) => return Err(checks.stop(rule, expected, kind(other))),
    };
    checks.pass(rule, expected, field.shown());
    Ok(field)
}

fn missing_or_kind(value: Option<&Value>) -> String {
    value.map_or("no such field", kind).to_owned()
}
