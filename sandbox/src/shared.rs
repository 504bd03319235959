//! The units of a job in memory that its workers share, read-only.
//!
//! The pool writes them once; a worker finds them mapped when it starts, and hands them to
//! the code as they lie there. So rows are in memory once, whatever the number of workers,
//! and none is sent. In words of 32 bits, little-endian as the machine:
//!
//! 1. how many units there are,
//! 2. [`ENTRY`] words for each: where its numbers begin (low half, high half), its rows,
//!    whether they fit the job, and its stream (low half, high half),
//! 3. the numbers of each unit: features, then targets.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use zeroize::Zeroize;

use crate::protocol::{halves, whole};
use crate::tensors::Shared;
use crate::units::UnitRows;

/// Words of a unit in the index.
const ENTRY: usize = 6;

/// Numbers of units that were copied and freed before their memory goes back to the system:
/// 16 MiB. So rows are never in memory twice.
const FREED_AT_ONCE: usize = 4 << 20;

/// Memory with the units of a job.
pub(crate) struct SharedUnits {
    file: File,
    count: u32,
}

impl SharedUnits {
    /// Takes the units over; each is erased as soon as it is copied. Those that do not fit
    /// the job's columns stay without rows.
    ///
    /// Fails if the system has no memory for it. There are at most 2^32 - 1 units.
    pub(crate) fn new(units: Vec<UnitRows>, features: u32, targets: u32) -> io::Result<Self> {
        let count = u32::try_from(units.len()).map_err(io::Error::other)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("units", flags)?);
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        out.write_all(&count.to_le_bytes())?;
        let mut offset = 1 + ENTRY as u64 * units.len() as u64;
        for unit in &units {
            let fits = unit.fits(features, targets);
            let [low, high] = halves(offset);
            let [stream_low, stream_high] = halves(unit.stream);
            for word in [low, high, unit.rows, u32::from(fits), stream_low, stream_high] {
                out.write_all(&word.to_le_bytes())?;
            }
            if fits {
                offset += (unit.features.len() + unit.targets.len()) as u64;
            }
        }
        let mut freed = 0;
        for mut unit in units {
            if freed >= FREED_AT_ONCE {
                give_freed_memory_back();
                freed = 0;
            }
            freed += unit.features.len() + unit.targets.len();
            if unit.fits(features, targets) {
                for value in unit.features.iter().chain(&unit.targets) {
                    out.write_all(&value.to_le_bytes())?;
                }
            }
            unit.features.zeroize();
            unit.targets.zeroize();
        }
        out.flush()?;
        drop(out);
        give_freed_memory_back();
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(Self { file, count })
    }

    /// How many units there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// A descriptor for a worker.
    pub(crate) fn descriptor(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// The allocator keeps small pieces that are freed, for as long as something behind them is in
/// use.
#[allow(unsafe_code)]
fn give_freed_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes nothing from anybody; may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The same memory, in a worker.
pub(crate) struct MappedUnits {
    words: &'static [u32],
    numbers: &'static [f32],
}

/// One unit's rows.
pub(crate) struct MappedUnit {
    pub(crate) rows: u32,
    pub(crate) stream: u64,
    pub(crate) features: Shared,
    pub(crate) targets: Shared,
}

impl MappedUnits {
    /// No units.
    pub(crate) fn none() -> Self {
        Self { words: &[], numbers: &[] }
    }

    /// Maps what a pool has written, until this process ends. `None` if it is no such memory.
    #[allow(unsafe_code)]
    pub(crate) fn map(descriptor: impl AsFd) -> io::Result<Option<Self>> {
        let descriptor = descriptor.as_fd();
        let status = rustix::fs::fstat(descriptor)?;
        let sealed = rustix::fs::fcntl_get_seals(descriptor)
            .is_ok_and(|seals| seals.contains(SealFlags::WRITE | SealFlags::SHRINK));
        let length = usize::try_from(status.st_size).unwrap_or(0);
        if !sealed || length == 0 {
            return Ok(None);
        }
        // SAFETY: a new mapping, at an address that the system chooses.
        let start = unsafe {
            let (address, protection) = (std::ptr::null_mut(), ProtFlags::READ);
            mmap(address, length, protection, MapFlags::SHARED, descriptor, 0)?
        };
        let words = length / size_of::<u32>();
        // SAFETY: the mapping has `length` bytes, begins at a page, and is never taken away.
        // The file is sealed: nobody can write to it or make it shorter. Any bits are numbers
        // of both types.
        let (words, numbers) = unsafe {
            (
                std::slice::from_raw_parts(start.cast::<u32>(), words),
                std::slice::from_raw_parts(start.cast::<f32>(), words),
            )
        };
        Ok(Some(Self { words, numbers }))
    }

    /// How many units there are.
    pub(crate) fn count(&self) -> u32 {
        self.words.first().copied().unwrap_or(0)
    }

    /// A unit, if there is one of this number and its rows fit the job.
    pub(crate) fn get(&self, unit: u32, features: u32, targets: u32) -> Option<MappedUnit> {
        if unit >= self.count() {
            return None;
        }
        let entry = self.words.get(1 + ENTRY * unit as usize..)?.first_chunk::<ENTRY>()?;
        let [low, high, rows, fits, stream_low, stream_high] = *entry;
        if fits != 1 {
            return None;
        }
        let numbers = self.numbers.get(usize::try_from(whole(low, high)).ok()?..)?;
        let count = |columns: u32| (rows as usize).checked_mul(columns as usize);
        let (features, numbers) = numbers.split_at_checked(count(features)?)?;
        let (targets, _) = numbers.split_at_checked(count(targets)?)?;
        let stream = whole(stream_low, stream_high);
        let (features, targets) = (Shared::rows(features), Shared::rows(targets));
        Some(MappedUnit { rows, stream, features, targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(rows: u16, start: f32, stream: u64) -> UnitRows {
        UnitRows {
            features: (0..2 * rows).map(|i| start + f32::from(i)).collect(),
            targets: (0..rows).map(|i| -f32::from(i)).collect(),
            rows: rows.into(),
            stream,
        }
    }

    #[test]
    fn what_was_shared_is_what_workers_see() {
        let stream = 0xfeed_0000_beef_0001;
        let mut misfit = unit(2, 7.0, 3);
        misfit.targets.pop();
        let units = vec![unit(1, 0.5, 1), unit(0, 0.0, 2), misfit, unit(3, 9.0, stream)];
        let shared = SharedUnits::new(units.clone(), 2, 1).unwrap();
        assert_eq!(shared.count(), 4);
        let mapped = MappedUnits::map(&shared.file).unwrap().unwrap();
        for number in [0, 1, 3] {
            let found = mapped.get(number, 2, 1).unwrap();
            let expected = &units[number as usize];
            assert_eq!(found.features.get(), expected.features);
            assert_eq!(found.targets.get(), expected.targets);
            assert_eq!((found.rows, found.stream), (expected.rows, expected.stream));
        }
        assert!(mapped.get(2, 2, 1).is_none(), "does not fit");
        assert!(mapped.get(4, 2, 1).is_none() && mapped.get(u32::MAX, 2, 1).is_none());
        // Columns that the memory does not have.
        assert!(mapped.get(3, u32::MAX, 1).is_none());
    }

    #[test]
    fn nobody_can_write_to_it_or_cut_it() {
        let shared = SharedUnits::new(vec![unit(1, 0.5, 1)], 2, 1).unwrap();
        let mut file = shared.descriptor().unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(4).is_err());
        assert!(MappedUnits::map(File::open("/dev/null").unwrap()).unwrap().is_none());
    }
}
