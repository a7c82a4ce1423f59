//! Comparing what stands in the file with what was written.

use obol_credential::{Presentation, UnixTime};
use obol_tap::{Head, TapRecord};
use rusqlite::{Row, params};

use super::{JournalError, JournalFile, Tail};

/// Records that opening looks at, at least, from the end.
const CHECKED_AT_OPEN: u64 = 1000;

const READ: &str = "read";

impl JournalFile {
    /// Reads the whole journal: SQLite's own structures, every record's bytes against the hash
    /// chain and against its columns, the gate's marks and the watermark. Returns the number of
    /// records.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with the first record that is not as it was written,
    /// [`JournalError::DamagedFile`] for damage elsewhere.
    pub fn check(&self) -> Result<u64, JournalError> {
        let _snapshot = self.snapshot()?;
        let tail = self.walk(Tail {
            seq: 0,
            head: self.origin(),
        })?;
        self.check_watermark(tail.seq)?;
        self.check_structure()?;
        Ok(tail.seq)
    }

    /// Follows the chain through what is not uploaded yet, and through the last thousand records
    /// at least; returns the end.
    pub(super) fn check_end(&self) -> Result<Tail, JournalError> {
        let _snapshot = self.snapshot()?;
        let watermark = self.watermark()?;
        let last = self.last_seq()?;
        self.check_watermark(last)?;
        let from = watermark.min(last.saturating_sub(CHECKED_AT_OPEN));
        let head = self.head_at(from)?;
        self.walk(Tail { seq: from, head })
    }

    fn walk(&self, from: Tail) -> Result<Tail, JournalError> {
        let mut tail = from;
        let mut statement = self
            .connection
            .prepare(
                "SELECT seq, bytes, head, kid, cti, issued_at, nonce FROM record
                 WHERE seq > ?1 ORDER BY seq",
            )
            .map_err(self.failed(READ))?;
        let mut rows = statement
            .query(params![from.seq])
            .map_err(self.failed(READ))?;
        loop {
            let seq = tail.seq + 1;
            let damaged = |what| self.damaged(seq, what);
            // SQLite may trip over its own structures here: the record that cannot be read is
            // the news.
            match rows.next() {
                Ok(None) => return Ok(tail),
                Ok(Some(row)) => {
                    tail = self.follow(tail, row).map_err(|_| damaged(UNREADABLE))??;
                }
                Err(_) => return Err(damaged(UNREADABLE)),
            }
        }
    }

    fn follow(&self, tail: Tail, row: &Row<'_>) -> rusqlite::Result<Result<Tail, JournalError>> {
        let seq = tail.seq + 1;
        let found: u64 = row.get(0)?;
        let bytes: Vec<u8> = row.get(1)?;
        let head = tail.head.then(&bytes);
        let stored = Head(row.get(2)?);
        let columns = (row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
        Ok(if found != seq {
            Err(self.damaged(seq, "it is missing"))
        } else if head != stored {
            Err(self.damaged(seq, "its bytes and its head do not belong together"))
        } else {
            match columns_of(&bytes, seq, self.terminal().as_str()) {
                Ok(expected) if expected == columns => Ok(Tail { seq, head }),
                Ok(_) => Err(self.damaged(seq, "its columns say something else than its bytes")),
                Err(what) => Err(self.damaged(seq, what)),
            }
        })
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
        let foreign = self
            .connection
            .prepare("PRAGMA foreign_key_check")
            .and_then(|mut statement| statement.exists([]))
            .map_err(self.failed(READ))?;
        let path = self.path.clone();
        match (what.as_str(), foreign) {
            ("ok", false) => Ok(()),
            ("ok", true) => Err(JournalError::DamagedFile {
                path,
                what: "a gate's mark without its record".to_owned(),
            }),
            _ => Err(JournalError::DamagedFile { path, what }),
        }
    }

    fn damaged(&self, seq: u64, what: &'static str) -> JournalError {
        JournalError::Damaged {
            path: self.path.clone(),
            seq,
            what,
        }
    }
}

const UNREADABLE: &str = "SQLite cannot read it";

type Columns = ([u8; 4], [u8; 8], u32, [u8; 4]);

fn columns_of(bytes: &[u8], seq: u64, terminal: &str) -> Result<Columns, &'static str> {
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
