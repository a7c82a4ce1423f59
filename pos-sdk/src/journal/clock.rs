//! What the journal remembers of trustworthy time.

use obol_credential::UnixTime;
use rusqlite::params;

use super::{JournalError, JournalFile, schema};

/// The last time a server told over an authenticated connection, and how far the journal was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredClock {
    /// The server's time.
    pub server_time: UnixTime,
    /// Records up to this one say nothing of the time any more.
    pub confirmed_seq: u64,
    /// When the last record behind `confirmed_seq` was accepted.
    pub last_tap: Option<UnixTime>,
}

impl JournalFile {
    /// What the journal remembers of trustworthy time.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn clock(&self) -> Result<StoredClock, JournalError> {
        let (server_time, confirmed_seq) = self
            .connection
            .query_row("SELECT server_time, confirmed FROM clock", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(self.failed("read"))?;
        let last = self.last_seq()?;
        let last_tap = if last > confirmed_seq {
            let stored = self.records(last, 1)?;
            stored.first().map(|stored| stored.record.accepted_at)
        } else {
            None
        };
        Ok(StoredClock {
            server_time: UnixTime(server_time),
            confirmed_seq,
            last_tap,
        })
    }

    /// Remembers an authenticated server's time, durably: from here on it counts, and what the
    /// records say of the time before does not.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be stored; the clock stays as it was.
    pub fn confirm_clock(&self, server_time: UnixTime) -> Result<(), JournalError> {
        let last = self.last_seq()?;
        self.ready()?;
        schema::sync_commits(&self.connection)
            .and_then(|()| {
                self.connection.execute(
                    "UPDATE clock SET server_time = ?1, confirmed = ?2",
                    params![server_time.0, last],
                )
            })
            .map_err(self.not_written("remember the time in"))?;
        Ok(())
    }
}
