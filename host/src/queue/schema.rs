//! The tables.

use cloister_party::files::QUEUE_APPLICATION;
use rusqlite::Connection;

use super::QueueError;

const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        job BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('queued', 'preparing', 'granting', 'loading', 'running', 'done', 'failed')),
        detail TEXT NOT NULL DEFAULT '',
        failure_from TEXT,
        failure_code TEXT,
        failure_message TEXT,
        transcript TEXT,
        releases INTEGER NOT NULL DEFAULT 0,
        of INTEGER NOT NULL,
        submitted INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        CHECK ((state = 'failed') = (failure_code IS NOT NULL)),
        CHECK (state <> 'done' OR releases = of)
    ) STRICT;
    CREATE INDEX jobs_by_state ON jobs (state, seq);
    CREATE INDEX jobs_by_owner ON jobs (owner, seq);
    CREATE TABLE releases (
        job TEXT NOT NULL REFERENCES jobs (id),
        number INTEGER NOT NULL,
        receipt TEXT NOT NULL,
        tensors TEXT NOT NULL,
        received INTEGER NOT NULL,
        PRIMARY KEY (job, number)
    ) STRICT;
    PRAGMA user_version = 1;
";

/// Sets durability, and makes the tables in an empty database.
pub(super) fn prepare(database: &mut Connection) -> Result<(), QueueError> {
    // Before the log that is written ahead: it is read from the file alone.
    let application: i64 = database.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == 0 {
        database.pragma_update(None, "application_id", QUEUE_APPLICATION)?;
    }
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "foreign_keys", true)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    let transaction = database.transaction()?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => {}
        0 => transaction.execute_batch(TABLES)?,
        other => return Err(QueueError::Schema(other)),
    }
    Ok(transaction.commit()?)
}
