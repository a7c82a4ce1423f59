//! The last refusals of codes whose signatures were good: a ring, for people who ask why.

use obol_credential::{Cti, Kid, RefusalCode, UnixTime};
use rusqlite::params;

use super::{Journal, JournalError, JournalFile, schema};

/// Refusals that are kept; a newer one takes the place of the oldest.
pub const REFUSALS_MAX: u64 = 1024;

/// A refusal of a code whose two signatures were good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRefusal {
    /// When.
    pub at: UnixTime,
    /// The refusal code's number.
    pub code: u8,
    /// The issuer key.
    pub kid: Kid,
    /// The credential.
    pub cti: Cti,
}

impl JournalFile {
    /// The refusals that are kept, oldest first. After a power cut the last of them may be missing.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn refusals(&self) -> Result<Vec<StoredRefusal>, JournalError> {
        self.rows(
            "SELECT at, code, kid, cti FROM refusal ORDER BY number",
            &[],
            |row| {
                Ok(StoredRefusal {
                    at: UnixTime(row.get(0)?),
                    code: row.get(1)?,
                    kid: Kid(row.get(2)?),
                    cti: Cti(row.get(3)?),
                })
            },
        )
    }

    pub(super) fn refusals_ever(&self) -> Result<u64, JournalError> {
        self.connection
            .query_row("SELECT coalesce(max(number), 0) FROM refusal", [], |row| {
                row.get(0)
            })
            .map_err(self.failed("read"))
    }
}

impl Journal {
    /// Keeps a refusal, in the place of the oldest, without an fsync.
    ///
    /// # Errors
    /// [`JournalError::Storage`]: it is not kept; nothing else has changed.
    pub fn refused(
        &mut self,
        (kid, cti): (Kid, Cti),
        code: RefusalCode,
        at: UnixTime,
    ) -> Result<(), JournalError> {
        self.file.ready()?;
        self.refusals += 1;
        let number = self.refusals;
        schema::defer_commits(&self.file.connection)
            .and_then(|()| {
                self.file
                    .connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO refusal (place, number, at, code, kid, cti)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        number % REFUSALS_MAX,
                        number,
                        at.0,
                        code.number(),
                        kid.0,
                        cti.0
                    ])
            })
            .map_err(self.file.not_written("keep a refusal in"))?;
        // A rider who is refused again and again must not make the WAL grow without end.
        if number.is_multiple_of(REFUSALS_MAX) {
            schema::checkpoint(&self.file.connection).map_err(self.file.not_written("write to"))?;
        }
        Ok(())
    }
}
