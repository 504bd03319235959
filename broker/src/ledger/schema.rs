//! The file: how it is made, opened and told from other files.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use cloister_party::files::{LEDGER_APPLICATION, sync_directory};
use cloister_protocol::KeyId;
use rusqlite::{Connection, OpenFlags};

use super::LedgerError;

const VERSION: i64 = 1;

/// How long a request waits for another writer.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// A job and a population are together once in the log, whoever asks and however often.
const TABLES: &str = "
    CREATE TABLE owner (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        key BLOB NOT NULL
    ) STRICT;
    CREATE TABLE nonces (
        nonce BLOB PRIMARY KEY,
        peer BLOB NOT NULL,
        until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX nonces_until ON nonces (until);
    CREATE INDEX nonces_peer ON nonces (peer, until);
    CREATE TABLE log (
        seq INTEGER PRIMARY KEY CHECK (seq > 0),
        digest BLOB NOT NULL UNIQUE,
        population TEXT,
        job BLOB,
        cost INTEGER CHECK (cost >= 0),
        entry BLOB NOT NULL,
        CHECK ((population IS NULL) = (job IS NULL)),
        CHECK ((population IS NULL) = (cost IS NULL)),
        UNIQUE (job, population)
    ) STRICT;
    CREATE INDEX log_population ON log (population, cost);
    CREATE TABLE grants (
        transcript BLOB PRIMARY KEY,
        nonce BLOB NOT NULL UNIQUE,
        seq INTEGER NOT NULL REFERENCES log (seq),
        response BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes the file, and its directory entry durable. It has another name until it is
/// complete: after a crash there is a ledger or none, and never half of one.
pub(super) fn create(path: &Path, owner: &KeyId) -> Result<Connection, LedgerError> {
    let new = unfinished(path);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // Owner-readable only, from the first byte on.
    private(&new)?;
    let mut connection = Connection::open_with_flags(&new, flags())?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO owner (id, key) VALUES (1, ?1)", [owner_bytes(owner)])?;
    transaction.pragma_update(None, "application_id", LEDGER_APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(directory)?;
    }
    open(path, owner)
}

/// The name of a ledger that is being made.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("sqlite-new")
}

/// Opens the file and checks that it is a ledger, of this version and owner.
pub(super) fn open(path: &Path, owner: &KeyId) -> Result<Connection, LedgerError> {
    let connection = connect(path)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("application_id")? != i64::from(LEDGER_APPLICATION) {
        return Err(LedgerError::Foreign(format!("{} is not a ledger", path.display())));
    }
    let version = number("user_version")?;
    if version != VERSION {
        let found = format!("ledger format {version}; this build reads format {VERSION}");
        return Err(LedgerError::Foreign(found));
    }
    let key: Vec<u8> =
        connection.query_row("SELECT key FROM owner WHERE id = 1", [], |row| row.get(0))?;
    if key != owner_bytes(owner) {
        return Err(LedgerError::Foreign("the ledger belongs to another owner".to_owned()));
    }
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open_with_flags(path, flags())?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit that was answered survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn private(path: &Path) -> Result<File, LedgerError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?)
}

fn owner_bytes(owner: &KeyId) -> Vec<u8> {
    owner.digest().as_bytes().to_vec()
}
