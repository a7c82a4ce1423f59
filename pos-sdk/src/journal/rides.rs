//! The rides of one credential, for what a further one costs.

use obol_credential::{Cti, Kid};
use obol_tap::TapRecord;
use rusqlite::params;

use super::{Journal, JournalError};

impl Journal {
    /// What the credential has paid here in the last two days, by ascending time.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn rides(&self, kid: Kid, cti: Cti) -> Result<Vec<TapRecord>, JournalError> {
        self.file
            .connection
            .prepare_cached(
                "SELECT record.bytes FROM code JOIN record ON record.seq = code.seq
                 WHERE cti = ?1 AND kid = ?2 ORDER BY code.accepted_at, code.seq",
            )
            .and_then(|mut statement| {
                let rows = statement.query_map(params![cti.0, kid.0], |row| row.get(0))?;
                rows.collect::<rusqlite::Result<Vec<Vec<u8>>>>()
            })
            .map_err(self.file.failed("read"))?
            .iter()
            .map(|bytes| self.file.decode(bytes))
            .collect()
    }
}
