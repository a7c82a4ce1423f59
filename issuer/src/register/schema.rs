//! The tables, and the way from an older release's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use obol_console::make_private;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::RegisterError;

pub(super) const BUSY_DEADLINE: Duration = Duration::from_secs(5);

/// Each step brings a file from the version of its place to the next.
const STEPS: [&str; 5] = [
    "
CREATE TABLE issued (
    kid          BLOB    NOT NULL CHECK (length(kid) = 4),
    epoch        INTEGER NOT NULL,
    status_index INTEGER NOT NULL,
    cti          BLOB    NOT NULL UNIQUE CHECK (length(cti) = 8),
    subject      BLOB    NOT NULL CHECK (length(subject) = 16),
    device_key   BLOB    NOT NULL UNIQUE CHECK (length(device_key) = 33),
    issued_at    INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (kid, epoch, status_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX issued_by_subject ON issued (subject, expires_at);
",
    "
ALTER TABLE issued ADD COLUMN device BLOB CHECK (length(device) = 16);
ALTER TABLE issued ADD COLUMN class INTEGER;
ALTER TABLE issued ADD COLUMN cap_minor INTEGER;
ALTER TABLE issued ADD COLUMN window_s INTEGER;
ALTER TABLE issued ADD COLUMN flags INTEGER;
ALTER TABLE issued ADD COLUMN request BLOB CHECK (length(request) = 16);
ALTER TABLE issued ADD COLUMN item INTEGER;
ALTER TABLE issued ADD COLUMN signature BLOB;
CREATE INDEX issued_by_device ON issued (device, expires_at) WHERE device IS NOT NULL;
CREATE UNIQUE INDEX issued_by_request ON issued (request, item) WHERE request IS NOT NULL;

CREATE TABLE request (
    id      BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    digest  BLOB    NOT NULL CHECK (length(digest) = 32),
    made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX request_by_time ON request (made_at);

CREATE TABLE usage (
    client TEXT    NOT NULL,
    kid    BLOB    NOT NULL CHECK (length(kid) = 4),
    day    INTEGER NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (client, kid, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE standing (
    kind       INTEGER NOT NULL CHECK (kind IN (0, 1)),
    handle     BLOB    NOT NULL CHECK (length(handle) = 16),
    state      INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    reason     TEXT    NOT NULL,
    changed_by TEXT    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (kind, handle)
) STRICT, WITHOUT ROWID;
CREATE INDEX standing_denied ON standing (kind, handle) WHERE state <> 0;

CREATE TABLE standing_change (
    number     INTEGER PRIMARY KEY,
    kind       INTEGER NOT NULL,
    handle     BLOB    NOT NULL,
    state      INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    changed_by TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE probe (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO probe VALUES (1, 0);
",
    "
CREATE TABLE enrolment (
    identity   TEXT    NOT NULL PRIMARY KEY,
    code_hash  BLOB    NOT NULL CHECK (length(code_hash) = 32),
    expires_at INTEGER NOT NULL,
    tries_left INTEGER NOT NULL,
    used_by    BLOB CHECK (length(used_by) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE member (
    spki        BLOB    NOT NULL PRIMARY KEY CHECK (length(spki) = 32),
    identity    TEXT    NOT NULL,
    serial      BLOB    NOT NULL,
    certificate BLOB    NOT NULL,
    not_after   INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX member_by_identity ON member (identity);
",
    "
CREATE TABLE restoration (
    number INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    backup BLOB    NOT NULL CHECK (length(backup) = 32)
) STRICT;

CREATE TABLE fresh_key (
    restoration INTEGER NOT NULL REFERENCES restoration (number),
    kid         BLOB    NOT NULL CHECK (length(kid) = 4),
    PRIMARY KEY (restoration, kid)
) STRICT, WITHOUT ROWID;

CREATE TABLE carried (
    kid          BLOB    NOT NULL CHECK (length(kid) = 4),
    epoch        INTEGER NOT NULL,
    status_index INTEGER NOT NULL,
    PRIMARY KEY (kid, epoch, status_index)
) STRICT, WITHOUT ROWID;

ALTER TABLE standing ADD COLUMN number INTEGER;
",
    "
ALTER TABLE issued ADD COLUMN leaf INTEGER;
",
];

/// The version that this release writes.
pub(super) const VERSION: i32 = STEPS.len() as i32;

pub(super) fn open(path: &Path) -> Result<Connection, RegisterError> {
    make_private(path).map_err(|error| RegisterError::File(Arc::new(error)))?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_DEADLINE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // Who has read and then writes is not made to wait for another writer, but refused.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = usize::try_from(found)
        .ok()
        .and_then(|version| STEPS.get(version..))
        .ok_or(RegisterError::Version(found))?;
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(connection)
}

pub(super) fn open_for_reading(path: &Path) -> Result<Connection, RegisterError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_DEADLINE)?;
    Ok(connection)
}

#[cfg(test)]
pub(super) fn make_first_version(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(STEPS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
}
