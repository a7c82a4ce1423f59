//! The journal's file: its tables and its settings.

use std::path::Path;
use std::time::Duration;

use obol_tap::{Epoch, Head, TerminalName};
use rusqlite::{Connection, OpenFlags, Result, params};

/// "OBOL" in `PRAGMA application_id`.
const APPLICATION_ID: i32 = 0x4f42_4f4c;
const VERSION: i32 = 1;

/// Records are only ever inserted. What changes later, the gate's mark and the watermark, stands
/// in tables of its own.
const TABLES: &str = "
CREATE TABLE journal (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    terminal TEXT NOT NULL,
    epoch    BLOB NOT NULL CHECK (length(epoch) = 8)
) STRICT;
CREATE TABLE record (
    seq         INTEGER PRIMARY KEY CHECK (seq >= 1),
    bytes       BLOB NOT NULL,
    head        BLOB NOT NULL CHECK (length(head) = 32),
    kid         BLOB NOT NULL CHECK (length(kid) = 4),
    cti         BLOB NOT NULL CHECK (length(cti) = 8),
    issued_at   INTEGER NOT NULL,
    nonce       BLOB NOT NULL CHECK (length(nonce) = 4),
    UNIQUE (cti, kid, issued_at, nonce)
) STRICT;
CREATE TABLE granted (
    seq INTEGER PRIMARY KEY REFERENCES record (seq),
    at  INTEGER NOT NULL
) STRICT;
CREATE TABLE uplink (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    watermark INTEGER NOT NULL CHECK (watermark >= 0),
    head      BLOB NOT NULL CHECK (length(head) = 32)
) STRICT;
";

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing yet: new, or its making was interrupted.
    Empty,
    /// A journal of this version.
    Journal,
    /// Something else.
    Foreign,
}

/// How long one process of a terminal waits for another's write: some fsyncs.
const BUSY_DEADLINE: Duration = Duration::from_secs(5);

/// Opens an existing file and sets everything that durability rests on.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_DEADLINE)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    demand_wal(&connection)?;
    sync_commits(&connection)?;
    Ok(connection)
}

/// SQLite answers with the mode it stays in when a file system cannot hold a WAL.
fn demand_wal(connection: &Connection) -> Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        if mode == "wal" {
            Ok(())
        } else {
            Err(rusqlite::Error::InvalidQuery)
        }
    })
}

/// Every commit from here on returns only after its fsync.
pub(super) fn sync_commits(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")
}

/// A commit from here on survives the process, and reaches the disk with the next synced one.
pub(super) fn defer_commits(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "synchronous", "NORMAL")
}

/// A process that was killed between writing and syncing leaves commits that only the page cache
/// holds. Copying them into the main file syncs them first.
pub(super) fn sync_what_was_found(connection: &Connection) -> Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
    if busy {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, None));
    }
    Ok(())
}

pub(super) fn content(connection: &Connection) -> Result<Content> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (number("application_id")?, number("user_version")?) {
        (APPLICATION_ID, VERSION) => Content::Journal,
        (0, 0) if tables == 0 => Content::Empty,
        _ => Content::Foreign,
    })
}

/// Makes an empty file a journal, in one transaction.
pub(super) fn create(
    connection: &mut Connection,
    terminal: &TerminalName,
    epoch: Epoch,
) -> Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO journal (id, terminal, epoch) VALUES (1, ?1, ?2)",
        params![terminal.as_str(), epoch.0],
    )?;
    transaction.execute(
        "INSERT INTO uplink (id, watermark, head) VALUES (1, 0, ?1)",
        params![Head::origin(terminal, epoch).0],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
