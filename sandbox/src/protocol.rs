//! Frames between a pool and its workers.
//!
//! To the worker: kind and length, four bytes each, then the body. From the worker:
//! answers whose length the pool knows beforehand, so that a worker never says how
//! much there is to read; only the first model says its shape, and that is checked
//! against a limit. All numbers are little-endian.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::limits::{Limits, MAX_FRAME_BYTES};
use crate::units::UnitRows;

/// The first thing a worker says, when it is confined and ready to run code.
pub(crate) const READY: u32 = 0x5244_5931;

/// Answers without and with values.
pub(crate) const NOTHING: u32 = 0;
pub(crate) const VALUES: u32 = 1;

/// What a frame to a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`Setup`], once, first.
    Setup,
    /// Asks for the first model.
    Init,
    /// Round, model rows, model columns, model values.
    Model,
    /// Unit, rows, stream (low half, high half), features, targets.
    Unit,
    /// Rows, features.
    Score,
}

const KINDS: [Kind; 5] = [Kind::Setup, Kind::Init, Kind::Model, Kind::Unit, Kind::Score];

/// Everything a worker needs to know once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Native code made by the pool's own process.
    #[serde(with = "serde_bytes")]
    pub(crate) component: Vec<u8>,
    pub(crate) limits: Limits,
    pub(crate) params: Vec<(String, f64)>,
    pub(crate) seed: [u8; 32],
    pub(crate) features: u32,
    pub(crate) targets: u32,
}

/// Appends a frame: a header of whole numbers, then arrays of numbers.
pub(crate) fn push_frame(out: &mut Vec<u8>, kind: Kind, header: &[u32], arrays: &[&[f32]]) {
    let values: usize = arrays.iter().map(|values| values.len()).sum();
    push_head(out, kind, 4 * (header.len() + values));
    for number in header {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for values in arrays {
        push_values(out, values);
    }
}

/// Appends a unit's frame.
pub(crate) fn push_unit(out: &mut Vec<u8>, unit: u32, rows: &UnitRows) {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = rows.stream.to_le_bytes();
    let stream = [[b0, b1, b2, b3], [b4, b5, b6, b7]].map(u32::from_le_bytes);
    let header = [unit, rows.rows, stream[0], stream[1]];
    push_frame(out, Kind::Unit, &header, &[&rows.features, &rows.targets]);
}

/// Appends the setup frame.
pub(crate) fn push_setup(out: &mut Vec<u8>, setup: &Setup) -> io::Result<()> {
    let mut body = Vec::new();
    ciborium::into_writer(setup, &mut body).map_err(io::Error::other)?;
    push_head(out, Kind::Setup, body.len());
    out.extend_from_slice(&body);
    Ok(())
}

/// Lengths here are the pool's own and below [`MAX_FRAME_BYTES`]; one that is not makes
/// a frame that the worker refuses.
fn push_head(out: &mut Vec<u8>, kind: Kind, length: usize) {
    let code = KINDS.iter().position(|known| *known == kind).unwrap_or(0);
    for number in [code, length] {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Appends numbers.
pub(crate) fn push_values(out: &mut Vec<u8>, values: &[f32]) {
    out.reserve(4 * values.len());
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Numbers from bytes; trailing bytes that make no number are ignored.
pub(crate) fn values(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))
}

/// A whole number at the start of `bytes`.
pub(crate) fn number(bytes: &[u8], index: usize) -> Option<u32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.get(index).map(|b| u32::from_le_bytes(*b))
}

/// Reads a frame into `body`. `None` when the pool has closed the channel.
pub(crate) fn read_frame(from: &mut impl Read, body: &mut Vec<u8>) -> io::Result<Option<Kind>> {
    let mut head = [0; 8];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let code = number(&head, 0).and_then(|code| KINDS.get(code as usize));
    let length = number(&head, 1).unwrap_or(u32::MAX) as usize;
    let (Some(kind), true) = (code, length <= MAX_FRAME_BYTES) else {
        return Err(malformed());
    };
    body.clear();
    body.resize(length, 0);
    from.read_exact(body)?;
    Ok(Some(*kind))
}

/// Splits the body of a unit's frame.
pub(crate) fn parse_unit(body: &[u8], features: u32, targets: u32) -> Option<(u32, UnitRows)> {
    let [unit, rows, low, high] = [0, 1, 2, 3].map(|index| number(body, index));
    let (unit, rows, low, high) = (unit?, rows?, low?, high?);
    let stream = u64::from(high) << 32 | u64::from(low);
    let (values_of_features, values_of_targets) = (
        (rows as usize).checked_mul(features as usize)?,
        (rows as usize).checked_mul(targets as usize)?,
    );
    let body = &body[16..];
    let split = values_of_features.checked_mul(4)?;
    if body.len() != split.checked_add(values_of_targets.checked_mul(4)?)? {
        return None;
    }
    let (first, second) = body.split_at(split);
    let (features, targets) = (values(first).collect(), values(second).collect());
    Some((unit, UnitRows { features, targets, rows, stream }))
}

pub(crate) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_survives_its_frame() {
        let unit = UnitRows {
            features: vec![1.0, -2.5, 3.0, 4.0],
            targets: vec![0.0, 1.0],
            rows: 2,
            stream: 3 << 32 | 5,
        };
        let mut bytes = Vec::new();
        push_unit(&mut bytes, 7, &unit);
        let mut body = Vec::new();
        let kind = read_frame(&mut &bytes[..], &mut body).unwrap();
        assert_eq!(kind, Some(Kind::Unit));
        let (index, read) = parse_unit(&body, 2, 1).unwrap();
        assert!(index == 7 && read == unit);
        assert!(parse_unit(&body, 3, 1).is_none());
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_allocated() {
        let mut bytes = vec![4, 0, 0, 0];
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(read_frame(&mut &bytes[..], &mut Vec::new()).is_err());
    }
}
