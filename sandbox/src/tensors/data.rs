//! Where a tensor's elements are, or what they follow from.
//!
//! A gradient of a dense layer for one row has as many elements as the layer and follows
//! from a column and a row. It is written down only if a kernel needs it: the gate takes the
//! two as they are. Which form a tensor has follows from the calls and shapes that made it,
//! never from an element's value.

use std::ops::Range;
use std::sync::Arc;

use cloister_privacy::Piece;

use super::{BASE_BYTES, kernels};

/// The elements of one tensor.
pub(super) enum Data {
    /// In memory that the guest may write to.
    Own(Vec<f32>),
    /// Every element is zero.
    Zeros,
    /// All products of the left side with the right one, row by row.
    Outer { left: Vec<f32>, right: Vec<f32> },
    /// One after the other, with the number of elements of each.
    Joined(Vec<(usize, Data)>),
    /// Somebody else's, read-only.
    Shared(Shared),
}

/// Read-only elements that outlive an instance: a model, or the rows of a unit.
#[derive(Clone)]
pub(crate) struct Shared {
    values: Source,
    range: Range<usize>,
}

#[derive(Clone)]
enum Source {
    Model(Arc<[f32]>),
    Rows(&'static [f32]),
}

impl Shared {
    /// A model.
    pub(crate) fn new(values: Arc<[f32]>) -> Self {
        let range = 0..values.len();
        Self { values: Source::Model(values), range }
    }

    /// Rows that stay where they are until the process ends.
    pub(crate) fn rows(values: &'static [f32]) -> Self {
        Self { values: Source::Rows(values), range: 0..values.len() }
    }

    pub(crate) fn get(&self) -> &[f32] {
        let all = match &self.values {
            Source::Model(values) => values,
            Source::Rows(values) => *values,
        };
        &all[self.range.clone()]
    }

    /// Whether both are the same part of one model.
    fn is_same_model(&self, other: &Self) -> bool {
        match (&self.values, &other.values) {
            (Source::Model(one), Source::Model(two)) => {
                Arc::ptr_eq(one, two) && self.range == other.range
            }
            _ => false,
        }
    }

    fn part(&self, offset: usize, count: usize) -> Option<Self> {
        let start = self.range.start.checked_add(offset)?;
        let end = start.checked_add(count)?;
        (end <= self.range.end).then(|| Self { values: self.values.clone(), range: start..end })
    }
}

impl Data {
    /// The elements, which have been written down.
    pub(super) fn values(&self) -> &[f32] {
        match self {
            Self::Own(values) => values,
            Self::Shared(shared) => shared.get(),
            Self::Zeros | Self::Outer { .. } | Self::Joined(_) => {
                debug_assert!(false, "elements are written down before they are read");
                &[]
            }
        }
    }

    /// The elements, written down, if the guest may write to them.
    pub(super) fn own_mut(&mut self) -> Option<&mut [f32]> {
        match self {
            Self::Own(values) => Some(values),
            _ => None,
        }
    }

    /// Bytes that it may take, `len` elements written down. What is shared is not the
    /// instance's.
    pub(super) fn bytes(&self, len: usize) -> Option<usize> {
        let (elements, parts) = match self {
            Self::Shared(_) => (0, 1),
            Self::Joined(parts) => (len, parts.len() + 1),
            _ => (len, 1),
        };
        elements.checked_mul(size_of::<f32>())?.checked_add(parts.checked_mul(BASE_BYTES)?)
    }

    /// Whether both are the same part of one model.
    pub(super) fn is_same_model(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(one), Self::Shared(other)) => one.is_same_model(other),
            _ => false,
        }
    }

    /// A part of a read-only tensor.
    pub(super) fn view(&self, offset: usize, count: usize) -> Option<Self> {
        match self {
            Self::Shared(shared) => shared.part(offset, count).map(Self::Shared),
            _ => None,
        }
    }

    /// Puts the elements, `len` of them, into memory.
    pub(super) fn write_down(&mut self, len: usize) {
        match self {
            Self::Own(_) | Self::Shared(_) => {}
            // From the system, which has zeroed it already.
            Self::Zeros => *self = Self::Own(vec![0.0; len]),
            Self::Outer { .. } | Self::Joined(_) => {
                let mut values = Vec::with_capacity(len);
                self.append_to(len, &mut values);
                *self = Self::Own(values);
            }
        }
    }

    fn append_to(&self, len: usize, out: &mut Vec<f32>) {
        match self {
            Self::Own(values) => out.extend_from_slice(values),
            Self::Shared(shared) => out.extend_from_slice(shared.get()),
            Self::Zeros => out.resize(out.len() + len, 0.0),
            Self::Outer { left, right } => kernels::outer(left, right, out),
            Self::Joined(parts) => parts.iter().for_each(|(len, part)| part.append_to(*len, out)),
        }
    }

    /// The elements, `len` of them, as the gate takes them.
    pub(super) fn pieces<'a>(&'a self, len: usize, out: &mut Vec<Piece<'a>>) {
        match self {
            Self::Own(values) => out.push(Piece::Values(values)),
            Self::Shared(shared) => out.push(Piece::Values(shared.get())),
            Self::Zeros => out.push(Piece::Zeros(len)),
            Self::Outer { left, right } => out.push(Piece::Outer { left, right }),
            Self::Joined(parts) => parts.iter().for_each(|(len, part)| part.pieces(*len, out)),
        }
    }
}
