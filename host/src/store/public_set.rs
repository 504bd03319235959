//! Public evaluation sets.

use std::io::Write;

use cloister_protocol::{Digest, job::PublicSet, limits};

use super::{Folder, Store, StoreError, read_if_there};

impl Store {
    /// Takes a public set, whatever it is: the enclave reads it, and refuses the job
    /// when it cannot.
    pub fn put_public_set(&self, bytes: &[u8]) -> Result<PublicSet, StoreError> {
        if bytes.is_empty() {
            return Err(StoreError::Empty("public set"));
        }
        let length = bytes.len() as u64;
        if length > limits::PUBLIC_SET {
            return Err(StoreError::TooLarge { what: "public set", limit: limits::PUBLIC_SET });
        }
        let set = PublicSet { digest: Digest::of("public-set", &[bytes]), length };
        let mut incoming = self.receive()?;
        incoming.write_all(bytes)?;
        incoming.publish(&self.folder(Folder::PublicSets).join(set.digest.to_hex()))?;
        Ok(set)
    }

    /// The public set with this digest.
    pub fn public_set(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(read_if_there(&self.folder(Folder::PublicSets).join(digest.to_hex()))?)
    }

    /// Whether the host holds the public set with this digest.
    #[must_use]
    pub fn has_public_set(&self, digest: &Digest) -> bool {
        self.folder(Folder::PublicSets).join(digest.to_hex()).is_file()
    }
}
