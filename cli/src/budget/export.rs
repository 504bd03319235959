//! `cloister budget history --export`: the log for an auditor.

use std::{
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use cloister_broker::ledger::{Entry, GrantLog};
use cloister_protocol::{Digest, Signed};

use crate::{
    error::{Context, Error, Result},
    files::Draft,
    home::OwnerHome,
};

/// Signs the log and writes it to a file that is not there yet.
pub(super) fn export(owner: &OwnerHome, entries: &[(Entry, Digest)], file: &Path) -> Result<()> {
    if file.exists() {
        let file = file.display();
        return Err(Error::failed(format!(
            "{file} is there already: name another file with --export"
        )));
    }
    let made = SystemTime::now().duration_since(UNIX_EPOCH).doing("the clock")?.as_secs();
    let entries = entries.iter().map(|(entry, _)| entry);
    let log = GrantLog::new(*owner.home.id(), made, entries).map_err(Error::failed)?;
    let signed = Signed::sign(&log, &owner.key).doing("cannot sign the log")?;
    let mut draft = Draft::begin(file, &[], false)?;
    draft.write_all(signed.as_bytes()).with_path(file)?;
    draft.commit()
}
