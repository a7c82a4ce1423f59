//! The journal's file: its tables and its settings.

use std::path::Path;
use std::time::Duration;

use obol_credential::UnixTime;
use obol_tap::{Epoch, Head, TerminalName};
use obol_verifier_sdk::CodeIdentity;
use rusqlite::{Connection, OpenFlags, Result, params};

/// "OBOL" in `PRAGMA application_id`.
const APPLICATION_ID: i32 = 0x4f42_4f4c;
const VERSION: i32 = 2;

/// Records are only ever inserted, and deleted only once the platform holds them. What changes
/// later stands in tables of its own. `code` is the index by signed content, of the last two days
/// alone, so that a tap costs the same whether a day or a month waits for a network.
const TABLES: &str = "
CREATE TABLE journal (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    terminal TEXT NOT NULL,
    epoch    BLOB NOT NULL CHECK (length(epoch) = 8)
) STRICT;
CREATE TABLE record (
    seq   INTEGER PRIMARY KEY CHECK (seq >= 1),
    bytes BLOB NOT NULL,
    head  BLOB NOT NULL CHECK (length(head) = 32)
) STRICT;
CREATE TABLE code (
    cti         BLOB NOT NULL CHECK (length(cti) = 8),
    kid         BLOB NOT NULL CHECK (length(kid) = 4),
    issued_at   INTEGER NOT NULL,
    nonce       BLOB NOT NULL CHECK (length(nonce) = 4),
    seq         INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (cti, kid, issued_at, nonce)
) STRICT, WITHOUT ROWID;
CREATE TABLE granted (
    seq INTEGER PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT;
CREATE TABLE uplink (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    watermark INTEGER NOT NULL CHECK (watermark >= 0),
    head      BLOB NOT NULL CHECK (length(head) = 32)
) STRICT;
CREATE TABLE kept (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    base      INTEGER NOT NULL CHECK (base >= 0),
    base_head BLOB NOT NULL CHECK (length(base_head) = 32),
    indexed   INTEGER NOT NULL CHECK (indexed >= base)
) STRICT;
CREATE TABLE clock (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    server_time INTEGER NOT NULL,
    confirmed   INTEGER NOT NULL CHECK (confirmed >= 0)
) STRICT;
CREATE TABLE seal (
    first_seq INTEGER PRIMARY KEY,
    last_seq  INTEGER NOT NULL CHECK (last_seq >= first_seq),
    key       BLOB NOT NULL CHECK (length(key) = 32),
    signature BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;
CREATE TABLE lost (
    seq  INTEGER PRIMARY KEY,
    head BLOB NOT NULL CHECK (length(head) = 32)
) STRICT;
CREATE TABLE refusal (
    place  INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    code   INTEGER NOT NULL,
    kid    BLOB NOT NULL,
    cti    BLOB NOT NULL
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
    demand_wal(&connection)?;
    // SQLite keeps an error of a checkpoint of its own to itself; the journal makes them, and looks.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
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
    demand_checkpoint(connection, "FULL")
}

/// Writes everything into the main file and begins the WAL anew: after a failed sync the WAL on the
/// medium may have a hole that the page cache does not show, and what is written behind a hole is
/// lost with the power.
pub(super) fn write_anew(connection: &Connection) -> Result<()> {
    demand_checkpoint(connection, "RESTART")
}

fn demand_checkpoint(connection: &Connection, mode: &str) -> Result<()> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let busy: bool = connection.query_row(&sql, [], |row| row.get(0))?;
    if busy {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, None));
    }
    Ok(())
}

/// Copies what it can into the main file, so that the WAL can begin anew with the next write.
pub(super) fn checkpoint(connection: &Connection) -> Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
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
    transaction.execute(
        "INSERT INTO kept (id, base, base_head, indexed) VALUES (1, 0, ?1, 0)",
        params![Head::origin(terminal, epoch).0],
    )?;
    transaction.execute(
        "INSERT INTO clock (id, server_time, confirmed) VALUES (1, 0, 0)",
        [],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Makes a record findable by its signed content. The same content twice is refused.
pub(super) fn index(
    connection: &Connection,
    code: &CodeIdentity,
    seq: u64,
    accepted_at: UnixTime,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO code (cti, kid, issued_at, nonce, seq, accepted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (kid, cti, nonce) = (code.kid.0, code.cti.0, code.nonce.0);
    statement.execute(params![
        cti,
        kid,
        code.issued_at.0,
        nonce,
        seq,
        accepted_at.0
    ])?;
    Ok(())
}
