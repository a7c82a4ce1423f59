use std::cell::Cell;
use std::path::{Path, PathBuf};

use obol_credential::UnixTime;
use obol_tap::{Epoch, Head, TapRecord, TerminalName};
use rusqlite::{Connection, Row, Transaction, params};

use super::{
    JournalError, Tail,
    schema::{self, Content},
};

/// The file of a terminal's journal: to read, to check and to upload from, also while another
/// process takes rides. Only [`Journal`](crate::Journal) appends.
#[derive(Debug)]
pub struct JournalFile {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) terminal: TerminalName,
    pub(super) epoch: Epoch,
    /// A write has failed since the WAL was begun: on the medium it may have a hole that the page
    /// cache does not show, and what is written behind a hole is lost with the power.
    pub(super) suspect: Cell<bool>,
}

/// A record as it stands in the journal.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// The record.
    pub record: TapRecord,
    /// The head behind it.
    pub head: Head,
    /// When the gate was opened for it.
    pub granted_at: Option<UnixTime>,
}

impl JournalFile {
    /// Opens the file of `terminal`'s journal and checks its last thousand records.
    ///
    /// # Errors
    /// [`JournalError`]: missing, in use, foreign, damaged, or what SQLite says.
    pub fn open(path: &Path, terminal: &TerminalName) -> Result<Self, JournalError> {
        Self::open_with_tail(path, terminal).map(|(file, _)| file)
    }

    pub(super) fn open_with_tail(
        path: &Path,
        terminal: &TerminalName,
    ) -> Result<(Self, Tail), JournalError> {
        let file = Self::open_damaged(path, terminal)?;
        schema::sync_what_was_found(&file.connection).map_err(file.failed("open"))?;
        let tail = file.check_end()?;
        Ok((file, tail))
    }

    /// Opens a file whose records may be anything: to read out what is left.
    pub(super) fn open_damaged(path: &Path, terminal: &TerminalName) -> Result<Self, JournalError> {
        let failed = |source| JournalError::of(path.to_owned(), "open", source);
        let connection = schema::connect(path).map_err(failed)?;
        if schema::content(&connection).map_err(failed)? != Content::Journal {
            return Err(JournalError::NotAJournal { path: path.into() });
        }
        let (found, epoch): (String, [u8; 8]) = connection
            .query_row("SELECT terminal, epoch FROM journal", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(failed)?;
        if found != terminal.as_str() {
            return Err(JournalError::AnotherTerminal {
                path: path.into(),
                expected: terminal.to_string(),
                found,
            });
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
            terminal: terminal.clone(),
            epoch: Epoch(epoch),
            suspect: Cell::new(false),
        })
    }

    /// Up to `limit` records from `first_seq` on.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn records(&self, first_seq: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        self.rows(
            "SELECT bytes, head, at FROM record LEFT JOIN granted ON granted.seq = record.seq
             WHERE record.seq >= ?1 ORDER BY record.seq LIMIT ?2",
            params![first_seq, limit],
            |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?)),
        )?
        .into_iter()
        .map(|(bytes, head, at): (_, _, Option<u32>)| {
            Ok(StoredRecord {
                record: self.decode(&bytes)?,
                head: Head(head),
                granted_at: at.map(UnixTime),
            })
        })
        .collect()
    }

    /// The terminal whose journal this is.
    #[must_use]
    pub fn terminal(&self) -> &TerminalName {
        &self.terminal
    }

    /// What tells this journal from any other of the terminal.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last record's number; 0 for a journal that never had one.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn last_seq(&self) -> Result<u64, JournalError> {
        self.connection
            .prepare_cached(
                "SELECT max(base, coalesce((SELECT max(seq) FROM record), 0),
                     coalesce((SELECT max(seq) FROM lost), 0)) FROM kept",
            )
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(self.failed("read"))
    }

    /// The first record that is still there, or would be: what lies before was deleted after the
    /// platform had acknowledged it.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn first_seq(&self) -> Result<u64, JournalError> {
        Ok(self.kept()?.base + 1)
    }

    /// The file as it stands at one moment, whatever other processes add to it: until the value is
    /// dropped.
    pub(super) fn snapshot(&self) -> Result<Transaction<'_>, JournalError> {
        self.connection
            .unchecked_transaction()
            .map_err(self.failed("read"))
    }

    pub(super) fn head_at(&self, seq: u64) -> Result<Head, JournalError> {
        let kept = self.kept()?;
        if seq == kept.base {
            return Ok(Head(kept.base_head));
        }
        let found = self
            .connection
            .prepare_cached("SELECT head FROM record WHERE seq = ?1")
            .and_then(|mut statement| {
                let mut rows = statement.query(params![seq])?;
                rows.next()?.map(|row| row.get(0).map(Head)).transpose()
            })
            .map_err(self.failed("read"))?;
        match found {
            Some(head) => Ok(head),
            None => self
                .lost_head(seq)?
                .ok_or_else(|| self.damaged(seq, "it is missing")),
        }
    }

    /// The head behind a record that a repair has found to be lost.
    pub(super) fn lost_head(&self, seq: u64) -> Result<Option<Head>, JournalError> {
        self.connection
            .prepare_cached("SELECT head FROM lost WHERE seq = ?1")
            .and_then(|mut statement| {
                let mut rows = statement.query(params![seq])?;
                rows.next()?.map(|row| row.get(0).map(Head)).transpose()
            })
            .map_err(self.failed("read"))
    }

    pub(super) fn origin(&self) -> Head {
        Head::origin(&self.terminal, self.epoch)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        parameters: &[&dyn rusqlite::ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(parameters, read)?.collect())
            .map_err(self.failed("read"))
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<TapRecord, JournalError> {
        TapRecord::decode(bytes).map_err(|malformed| JournalError::DamagedFile {
            path: self.path.clone(),
            what: format!("a record malformed at {malformed}"),
        })
    }

    pub(super) fn failed(
        &self,
        doing: &'static str,
    ) -> impl FnOnce(rusqlite::Error) -> JournalError + use<> {
        let path = self.path.clone();
        move |source| JournalError::of(path, doing, source)
    }

    /// Before each write: after one that failed, begins the WAL anew.
    pub(super) fn ready(&self) -> Result<(), JournalError> {
        if self.suspect.get() {
            schema::write_anew(&self.connection).map_err(self.failed("write to"))?;
            self.suspect.set(false);
        }
        Ok(())
    }

    /// As [`JournalFile::failed`], for a write.
    pub(super) fn not_written(
        &self,
        doing: &'static str,
    ) -> impl FnOnce(rusqlite::Error) -> JournalError + '_ {
        move |source| {
            self.suspect.set(true);
            self.failed(doing)(source)
        }
    }
}
