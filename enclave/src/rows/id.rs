//! What a unit is known by while its rows are loaded.

use cloister_protocol::{dataset::HeaderCore, digest::Hasher};
use zeroize::Zeroize;

/// 256 bits of a digest of owner, population and the unit's id. Erased when dropped.
///
/// It stands for the id itself when tables are joined: whoever finds two ids with one of
/// these has broken SHA-512. A shorter one would not do, for people who choose their ids
/// could then be joined to others. And it has the same length for every unit, so that what
/// it takes in memory is public, and no name is kept.
///
/// A number is as its bytes, so units are the same by value if their columns have the same
/// type, which [`Joined`](cloister_protocol::dataset::Joined) demands.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnitId([u8; 32]);

impl UnitId {
    /// Bytes of one.
    pub(super) const BYTES: usize = 32;

    /// That of the unit with this id: the same in every table of a population, whatever
    /// other units there are and in whatever order.
    pub(super) fn of(header: &HeaderCore, unit: &[u8]) -> Self {
        let mut hasher = Hasher::new("unit-stream");
        hasher.field(header.owner.digest().as_bytes());
        hasher.field(header.population.as_bytes());
        hasher.field(unit);
        let mut id = [0; Self::BYTES];
        id.copy_from_slice(&hasher.finish().as_bytes()[..Self::BYTES]);
        Self(id)
    }

    #[cfg(test)]
    pub(super) fn for_test(id: [u8; Self::BYTES]) -> Self {
        Self(id)
    }

    /// The unit's stream of random numbers: the first 64 bits.
    pub(super) fn stream(&self) -> u64 {
        let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = self.0;
        u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7])
    }
}

impl Drop for UnitId {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
