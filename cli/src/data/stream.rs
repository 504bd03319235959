//! A checked table as an Arrow IPC stream: the plaintext of sealed datasets, and the
//! whole of a public set.

use std::{io::Write, path::Path, sync::atomic::Ordering};

use arrow_ipc::writer::StreamWriter;
use cloister_protocol::limits;
use indicatif::ProgressBar;

use super::{
    Description,
    check::{Checker, Outside},
    table::{Table, schema},
    units::{Counts, UnitCounter},
};
use crate::error::{Context, Error, Result};

/// What became of a table.
#[derive(Clone, Copy, Debug)]
pub struct Streamed {
    /// Rows and units.
    pub counts: Counts,
    /// Values moved to a bound.
    pub clamped: u64,
    /// Features without a value.
    pub missing: u64,
}

/// Reads a table, checks every value and writes the rows to `to`, batch by batch, until
/// the end or until `go_on` fails.
pub fn stream<W: Write>(
    path: &Path,
    description: &Description,
    outside: Outside,
    bar: &ProgressBar,
    go_on: impl Fn() -> Result<()>,
    to: W,
) -> Result<(W, Streamed)> {
    let mut table = Table::open(path, description)?;
    bar.set_length(table.length);
    let mut checker = Checker::new(path, &description.columns, outside);
    let mut units = UnitCounter::new(&description.unit(), &description.columns, random()?);
    let schema = schema(&description.columns);
    let mut writer = StreamWriter::try_new(to, &schema).doing("cannot write")?;
    while let Some(batch) = table.next()? {
        go_on()?;
        let batch = checker.batch(&batch)?;
        units.batch(&batch);
        writer.write(&batch).doing("cannot write")?;
        bar.set_position(table.position.load(Ordering::Relaxed));
    }
    writer.finish().doing("cannot write")?;
    let to = writer.into_inner().doing("cannot write")?;
    let counts = units.counts();
    if counts.rows == 0 {
        return Err(Error::failed(format!("{}: the table has no rows", path.display())));
    }
    let declared = u64::from(description.max_rows_per_unit);
    if counts.largest > declared {
        return Err(Error::failed(format!(
            "{}: a unit has {} rows, at most {declared} are declared: set max-rows-per-unit in the \
             description to a bound that anybody may know, or leave rows out",
            path.display(),
            counts.largest
        )));
    }
    let (clamped, missing) = (checker.clamped, checker.missing);
    Ok((to, Streamed { counts, clamped, missing }))
}

/// A public set: the rows of a table without their units, and how many there are.
pub fn public_set(path: &Path, description: Description) -> Result<(Vec<u8>, u64)> {
    let length = std::fs::metadata(path).with_path(path)?.len();
    let limit = limits::PUBLIC_SET;
    if length > limit {
        let path = path.display();
        return Err(Error::failed(format!("{path}: a public set has at most {limit} bytes")));
    }
    let mut description = description.without_unit();
    "row".clone_into(&mut description.unit);
    let bar = ProgressBar::hidden();
    let (bytes, streamed) =
        stream(path, &description, Outside::Refuse, &bar, || Ok(()), Vec::new())?;
    if bytes.len() as u64 > limit {
        let path = path.display();
        return Err(Error::failed(format!("{path}: more than {limit} bytes as a public set")));
    }
    Ok((bytes, streamed.counts.rows))
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .doing("the system's random number generator failed")?;
    Ok(bytes)
}
