//! Comparing what stands in the file with what was written.

use obol_credential::{Presentation, UnixTime};
use obol_tap::{Head, TapRecord};
use rusqlite::{OptionalExtension, Row, params};

use super::{JournalError, JournalFile, Tail};

/// Records that opening looks at, at least, from the end.
const CHECKED_AT_OPEN: u64 = 1000;

const READ: &str = "read";

impl JournalFile {
    /// Reads the whole journal: SQLite's own structures, every record's bytes against the hash
    /// chain and against the index of codes, and the watermark. Returns the number of the last
    /// record.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with the first record that is not as it was written,
    /// [`JournalError::DamagedFile`] for damage elsewhere.
    pub fn check(&self) -> Result<u64, JournalError> {
        let _snapshot = self.snapshot()?;
        let kept = self.kept()?;
        let base = Tail {
            seq: kept.base,
            head: Head(kept.base_head),
        };
        if base.seq == 0 && base.head != self.origin() {
            return Err(self.damaged(1, "the journal's origin is not its own"));
        }
        let tail = self.walk(base)?;
        self.check_watermark(tail.seq)?;
        self.check_structure()?;
        Ok(tail.seq)
    }

    /// Follows the chain through the last thousand records; returns the end. What lies before is
    /// followed when it is uploaded.
    pub(super) fn check_end(&self) -> Result<Tail, JournalError> {
        let _snapshot = self.snapshot()?;
        let last = self.last_seq()?;
        self.check_watermark(last)?;
        let from = self.kept()?.base.max(last.saturating_sub(CHECKED_AT_OPEN));
        let head = self.head_at(from)?;
        self.walk(Tail { seq: from, head })
    }

    pub(super) fn walk(&self, from: Tail) -> Result<Tail, JournalError> {
        let mut tail = from;
        let indexed = self.kept()?.indexed;
        let mut statement = self
            .connection
            .prepare("SELECT seq, bytes, head FROM record WHERE seq > ?1 ORDER BY seq")
            .map_err(self.failed(READ))?;
        let mut rows = statement
            .query(params![from.seq])
            .map_err(self.failed(READ))?;
        loop {
            // SQLite may trip over its own structures here: the record that cannot be read is
            // the news.
            let unreadable = |_| self.damaged(tail.seq + 1, UNREADABLE);
            match rows.next().map_err(unreadable)? {
                None => return self.pass_lost(tail, u64::MAX),
                Some(row) => {
                    let seq = row.get(0).map_err(unreadable)?;
                    tail = self.pass_lost(tail, seq)?;
                    tail = self.follow(tail, row, indexed)?;
                }
            }
        }
    }

    /// Steps over records that a repair has found to be lost: their heads are known.
    fn pass_lost(&self, mut tail: Tail, until: u64) -> Result<Tail, JournalError> {
        while tail.seq + 1 < until {
            match self.lost_head(tail.seq + 1)? {
                Some(head) => {
                    tail = Tail {
                        seq: tail.seq + 1,
                        head,
                    }
                }
                None if until == u64::MAX => break,
                None => return Err(self.damaged(tail.seq + 1, "it is missing")),
            }
        }
        Ok(tail)
    }

    fn follow(&self, tail: Tail, row: &Row<'_>, indexed: u64) -> Result<Tail, JournalError> {
        let seq = tail.seq + 1;
        let read = || -> rusqlite::Result<(Vec<u8>, [u8; 32])> { Ok((row.get(1)?, row.get(2)?)) };
        let (bytes, stored) = read().map_err(|_| self.damaged(seq, UNREADABLE))?;
        let head = tail.head.then(&bytes);
        if head.0 != stored {
            return Err(self.damaged(seq, "its bytes and its head do not belong together"));
        }
        let columns = columns_of(&bytes, seq, self.terminal().as_str())
            .map_err(|what| self.damaged(seq, what))?;
        if seq > indexed && self.indexed_as(columns)? != Some(seq) {
            return Err(self.damaged(seq, "the index of codes says something else than its bytes"));
        }
        Ok(Tail { seq, head })
    }

    fn indexed_as(
        &self,
        (kid, cti, issued_at, nonce): Columns,
    ) -> Result<Option<u64>, JournalError> {
        self.connection
            .prepare_cached(
                "SELECT seq FROM code
                 WHERE cti = ?1 AND kid = ?2 AND issued_at = ?3 AND nonce = ?4",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![cti, kid, issued_at, nonce], |row| row.get(0))
                    .optional()
            })
            .map_err(self.failed(READ))
    }

    fn check_watermark(&self, last: u64) -> Result<(), JournalError> {
        let (watermark, head) = self.uplink()?;
        if watermark > last {
            return Err(self.damaged(last + 1, "it was uploaded and is missing"));
        }
        if self.head_at(watermark)? != head {
            return Err(self.damaged(watermark, "its head is not the one that was uploaded"));
        }
        Ok(())
    }

    fn check_structure(&self) -> Result<(), JournalError> {
        let what: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(self.failed(READ))?;
        match what.as_str() {
            "ok" => Ok(()),
            _ => Err(JournalError::DamagedFile {
                path: self.path.clone(),
                what,
            }),
        }
    }

    pub(super) fn damaged(&self, seq: u64, what: &'static str) -> JournalError {
        JournalError::Damaged {
            path: self.path.clone(),
            seq,
            what,
        }
    }
}

const UNREADABLE: &str = "SQLite cannot read it";

/// kid, cti, issued at, nonce.
pub(super) type Columns = ([u8; 4], [u8; 8], u32, [u8; 4]);

pub(super) fn columns_of(bytes: &[u8], seq: u64, terminal: &str) -> Result<Columns, &'static str> {
    let record = TapRecord::decode(bytes).map_err(|malformed| malformed.rule)?;
    if record.seq != seq {
        return Err("it carries another number");
    }
    if record.terminal.as_str() != terminal {
        return Err("it names another terminal");
    }
    let presentation =
        Presentation::decode(&record.presentation).map_err(|malformed| malformed.rule)?;
    let credential = presentation.credential();
    let UnixTime(issued_at) = presentation.dynamic().issued_at;
    Ok((
        credential.kid().0,
        credential.claims().cti.0,
        issued_at,
        presentation.dynamic().nonce.0,
    ))
}
