//! Certificate chains that were verified before.

use std::collections::VecDeque;

use ring::digest::{Context, SHA256};
use rustls_pki_types::UnixTime;

/// How many chains are remembered: those of a fleet's regions, or of its chips.
const CAPACITY: usize = 256;

/// Chains that were verified before, so that their signatures need not be verified again.
///
/// A chain is known by the digest of all its certificates and revocation lists, and only
/// while all of them are valid; everything else about it is checked anew each time. With it,
/// a Nitro document costs two P-384 verifications (the leaf's certificate, new each time, and
/// the document), a SEV-SNP report one. It holds 48 bytes for each of at most 256 chains, the
/// latest.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    chains: VecDeque<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    chain: ChainId,
    validity: Validity,
}

/// The digest of all that a chain consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainId([u8; 32]);

/// From when to when something is valid, both included, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Cache {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn knows(&self, chain: &ChainId, now: UnixTime) -> bool {
        let Ok(now) = i64::try_from(now.as_secs()) else { return false };
        let valid = |validity: Validity| (validity.from..=validity.until).contains(&now);
        self.chains.iter().any(|known| known.chain == *chain && valid(known.validity))
    }

    pub(crate) fn remember(&mut self, chain: ChainId, validity: Validity) {
        self.chains.retain(|known| known.chain != chain);
        if self.chains.len() == CAPACITY {
            self.chains.pop_front();
        }
        self.chains.push_back(Known { chain, validity });
    }
}

impl ChainId {
    /// Of a chain for `what`, which no chain for anything else is taken for.
    pub(crate) fn of<'a>(what: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(what.as_bytes());
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }
}

impl Validity {
    /// Without a beginning or an end.
    pub(crate) fn always() -> Self {
        Self { from: i64::MIN, until: i64::MAX }
    }

    /// The time at which all are valid.
    pub(crate) fn of_all(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::always(), |a, b| Self {
            from: a.from.max(b.from),
            until: a.until.min(b.until),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_chain_is_known_while_all_of_it_is_valid() {
        let validity =
            Validity::of_all([Validity { from: 10, until: 30 }, Validity { from: 20, until: 40 }]);
        let chain = ChainId::of("test", [&b"a"[..], b"bc"]);
        let mut cache = Cache::new();
        cache.remember(chain, validity);
        for (seconds, known) in [(19, false), (20, true), (30, true), (31, false)] {
            assert_eq!(cache.knows(&chain, at(seconds)), known, "{seconds}");
        }
        for other in [ChainId::of("test", [&b"ab"[..], b"c"]), ChainId::of("t", [&b"a"[..], b"bc"])]
        {
            assert!(!cache.knows(&other, at(25)));
        }
    }

    #[test]
    fn the_oldest_chain_is_forgotten() {
        let mut cache = Cache::new();
        let chain = |number: usize| ChainId::of("test", [&number.to_be_bytes()[..]]);
        for number in 0..=CAPACITY {
            cache.remember(chain(number), Validity { from: 0, until: 1 });
        }
        assert!(!cache.knows(&chain(0), at(0)) && cache.knows(&chain(1), at(0)));
    }
}
