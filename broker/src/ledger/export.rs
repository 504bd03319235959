//! The log as an auditor gets it: each entry with its digest, signed by the owner.
//!
//! It says which policies were in force, and what was granted for which job, when and at what
//! cost. It holds no key, no grant's sealed half, no challenge and no peer, and nothing that
//! follows from a row. That it is the owner's word, the signature says; that no entry was
//! changed since something was granted on it, the heads in releases do.

use cloister_protocol::{
    Digest, KeyId, Kind, Signed,
    cbor::{self, CborError},
    limits,
    signed::SignedError,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use super::chain::{self, Entry};

/// Bytes of a digest behind each entry.
const DIGEST: usize = 64;

/// Bytes of the length before each entry.
const LENGTH: usize = 4;

/// Room for the envelope and for what is beside the entries.
const BESIDE: usize = 1024;

/// An owner's log, from its first entry to one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantLog {
    /// Always 1.
    pub version: u32,
    /// Whose log it is.
    pub owner: KeyId,
    /// When it was exported, in seconds since 1970, by the owner's clock.
    pub made: u64,
    /// The entries, oldest first: of each its length in four bytes, big-endian, its CBOR, and
    /// its digest. Not in CBOR, so that each is held against its limit before it is read.
    pub entries: ByteBuf,
}

impl Kind for GrantLog {
    const KIND: &'static str = "grant-log";
    const LIMIT: usize = limits::GRANT_LOG;
}

/// A log whose chain holds from the first entry to its head.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedLog {
    /// Whose log it is.
    pub owner: KeyId,
    /// When it was exported, in seconds since 1970, by the owner's clock.
    pub made: u64,
    /// The entries with their digests, oldest first.
    pub entries: Vec<(Entry, Digest)>,
    /// The digest of the last entry; of an empty log, what comes before the first.
    pub head: Digest,
}

/// Why an exported log was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// Not signed, altered since, or something else.
    #[error("[log-signature] {0}: ask the owner to export it again")]
    Signed(#[from] SignedError),
    /// Signed by somebody else.
    #[error(
        "[log-signer] this log of owner {owner} is signed by {signer}: only its owner's word \
         counts; ask the owner for its own export"
    )]
    Signer {
        /// Whose log it says it is.
        owner: KeyId,
        /// Who signed it.
        signer: KeyId,
    },
    /// A version that this build does not read.
    #[error("[log-version] format version {0}; this build reads version 1")]
    Version(u32),
    /// It ends inside an entry.
    #[error("[log-cut] it ends inside entry {seq}: ask the owner to export it again")]
    Cut {
        /// The entry.
        seq: u64,
    },
    /// An entry that no ledger has.
    #[error("[log-entry-length] entry {seq} has {found} bytes; an entry has at most {limit}")]
    EntryLength {
        /// The entry.
        seq: u64,
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// An entry that cannot be read.
    #[error("[log-entry] entry {seq} cannot be read: {source}")]
    Entry {
        /// The entry.
        seq: u64,
        /// What is wrong with it.
        source: CborError,
    },
    /// An entry is missing, or there twice.
    #[error(
        "[log-sequence] entry {found} is where entry {expected} has to be: entries were taken \
         out, added or moved"
    )]
    Sequence {
        /// The number that it has to have.
        expected: u64,
        /// The number that it has.
        found: u64,
    },
    /// An entry is not the one that was logged.
    #[error(
        "[log-altered] the digest of entry {seq} does not follow from it and those before: it, \
         or one before it, was altered"
    )]
    Altered {
        /// The entry.
        seq: u64,
    },
    /// Too long to be exported.
    #[error(
        "[log-too-long] a log of {found} bytes, where at most {limit} can be exported: have it \
         audited in the owner's home, with `cloister budget history --results`"
    )]
    TooLong {
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

impl GrantLog {
    /// A log of these entries; their digests are computed.
    ///
    /// # Errors
    ///
    /// [`LogError::TooLong`].
    pub fn new<'a>(
        owner: KeyId,
        made: u64,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Self, LogError> {
        let (mut bytes, mut head) = (Vec::new(), chain::genesis(&owner));
        for entry in entries {
            let written = cbor::encode(entry);
            head = chain::link(&head, entry);
            // No entry is longer than four bytes can say; if one were, the log is too long.
            let length = u32::try_from(written.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&written);
            bytes.extend_from_slice(head.as_bytes());
        }
        let (found, limit) = (bytes.len(), Self::LIMIT - BESIDE);
        if found > limit {
            return Err(LogError::TooLong { found, limit });
        }
        Ok(Self { version: 1, owner, made, entries: bytes.into() })
    }

    /// Opens a log as a file has it: its owner's signature, and then its chain.
    ///
    /// # Errors
    ///
    /// [`LogError`], by the first thing that does not hold.
    pub fn open(bytes: Vec<u8>) -> Result<CheckedLog, LogError> {
        let log = Signed::<Self>::from_bytes(bytes).open_by_anyone()?;
        let (owner, signer) = (log.value.owner, log.signer.id());
        if owner != signer {
            return Err(LogError::Signer { owner, signer });
        }
        log.value.check()
    }

    /// Reads the entries and follows their chain. Whose signature it has is not asked.
    ///
    /// # Errors
    ///
    /// [`LogError`], by the first entry that does not fit.
    pub fn check(&self) -> Result<CheckedLog, LogError> {
        let Self { version, owner, made, entries: bytes } = self;
        if *version != 1 {
            return Err(LogError::Version(*version));
        }
        let (mut rest, mut entries) = (&bytes[..], Vec::new());
        let mut head = chain::genesis(owner);
        for seq in 1.. {
            if rest.is_empty() {
                break;
            }
            let (entry, digest) = split(&mut rest, seq)?;
            let entry: Entry = cbor::decode(entry, limits::SIGNED_OBJECT)
                .map_err(|source| LogError::Entry { seq, source })?;
            if entry.seq != seq {
                return Err(LogError::Sequence { expected: seq, found: entry.seq });
            }
            head = chain::link(&head, &entry);
            if head != digest {
                return Err(LogError::Altered { seq });
            }
            entries.push((entry, head));
        }
        Ok(CheckedLog { owner: *owner, made: *made, entries, head })
    }
}

/// Takes one entry and its digest off the beginning.
fn split<'a>(rest: &mut &'a [u8], seq: u64) -> Result<(&'a [u8], Digest), LogError> {
    let cut = || LogError::Cut { seq };
    let (length, behind) = rest.split_first_chunk::<LENGTH>().ok_or_else(cut)?;
    let found = u32::from_be_bytes(*length) as usize;
    let limit = limits::SIGNED_OBJECT;
    if found > limit {
        return Err(LogError::EntryLength { seq, found, limit });
    }
    let (entry, behind) = behind.split_at_checked(found).ok_or_else(cut)?;
    let (digest, behind) = behind.split_first_chunk::<DIGEST>().ok_or_else(cut)?;
    *rest = behind;
    Ok((entry, Digest::from_bytes(*digest)))
}

#[cfg(test)]
mod tests {
    use cloister_protocol::SigningKey;

    use super::*;
    use crate::{ledger::Event, scene::key};

    fn policies(count: u64) -> Vec<Entry> {
        let event = |version| Event::Policy { version, policy: Digest::of("policy", &[]) };
        (1..=count).map(|seq| Entry { seq, time: 1000 + seq, event: event(seq) }).collect()
    }

    fn log(owner: &SigningKey, entries: &[Entry]) -> GrantLog {
        GrantLog::new(owner.id(), 2000, entries).unwrap()
    }

    fn refused(log: &GrantLog) -> String {
        log.check().unwrap_err().to_string()
    }

    #[test]
    fn a_log_is_read_as_it_was_written() {
        let owner = key();
        for count in [0, 1, 3] {
            let log = log(&owner, &policies(count));
            let bytes = Signed::sign(&log, &owner).unwrap().as_bytes().to_vec();
            let read = GrantLog::open(bytes).unwrap();
            let entries: Vec<_> = read.entries.iter().map(|(entry, _)| entry.clone()).collect();
            assert_eq!((read.owner, read.made, &entries), (owner.id(), 2000, &policies(count)));
            let last = read.entries.last().map_or(chain::genesis(&owner.id()), |(_, d)| *d);
            assert_eq!(read.head, last);
        }
    }

    #[test]
    fn a_log_that_its_owner_did_not_sign_is_refused() {
        let (owner, other) = (key(), key());
        let log = log(&owner, &policies(2));
        let open = |bytes: &[u8]| GrantLog::open(bytes.to_vec()).unwrap_err().to_string();
        let theirs = Signed::sign(&log, &other).unwrap();
        assert!(open(theirs.as_bytes()).starts_with("[log-signer]"));
        let mut ours = Signed::sign(&log, &owner).unwrap().as_bytes().to_vec();
        let place = ours.len() / 2;
        ours[place] ^= 1;
        assert!(open(&ours).starts_with("[log-signature]"));
        assert!(open(b"junk").starts_with("[log-signature]"));
    }

    #[test]
    fn each_change_of_entries_has_its_own_code() {
        let owner = key();
        let whole = log(&owner, &policies(3));
        let each = whole.entries.len() / 3;
        let with = |entries: &[u8]| GrantLog { entries: entries.to_vec().into(), ..whole.clone() };
        let (first, rest) = whole.entries.split_at(each);
        let taken_out = with(&[first, &rest[each..]].concat());
        assert!(refused(&taken_out).starts_with("[log-sequence] entry 3 is where entry 2"));
        assert!(refused(&with(&[first, first].concat())).starts_with("[log-sequence]"));
        for cut in [1, 3, 5, each - 1, each + 2, 3 * each - 1] {
            let seq = cut / each + 1;
            let says = format!("[log-cut] it ends inside entry {seq}");
            assert!(refused(&with(&whole.entries[..cut])).starts_with(&says), "{cut}");
        }
        // Of the second entry: its time, and its digest.
        let time = each + whole.entries[each..].windows(2).position(|w| w == [0x03, 0xea]).unwrap();
        for place in [time, 2 * each - 1] {
            let mut bytes = whole.entries.to_vec();
            bytes[place] ^= 1;
            assert!(refused(&with(&bytes)).starts_with("[log-altered] the digest of entry 2"));
        }
        let mut long = whole.entries.to_vec();
        long[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(refused(&with(&long)).starts_with("[log-entry-length] entry 1"));
        assert!(
            refused(&with(&[&[0, 0, 0, 1, 0xff][..], &[0; 64]].concat()))
                .starts_with("[log-entry]")
        );
        assert!(refused(&GrantLog { version: 2, ..whole.clone() }).starts_with("[log-version]"));
        // And another owner's chain begins elsewhere.
        let others = GrantLog { owner: key().id(), ..whole.clone() };
        assert!(refused(&others).starts_with("[log-altered] the digest of entry 1"));
    }

    #[test]
    fn a_log_that_nobody_would_read_is_not_written() {
        let (owner, one) = (key(), policies(1));
        let each = log(&owner, &one).entries.len();
        let many = limits::GRANT_LOG / each + 1;
        let error = GrantLog::new(owner.id(), 0, std::iter::repeat_n(&one[0], many)).unwrap_err();
        assert!(error.to_string().starts_with("[log-too-long]"), "{error}");
        let most = (limits::GRANT_LOG - BESIDE) / each;
        let log = GrantLog::new(owner.id(), 0, std::iter::repeat_n(&one[0], most)).unwrap();
        let signed = Signed::sign(&log, &owner).unwrap();
        assert!(signed.open_by(&owner.id()).is_ok(), "what is written can be read");
    }
}
