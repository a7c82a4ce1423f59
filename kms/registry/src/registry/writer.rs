//! The one connection of a process that writes, and what keeps its commits on the medium.

use rusqlite::{Connection, Transaction};

use crate::fault::{Doing, Fault};
use crate::registry::write_on;

/// Writes after which what the write-ahead log holds is copied into the main file.
const WRITES_PER_CHECKPOINT: u32 = 256;

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    /// A commit has failed since the write-ahead log was begun: on the medium it may have a hole
    /// that the page cache does not show, and what is written behind a hole is lost with the power.
    suspect: bool,
    since_checkpoint: u32,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Writer {
        Writer {
            connection,
            suspect: false,
            since_checkpoint: 0,
        }
    }

    /// Runs `work` as one transaction, which is on the medium when this returns `Ok`.
    pub(super) fn write<T, E: From<Fault>>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.suspect {
            begin_anew(&self.connection)?;
        }
        let mut refused = false;
        let answer = write_on(&mut self.connection, doing, |transaction| {
            let answer = work(transaction);
            refused = answer.is_err();
            answer
        });
        self.suspect = answer.is_err() && !refused;
        if answer.is_ok() {
            self.checkpoint();
        }
        answer
    }

    /// What was committed stays so whether or not it can be copied.
    fn checkpoint(&mut self) {
        self.since_checkpoint += 1;
        if self.since_checkpoint < WRITES_PER_CHECKPOINT {
            return;
        }
        self.since_checkpoint = 0;
        let copied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        self.suspect = copied.is_err();
    }
}

/// SQLite answers with the mode it stays in when a file system cannot hold a write-ahead log.
pub(super) fn demand_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        if mode == "wal" {
            Ok(())
        } else {
            Err(rusqlite::Error::InvalidQuery)
        }
    })
}

/// A process that was killed between writing and syncing leaves commits that only the page cache
/// holds. Copying them into the main file syncs them first.
pub(super) fn sync_what_was_found(connection: &Connection) -> Result<(), Fault> {
    demand_checkpoint(connection, "FULL").doing("syncing what was found")
}

/// Writes everything into the main file, so that the write-ahead log begins anew.
fn begin_anew(connection: &Connection) -> Result<(), Fault> {
    demand_checkpoint(connection, "RESTART").doing("writing again what may not be on the disk")
}

fn demand_checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let busy: bool = connection.query_row(&sql, [], |row| row.get(0))?;
    if busy {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, None));
    }
    Ok(())
}
