//! From a sealed body to the rows of each unit.
//!
//! # The plaintext
//!
//! An Arrow IPC stream, uncompressed and without dictionaries, of any number of record
//! batches. Its columns are the header's, all of them, in the header's order and with
//! its names: `f64` is `Float64`, `i64` is `Int64`, `text` is `Utf8`. A public set has
//! the same columns; its unit column may be left out.
//!
//! # What becomes of a value
//!
//! 1. A null or NaN becomes the column's typical value; anything else is clamped to the
//!    column's bounds. So a row cannot be refused for what is in it.
//! 2. A feature becomes `(x - typical) / (upper - lower)`, a target stays `x`; both are
//!    rounded to `f32`.
//! 3. Rows are grouped by unit, units in the order in which they first appear. A row
//!    without a unit id is the one thing that cannot be repaired: such a dataset is
//!    refused, before any code has seen a row of it.
//!
//! # Memory
//!
//! Of one dataset with `n` rows and `c` columns of eight bytes, the peak is its plaintext
//! (`8 n c`, allocated once and exactly, decrypted into in place), the grouped rows
//! (`4 n c`, allocated exactly, too), a word for each row, and for each unit the 32 bytes
//! that it is known by and what holds its rows: 1.5 times the plaintext and some 200 bytes a
//! unit. Arrow's arrays are views into the plaintext. The sealed body is never held:
//! at most one chunk of it. The plaintext is erased and freed as soon as it is grouped,
//! so a job needs half of all its datasets, and the plaintext of those that load at once.
//! What several tables of one population take besides is in [`join`](fn@join)'s module.

mod body;
mod groups;
mod id;
mod join;
mod shape;
mod stream;
mod units;

pub use body::{BodyError, BodyReader, Plaintext};
pub use join::{Table, join};
pub use shape::{Range, Shape};
pub use units::Units;

use arrow_buffer::Buffer;
use cloister_protocol::dataset::{DatasetManifest, HeaderCore};
use thiserror::Error;

/// Why a plaintext was refused. It never says which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RowsError {
    /// Not an uncompressed Arrow IPC stream, or cut off.
    #[error("the plaintext is not an uncompressed Arrow IPC stream: seal the dataset again")]
    Stream,
    /// Other columns than the header's.
    #[error("the columns of the plaintext are not those of the header: seal the dataset again")]
    Columns,
    /// A row without a unit.
    #[error("a row has no unit id: leave such rows out and seal the dataset again")]
    NullUnit,
    /// Rows or units are not as many as in the manifest, or a unit has more than it may.
    #[error("rows or units are not as many as the manifest says: seal the dataset again")]
    Counts,
}

/// The units of a dataset whose hash has been checked, as a table of their population.
///
/// # Errors
///
/// [`RowsError`], which does not depend on values but for [`RowsError::NullUnit`].
pub fn table(
    plaintext: Plaintext,
    header: &HeaderCore,
    manifest: &DatasetManifest,
) -> Result<Table, RowsError> {
    group(plaintext.into_buffer(), header, manifest)
}

/// The same of a plaintext that is the caller's own.
///
/// # Errors
///
/// As for [`table`].
pub fn grouped(
    plaintext: Vec<u8>,
    header: &HeaderCore,
    manifest: &DatasetManifest,
) -> Result<Table, RowsError> {
    group(Buffer::from_vec(plaintext), header, manifest)
}

fn group(
    buffer: Buffer,
    header: &HeaderCore,
    manifest: &DatasetManifest,
) -> Result<Table, RowsError> {
    let batches = stream::batches(buffer, header, stream::UnitColumn::Required)?;
    units::group(&batches, header, manifest)
}

/// A public evaluation set: all rows, as if they were one unit.
///
/// # Errors
///
/// [`RowsError::Stream`] and [`RowsError::Columns`].
pub fn public(bytes: Vec<u8>, header: &HeaderCore) -> Result<Units, RowsError> {
    let buffer = Buffer::from_vec(bytes);
    let batches = stream::batches(buffer, header, stream::UnitColumn::Optional)?;
    units::ungrouped(&batches, header)
}

#[cfg(test)]
mod tests;
