//! Signed code.

use cloister_protocol::{
    Id,
    code::{CodeFile, CodeManifest},
    limits,
};

use super::{Folder, Store, StoreError, read_if_there};
use std::io::Write;

/// The most bytes of a file of signed code.
pub const CODE_LIMIT: u64 = limits::COMPONENT + limits::SIGNED_OBJECT as u64;

impl Store {
    /// Takes a file of signed code: the author's signature, the rules on the manifest
    /// and the component's digest are checked. Who the author is, is for the owners to
    /// judge.
    pub fn put_code(&self, bytes: &[u8]) -> Result<Id<CodeManifest>, StoreError> {
        let (_, id) = check(bytes)?;
        let mut incoming = self.receive()?;
        incoming.write_all(bytes)?;
        incoming.publish(&self.folder(Folder::Code).join(id.to_string()))?;
        Ok(id)
    }

    /// The code with this manifest, checked again.
    pub fn code(&self, id: &Id<CodeManifest>) -> Result<Option<CodeFile>, StoreError> {
        let path = self.folder(Folder::Code).join(id.to_string());
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let (file, _) = check(&bytes)?;
        Ok(Some(file))
    }

    /// Whether the host holds the code with this manifest.
    #[must_use]
    pub fn has_code(&self, id: &Id<CodeManifest>) -> bool {
        self.folder(Folder::Code).join(id.to_string()).is_file()
    }
}

fn check(bytes: &[u8]) -> Result<(CodeFile, Id<CodeManifest>), StoreError> {
    if bytes.is_empty() {
        return Err(StoreError::Empty("code"));
    }
    if bytes.len() as u64 > CODE_LIMIT {
        return Err(StoreError::TooLarge { what: "file of code", limit: CODE_LIMIT });
    }
    let file = CodeFile::from_bytes(bytes)?;
    let manifest = file.manifest.open_by_anyone()?;
    manifest.value.validate()?;
    manifest.value.check_component(&file.component)?;
    Ok((file, manifest.id))
}
