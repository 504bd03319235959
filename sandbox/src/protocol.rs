//! Frames between a pool and its workers.
//!
//! To the worker: kind and length, four bytes each, then the body. From the worker:
//! answers whose length the pool knows beforehand, so that a worker never says how
//! much there is to read; only the first model says its shape, and that is checked
//! against a limit. All numbers are little-endian.

use std::io::{self, Read};
use std::sync::Arc;

use cloister_privacy::{Gate, Metrics};
use serde::{Deserialize, Serialize};

use crate::instance::Model;
use crate::limits::{Limits, MAX_FRAME_BYTES};

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
    /// Round, model rows, model columns, the gate ([`push_gate`]), model values.
    Model,
    /// First unit, number of units: asks for the sum of their updates.
    Units,
    /// A number to answer with, then units: asks for the sum of their updates.
    Some,
    /// Rows, features.
    Score,
    /// Unit: asks for everything about its update. Only where the rows are the caller's own.
    Examine,
    /// Largest loss, steps ([`push_metrics`]), after a model with a gate: spans of units are
    /// then asked for their metrics, not for their updates.
    Metrics,
}

const KINDS: [Kind; 8] = [
    Kind::Setup,
    Kind::Init,
    Kind::Model,
    Kind::Units,
    Kind::Some,
    Kind::Score,
    Kind::Examine,
    Kind::Metrics,
];

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

/// Appends the frame of a model and the gate of its updates.
pub(crate) fn push_model(
    out: &mut Vec<u8>,
    round: u32,
    (rows, columns): (u32, u32),
    gate: Option<&Gate>,
    model: &[f32],
) {
    let (clip, steps) = gate.map_or((0.0, 0), |gate| (gate.clip(), gate.steps()));
    let [clip_low, clip_high] = halves(clip.to_bits());
    let [steps_low, steps_high] = halves(steps);
    let header = [round, rows, columns, clip_low, clip_high, steps_low, steps_high];
    push_frame(out, Kind::Model, &header, &[model]);
}

/// What a model's frame says.
pub(crate) struct ModelFrame {
    pub(crate) round: u32,
    pub(crate) model: Model,
    /// None if no updates will be asked for.
    pub(crate) gate: Option<Gate>,
}

/// Reads the body of a model's frame.
pub(crate) fn parse_model(body: &[u8]) -> Option<ModelFrame> {
    let (header, rest) = body.split_first_chunk::<28>()?;
    let [round, rows, columns, clip_low, clip_high, steps_low, steps_high] =
        [0, 1, 2, 3, 4, 5, 6].map(|index| number(header, index).unwrap_or(0));
    let (clip, steps) = (f64::from_bits(whole(clip_low, clip_high)), whole(steps_low, steps_high));
    let values: Arc<[f32]> = values(rest).collect();
    if values.len() as u64 != u64::from(rows) * u64::from(columns) {
        return None;
    }
    let gate = match steps {
        0 => None,
        _ => Some(Gate::new(clip, steps, values.len()).ok()?),
    };
    Some(ModelFrame { round, model: Model { rows, columns, values }, gate })
}

/// Appends the frame that asks for metrics.
pub(crate) fn push_metrics(out: &mut Vec<u8>, metrics: &Metrics) {
    let [loss_low, loss_high] = halves(metrics.loss().to_bits());
    let [steps_low, steps_high] = halves(metrics.gate().steps());
    push_frame(out, Kind::Metrics, &[loss_low, loss_high, steps_low, steps_high], &[]);
}

/// Reads its body.
pub(crate) fn parse_metrics(body: &[u8]) -> Option<Metrics> {
    let [loss_low, loss_high, steps_low, steps_high] =
        [number(body, 0)?, number(body, 1)?, number(body, 2)?, number(body, 3)?];
    Metrics::new(f64::from_bits(whole(loss_low, loss_high)), whole(steps_low, steps_high)).ok()
}

/// A number of 64 bits as two words, the low one first.
pub(crate) fn halves(number: u64) -> [u32; 2] {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = number.to_le_bytes();
    [[b0, b1, b2, b3], [b4, b5, b6, b7]].map(u32::from_le_bytes)
}

/// The number that two words are.
pub(crate) fn whole(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
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

/// All whole numbers in `bytes`, without what is left over.
pub(crate) fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b))
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

pub(crate) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_survives_its_frame() {
        let gate = Gate::new(0.35, 1024, 4).unwrap();
        for gate in [Some(gate), None] {
            let mut bytes = Vec::new();
            push_model(&mut bytes, 7, (2, 2), gate.as_ref(), &[1.0, -2.5, 3.0, 4.0]);
            let mut body = Vec::new();
            let kind = read_frame(&mut &bytes[..], &mut body).unwrap();
            assert_eq!(kind, Some(Kind::Model));
            let read = parse_model(&body).unwrap();
            assert_eq!((read.round, read.gate), (7, gate));
            assert_eq!((read.model.rows, read.model.columns), (2, 2));
            assert_eq!(read.model.values[..], [1.0, -2.5, 3.0, 4.0]);
            assert!(parse_model(&body[..body.len() - 4]).is_none());
        }
    }

    #[test]
    fn metrics_survive_their_frame() {
        let (metrics, mut bytes, mut body) =
            (Metrics::new(0.3, 1 << 14).unwrap(), Vec::new(), Vec::new());
        push_metrics(&mut bytes, &metrics);
        assert_eq!(read_frame(&mut &bytes[..], &mut body).unwrap(), Some(Kind::Metrics));
        assert_eq!(parse_metrics(&body), Some(metrics));
        assert_eq!(parse_metrics(&body[..12]), None);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_allocated() {
        let mut bytes = vec![4, 0, 0, 0];
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(read_frame(&mut &bytes[..], &mut Vec::new()).is_err());
    }
}
